"""`imctl tls init`, `issue` and `show`: other people's tools believe the certificates, and refuse what they should."""

import json
import os
import pathlib
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import unittest

from host_fixture import IMCTL, clean_environment


class TlsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="imctl-tls-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name) / "tls"

    def verb(self, *arguments, code=0, folder=True):
        where = ["--dir", str(self.folder)] if folder else []
        run = subprocess.run([IMCTL, "tls", *arguments, *where], capture_output=True, text=True, timeout=60,
                             env=clean_environment({"XDG_CONFIG_HOME": str(self.folder.parent)}), check=False)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run.stdout if code == 0 else run.stderr

    def issue(self, *arguments):
        return json.loads(self.verb("issue", *arguments, "-o", "json"))

    def openssl(self, *arguments, code=0):
        run = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run.stdout + run.stderr

    def path(self, name):
        return str(self.folder / name)

    def verify(self, name, *arguments, code=0):
        return self.openssl("verify", "-x509_strict", "-CAfile", self.path("ca.pem"), *arguments,
                            self.path(name), code=code)

    def mode(self, name):
        return stat.S_IMODE(os.stat(self.path(name)).st_mode)

    def test_openssl_believes_them(self):
        made = json.loads(self.verb("init", "-o", "json"))
        self.assertEqual(made["uses"], ["authority"])
        self.assertEqual(int(made["ends"][:4]) - int(made["begins"][:4]), 10)
        self.issue("n1", "--node", "n1", "--host", "im.example.org", "--host", "10.0.0.1", "--host=::1")
        self.issue("ann", "--user", "ann@example.org")
        self.issue("root", "--admin", "--days", "30")
        self.verify("n1.pem", "-purpose", "sslserver", "-verify_hostname", "im.example.org")
        self.verify("n1.pem", "-purpose", "sslclient")
        self.verify("n1.pem", "-verify_ip", "10.0.0.1")
        self.verify("n1.pem", "-verify_ip", "::1")
        self.verify("ann.pem", "-purpose", "sslclient")
        # What they are not for.
        self.verify("n1.pem", "-verify_hostname", "other.example.org", code=2)
        self.verify("ann.pem", "-purpose", "sslserver", code=2)
        self.verify("ann.pem", "-attime", "1", code=2)
        shown = self.openssl("x509", "-in", self.path("ann.pem"), "-noout", "-ext",
                             "subjectAltName,basicConstraints")
        self.assertIn("URI:imctl://user/ann@example.org", shown)
        self.assertIn("CA:FALSE", shown)
        self.assertIn("P-256", self.openssl("ec", "-in", self.path("ann-key.pem"), "-noout", "-text"))
        # A certificate of a user's makes no other one.
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                     "/CN=x", "-keyout", self.path("x.key"), "-out", self.path("x.csr"))
        self.openssl("x509", "-req", "-in", self.path("x.csr"), "-CA", self.path("ann.pem"), "-CAkey",
                     self.path("ann-key.pem"), "-out", self.path("x.pem"))
        self.verify("x.pem", "-untrusted", self.path("ann.pem"), code=2)

    def test_who_may_read_what(self):
        self.verb("init")
        self.issue("ann", "--user", "ann")
        self.assertEqual([self.mode(name) for name in ("ca-key.pem", "ann-key.pem")], [0o600] * 2)
        self.assertEqual([self.mode(name) for name in ("ca.pem", "ann.pem")], [0o644] * 2)
        self.assertEqual(self.mode("."), 0o700)
        os.chmod(self.path("ca-key.pem"), 0o644)
        self.assertIn("others than its owner", self.verb("issue", "bob", "--user", "bob", code=6))

    def test_an_authority_is_made_once(self):
        self.verb("init")
        before = {p.name: p.read_bytes() for p in self.folder.iterdir()}
        self.assertIn("is there already", self.verb("init", code=6))
        os.unlink(self.path("ca.pem"))
        self.assertIn("ca-key.pem is there already", self.verb("init", code=6))
        self.assertEqual(before["ca-key.pem"], (self.folder / "ca-key.pem").read_bytes())
        self.assertIn("tls init", self.verb("issue", "ann", "--user", "ann", code=3))

    def test_renewal(self):
        self.verb("init")
        first = self.issue("n1", "--node", "n1", "--host", "im.example.org", "--days", "30")
        key = (self.folder / "n1-key.pem").read_bytes()
        inode = os.stat(self.path("n1.pem")).st_ino
        renewed = self.issue("n1")
        self.assertTrue(renewed["renewed"])
        self.assertEqual((renewed["hosts"], renewed["identity"]), (first["hosts"], first["identity"]))
        self.assertGreater(renewed["ends"], first["ends"])
        self.assertEqual((self.folder / "n1-key.pem").read_bytes(), key)
        self.assertNotEqual(os.stat(self.path("n1.pem")).st_ino, inode)  # another file took its place
        self.verify("n1.pem")
        self.issue("n1", "--new-key")
        self.assertNotEqual((self.folder / "n1-key.pem").read_bytes(), key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("n1.pem"), self.path("n1-key.pem"))  # they fit
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["ca-key.pem", "ca.pem", "n1-key.pem", "n1.pem"])
        # Not of an authority that is another by now.
        os.unlink(self.path("ca.pem"))
        os.unlink(self.path("ca-key.pem"))
        self.verb("init")
        self.assertIn("not of this authority", self.verb("issue", "n1", code=6))

    def test_odd_names_are_refused(self):
        self.verb("init")
        files = sorted(p.name for p in self.folder.iterdir())
        for name in ("../x", "a/b", "", ".x", "-x", "a b", "ä", "x\n", "ca", "ann-key", "x" * 65):
            self.verb("issue", "--admin", "--", name, code=2)
        for flag, values in (("--user", ("", "a b", "a/b", "ä", "a\n", "URI:x", "a,DNS:b")),
                             ("--node", ("a@b", "a/b", "")),
                             ("--host", ("", "a_b", "a b", "-a", "a..b", "a,DNS:b", "1.2.3.4:5", "*.*.x", "x" * 64))):
            for value in values:
                self.verb("issue", "x", f"{flag}={value}", code=2)
        self.verb("issue", "x", "--user", "a", "--admin", code=2)
        self.verb("issue", "x", "--user", "a", "--days", "0", code=2)
        self.assertIn("whose", self.verb("issue", "x", code=2))
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), files)

    def test_show(self):
        self.verb("init")
        self.issue("n1", "--node", "n1", "--host", "*.example.org", "--host", "::1")
        both = self.folder / "both.pem"
        both.write_bytes((self.folder / "n1.pem").read_bytes() + (self.folder / "ca.pem").read_bytes())
        shown = json.loads(self.verb("show", str(both), "-o", "json", folder=False))["certificates"]
        self.assertEqual([one["uses"] for one in shown], [["server", "client"], ["authority"]])
        self.assertEqual((shown[0]["identity"], shown[0]["hosts"], shown[0]["holds"]),
                         ("imctl://node/n1", ["*.example.org", "::1"], True))
        self.assertIn("imctl://node/n1", self.verb("show", str(both), folder=False))
        self.assertIn("no certificate", self.verb("show", self.path("n1-key.pem"), code=6, folder=False))
        self.verb("show", self.path("nothing.pem"), code=3, folder=False)

    def test_a_connection(self):
        self.verb("init")
        self.issue("host", "--host", "localhost")
        self.issue("ann", "--user", "ann")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(self.path("host.pem"), self.path("host-key.pem"))
        server.load_verify_locations(self.path("ca.pem"))
        server.verify_mode = ssl.CERT_REQUIRED
        client = ssl.create_default_context(cafile=self.path("ca.pem"))
        client.load_cert_chain(self.path("ann.pem"), self.path("ann-key.pem"))
        ours, theirs = socket.socketpair()
        seen = []

        def serve():
            with server.wrap_socket(theirs, server_side=True) as connection:
                seen.append(connection.getpeercert()["subjectAltName"])
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with client.wrap_socket(ours, server_hostname="localhost") as connection:
            connection.send(b"x")
        thread.join()
        self.assertEqual(seen, [(("URI", "imctl://user/ann"),)])


if __name__ == "__main__":
    unittest.main()
