"""Starts the real program on a free port in a temporary folder, and stops it.

IMCTL_BUILD names the build folder (default: build in the repository).
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("IMCTL_BUILD", ROOT / "build"))
IMCTL = BUILD / "bin" / "imctl"
MODULES = BUILD / "lib" / "imctl" / "modules"

# A sanitizer build is slower to start and to stop.
START_TIMEOUT = 60
STOP_TIMEOUT = 60

# What the program would read of the tester's own environment.
FOREIGN = re.compile(r"IMCTL_|DB_|API_PORT$|LOG_LEVEL$")


def clean_environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not FOREIGN.match(k)}
    env.update(extra or {})
    return env


class Host:
    """A running `imctl serve`. Use as a context manager, or start() and stop()."""

    def __init__(self, settings=None, env=None, config=None, data=None, listen="127.0.0.1:0",
                 modules=("storage-sqlite",), preexec=None):
        self.folder = tempfile.mkdtemp(prefix="imctl-test-")
        self.data = str(data or os.path.join(self.folder, "data"))
        # Of its own: a host without a config file makes one there when a verb changes its settings.
        self.env = clean_environment({"XDG_CONFIG_HOME": os.path.join(self.folder, "config"),
                                      "XDG_CACHE_HOME": os.path.join(self.folder, "cache"), **(env or {})})
        self.config = config
        self.preexec = preexec
        self.settings = {
            "host.data": self.data,
            "host.auth": "none",
            "host.module_path": str(MODULES),
            "host.modules": ",".join(modules),
        }
        if listen is not None:
            self.settings["host.listen"] = listen
        self.settings.update(settings or {})
        self.process = None
        self.log = []
        self.address = "127.0.0.1"  # that it is reached at
        self.port = None
        self._reader = None
        self._ready = threading.Event()
        self._channels = []

    # -- life

    def command(self):
        command = [str(IMCTL), "serve"]
        if self.config is not None:
            path = os.path.join(self.folder, "imctl.conf")
            if not os.path.exists(path):  # verbs may have changed it
                with open(path, "w", encoding="utf-8") as file:
                    file.write(self.config)
            command += ["--config", path]
        for key, value in self.settings.items():
            if value is not None:
                command += ["--set", f"{key}={value}"]
        return command

    def spawn(self):
        os.makedirs(self.data, exist_ok=True)
        self._ready.clear()
        self.log = []
        self.process = subprocess.Popen(
            self.command(), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", cwd=self.folder,
            preexec_fn=self.preexec)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process):
        with process.stderr:
            for line in process.stderr:
                self.log.append(line.rstrip("\n"))
                match = re.search(rf"serving on.*?{re.escape(self.address)}:(\d+)", line)
                if match:
                    self.port = int(match.group(1))
                    self._ready.set()
        self._ready.set()

    def start(self):
        self.spawn()
        self._ready.wait(START_TIMEOUT)
        if self.port is None or self.process.poll() is not None:
            text = self.text()
            self.discard()
            raise RuntimeError(f"the host did not start:\n{text}")
        return self

    def fails(self):
        """Starts what is expected not to start; gives its exit code and its log."""
        self.spawn()
        try:
            code = self.process.wait(START_TIMEOUT)
            self._reader.join()
            return code, self.text()
        except subprocess.TimeoutExpired:
            return None, self.text()
        finally:
            self.discard()

    def stop(self):
        """Stops it as an operator would; gives the exit code."""
        self.close_channels()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_TIMEOUT)
        self._reader.join()
        self.port = None
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.port = None
        self.close_channels()

    def restart(self):
        code = self.stop()
        assert code == 0, f"exit code {code}:\n{self.text()}"
        return self.start()

    def alive(self):
        return self.process.poll() is None

    def discard(self):
        """Ends it whatever its state, and removes the folder."""
        self.close_channels()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        try:
            if self.process.poll() is None:
                code = self.stop()
                if kind is None and code != 0:
                    raise AssertionError(f"exit code {code} after SIGTERM:\n{self.text()}")
            elif kind is None:
                code = self.process.poll()
                raise AssertionError(f"the host ended by itself, code {code}:\n{self.text()}")
        finally:
            self.discard()

    # -- use

    def text(self):
        return "\n".join(self.log)

    def files(self, name):
        """Paths of the files of that name in the data folder, however deep."""
        return [str(path) for path in pathlib.Path(self.data).rglob(name)]

    def channel(self, **options):
        # A pool of its own: else channels of a host that is gone would be used again.
        options.setdefault("grpc.use_local_subchannel_pool", 1)
        channel = grpc.insecure_channel(f"{self.address}:{self.port}", options=list(options.items()))
        self._channels.append(channel)
        return channel

    def close_channels(self):
        for channel in self._channels:
            channel.close()
        self._channels = []

    def imctl(self, *arguments, stdin=None):
        """Runs a verb against this host; gives exit code, standard output, standard error."""
        run = subprocess.run(
            [str(IMCTL), *arguments, "--server", f"127.0.0.1:{self.port}"], env=self.env,
            input=stdin, capture_output=True, text=True, timeout=60, cwd=self.folder, check=False)
        return run.returncode, run.stdout, run.stderr
