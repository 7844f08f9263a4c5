"""Starts a real Redis server without files, on a free port of 127.0.0.1 that it keeps, and stops it."""

import subprocess

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
