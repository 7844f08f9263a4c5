"""What the fixtures of real brokers share: a server process on a port that it keeps, in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

TIMEOUT = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A running server. Use as a context manager, or start() and discard()."""

    program = None
    ready = None  # in what it writes
    listen = "127.0.0.1"

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix=f"imctl-{self.program}-")
        self.port = free_port()
        self.process = None
        self.log = []
        self._reader = None

    def command(self):
        raise NotImplementedError

    def start(self):
        path = shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
        if path is None:
            raise RuntimeError(f"there is no {self.program} here: install it")
        ready = threading.Event()
        self.log = []
        self.process = subprocess.Popen(
            [path, *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", cwd=self.folder)

        def read(process):
            with process.stdout:
                for line in process.stdout:
                    self.log.append(line.rstrip("\n"))
                    if self.ready in line:
                        ready.set()
            ready.set()

        self._reader = threading.Thread(target=read, args=(self.process,), daemon=True)
        self._reader.start()
        if not ready.wait(TIMEOUT) or self.process.poll() is not None:
            raise RuntimeError(f"{self.program} did not start:\n" + "\n".join(self.log))
        return self

    def kill(self):
        """As if its machine failed; what it had is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def discard(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, *unused):
        self.discard()
