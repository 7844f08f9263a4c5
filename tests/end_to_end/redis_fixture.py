"""Starts a real Redis server without files, on a free port of 127.0.0.1 that it keeps, and stops it."""

import socket
import subprocess
import threading

from broker_fixture import TIMEOUT, Broker


class Redis(Broker):
    program = "redis-server"
    ready = "Ready to accept connections"

    def __init__(self, *options):
        """`options`: more of the server's command line."""
        super().__init__()
        self.options = options

    def command(self):
        return ["--bind", self.listen, "--port", str(self.port), "--save", "", "--appendonly", "no",
                "--dir", self.folder, *self.options]

    @property
    def uri(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def cli(self, *command):
        """Gives what it answers."""
        run = subprocess.run(["redis-cli", "-p", str(self.port), *command], capture_output=True,
                             text=True, timeout=TIMEOUT, check=True)
        return run.stdout.strip()

    def memory(self):
        """Bytes that it uses."""
        for line in self.cli("INFO", "memory").splitlines():
            if line.startswith("used_memory:"):
                return int(line.split(":")[1])
        raise AssertionError("no used_memory")


class LateProxy:
    """A way to a server that may be slow: what was said over connections that were there at hold() arrives at
    release(), though whoever said it has given up and closed them."""

    def __init__(self, port):
        self.target = port
        self.connections = 0
        self._held, self._release = set(), threading.Event()
        self._threads, self._sockets = [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._start(self._accept)

    def _start(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self._sockets += [client, server]
            self.connections += 1
            self._start(self._forward, client, server, self.connections)
            self._start(self._answer, server, client)

    def _forward(self, client, server, number):
        late = b""
        try:
            while data := client.recv(1 << 16):
                if number in self._held:
                    late += data
                else:
                    server.sendall(data)
        except OSError:
            pass
        if number in self._held:
            self._release.wait()
        try:
            server.sendall(late)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the test is over

    def _answer(self, server, client):
        try:
            while data := server.recv(1 << 16):
                try:
                    client.sendall(data)
                except OSError:
                    pass  # it has given up
        except OSError:
            pass  # the test is over

    def hold(self):
        self._held = set(range(1, self.connections + 1))

    def release(self):
        """Until the server has answered all of it."""
        self._release.set()
        for connection in self._held:
            for thread in self._threads[2 * connection - 1:2 * connection + 1]:
                thread.join(TIMEOUT)
                assert not thread.is_alive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            each.close()
