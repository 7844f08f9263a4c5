"""Starts a real NATS server in a temporary folder, on a free port of 127.0.0.1 that it keeps, and stops it."""

from broker_fixture import Broker


class Nats(Broker):
    program = "nats-server"
    ready = "Server is ready"

    def __init__(self, *options):
        """`options`: more of the server's command line."""
        super().__init__()
        self.options = options

    def command(self):
        return ["-a", self.listen, "-p", str(self.port), *self.options]

    @property
    def uri(self):
        return f"nats://127.0.0.1:{self.port}"
