"""Locations over a real NATS server."""

import socket
import subprocess
import tempfile
import unittest
from random import Random

from host_fixture import IMCTL
from locations_cases import ANN, BOB, SharedCases
from nats_fixture import Nats


class OverNats(SharedCases, unittest.TestCase):
    module = "locations-nats"

    @staticmethod
    def make_broker(*options):
        return Nats(*options)

    def test_wrong_password(self):
        self.own_broker("--user", "im", "--pass", "right one")
        host = self.host(username="im", password="a wrong one")
        self.ill(host, "refuses to let this host in", "check username and password")
        self.assertNotIn("a wrong one", host.text())
        a = self.service("a", at=self.host(username="im", password="right one"))
        a.report_all()
        self.all_sure(a)

    def test_noise_on_the_subject(self):
        a, b = self.two()
        c = self.service("third-service")
        c.report_all()
        a.add(ANN, "n1", 1)
        self.wait("it is there", lambda: b.found(ANN), a, b)
        subject = f"imctl.{self.cluster}.locations"
        heard, random = [], Random(5)
        with socket.create_connection(("127.0.0.1", self.broker.port)) as nats:
            lines = nats.makefile("rwb")
            lines.write(b'CONNECT {"verbose":false}\r\nSUB %s 1\r\n' % subject.encode())
            lines.flush()
            # Not of the others: whoever can write there can be any of them.
            while len(heard) < 8:
                c.add(f"u{len(heard)}", "n", len(heard))
                line = lines.readline()
                if line.startswith(b"MSG"):
                    message = lines.read(int(line.split()[-1]))
                    if b"third-service" in message:
                        heard.append(message)
            for _ in range(20_000):
                noise = bytearray(random.choice(heard) if random.random() < 0.8 else random.randbytes(100))
                for _ in range(random.randrange(4)):
                    noise[random.randrange(len(noise))] = random.randrange(256)
                lines.write(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(noise), noise))
            lines.write(b"PING\r\n")
            lines.flush()
            while not lines.readline().startswith(b"PONG"):
                pass
        self.assertTrue(a.host.alive() and b.host.alive())
        a.add(BOB, "n1", 2)
        # Services that the noise made up end with the leases that it gave them; the others' go on.
        self.wait("they go on", lambda: b.found(ANN, BOB) == {(ANN, "n1", 1, 1), (BOB, "n1", 1, 2)}, a, b)

    def test_token(self):
        self.own_broker("--auth", "a token")
        self.ill(self.host(token="another"), "refuses to let this host in")
        a = self.service("a", at=self.host(token="a token"))
        a.report_all()
        self.all_sure(a)

    def test_rights_to_one_subject_are_enough_and_needed(self):
        with tempfile.TemporaryDirectory() as folder:
            config = f"{folder}/nats.conf"
            with open(config, "w", encoding="utf-8") as file:
                subject = f"imctl.{self.cluster}.locations"
                file.write('authorization { users = [ { user: im, password: secret, permissions: {'
                           f' publish: "{subject}", subscribe: "{subject}" }} }} ] }}')
            self.own_broker("-c", config)
            login = {"username": "im", "password": "secret"}
            a, b = (self.service(name, at=self.host(**login)) for name in "ab")
            a.report_all()
            b.report_all()
            self.all_sure(a, b)
            self.ill(self.host(**{**login, "cluster": "another"}), "imctl.another.locations", "permit")

    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
            for where in (folder, other):
                self.tls(where, "init")
            self.tls(folder, "issue", "broker", "--host", "127.0.0.1", "--host", "localhost")
            self.tls(folder, "issue", "elsewhere", "--host", "nats.example.org")
            self.own_broker("--tls", "--tlscert", f"{folder}/broker.pem", "--tlskey", f"{folder}/broker-key.pem")
            uri = f"tls://localhost:{self.broker.port}"
            a = self.service("a", at=self.host(uri=uri, tls_ca=f"{folder}/ca.pem"))
            a.report_all()
            self.all_sure(a)
            self.ill(self.host(uri=uri, tls_ca=f"{other}/ca.pem"), "cannot be reached")
            # A certificate of the right authority, and another host's.
            self.own_broker("--tls", "--tlscert", f"{folder}/elsewhere.pem", "--tlskey", f"{folder}/elsewhere-key.pem")
            self.ill(self.host(uri=f"tls://localhost:{self.broker.port}", tls_ca=f"{folder}/ca.pem"),
                     "cannot be reached")

    def tls(self, folder, *arguments):
        subprocess.run([str(IMCTL), "tls", *arguments, "--dir", folder], check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    unittest.main()
