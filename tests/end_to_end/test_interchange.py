"""Users and their messages, from other servers and to them: the servers are real ones."""

import io
import json
import pathlib
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from host_fixture import IMCTL, Host
from kit import Client, message
from xmpp_servers import DOMAIN, Ejabberd, Prosody, available, chat

MODULES = ("storage-sqlite", "user", "backup")
SAID = ["hello ann", "second <&> é", "third"]


class Case(unittest.TestCase):
    def host(self, **settings):
        host = Host(modules=MODULES, settings={
            "host.domain": DOMAIN, "user.credentials": "argon2id, scram-sha-256, scram-sha-1",
            "user.argon2_memory": "1MiB", "user.argon2_time": "1",
            **{key.replace("__", "."): value for key, value in settings.items()}})
        host.start()
        self.addCleanup(host.discard)
        return host

    def imctl(self, host, *arguments, stdin=None, code=0):
        """Bytes in, bytes out."""
        run = subprocess.run([str(IMCTL), *arguments, "--server", f"127.0.0.1:{host.port}"],
                             env=host.env, input=stdin, capture_output=True, timeout=120,
                             cwd=host.folder, check=False)
        self.assertEqual(run.returncode, code, (run.stdout[-2000:], run.stderr[-2000:]))
        return run.stdout

    def add(self, host, user, password):
        path = pathlib.Path(host.folder, "password")
        path.write_text(password + "\n")
        self.imctl(host, "user", "add", user, f"--password=@{path}")

    def login(self, host, user, password, code=0):
        path = pathlib.Path(host.folder, "password")
        path.write_text(password + "\n")
        self.imctl(host, "login", user, "--password-file", str(path), code=code)
        if code == 0:
            self.imctl(host, "logout")

    def load(self, host, content, *arguments, code=0):
        """Imports; gives what the last reply says."""
        out = self.imctl(host, "data", "import", "-", "-o", "json", *arguments, stdin=content,
                         code=code)
        found = json.loads(out)
        return {key: int(value) for key, value in found.items() if key != "bad"}, found["bad"]

    def texts(self, host, user):
        return [e.message.event.text_data for e in Client(host.channel()).read_all(f"{user}@{DOMAIN}")]


def tar_of(folder):
    to = io.BytesIO()
    with tarfile.open(fileobj=to, mode="w") as tar:
        for path in sorted(folder.rglob("*.xml")):
            tar.add(path, arcname=f"export/{path.relative_to(folder)}")
    return to.getvalue()


@unittest.skipIf(available(), available())
class RealServersTest(Case):
    def moved_here(self, content, archive):
        """Accounts with their passwords and messages."""
        host = self.host()
        counts, bad = self.load(host, content)
        self.assertEqual((counts["created"], bad), (2, []))
        self.assertEqual(self.texts(host, "ann"), SAID)
        again, _ = self.load(host, content)
        self.assertEqual((again["created"], again["unchanged"], again["messages"],
                          again["known_messages"]), (0, 2, 0, counts["messages"]))
        self.assertEqual(self.texts(host, "ann"), SAID)
        entry = Client(host.channel()).read_all(f"ann@{DOMAIN}")[0]
        self.assertTrue(entry.message.to[0].startswith(f"ann@{DOMAIN}"))
        self.assertTrue(getattr(entry.message, "from").startswith(f"bob@{DOMAIN}/"))
        # A login may hash the password anew: then it is another than the file's.
        self.login(host, f"ann@{DOMAIN}", "secret-of-ann")
        self.login(host, f"bob@{DOMAIN}", "secret-of-bob")
        self.login(host, f"bob@{DOMAIN}", "secret-of-ann", code=4)

    def test_from_ejabberd(self):
        for sha256 in (False, True):
            with self.subTest(sha256=sha256), Ejabberd(sha256) as server:
                server.register("ann", "secret-of-ann")
                server.register("bob", "secret-of-bob")
                chat(server.port, "bob", "secret-of-bob", [(f"ann@{DOMAIN}", t) for t in SAID])
                content = tar_of(server.export())
                self.moved_here(content, False)

    def test_from_prosody(self):
        for sha256 in (False, True):
            with self.subTest(sha256=sha256), Prosody(sha256) as server:
                server.register("ann", "secret-of-ann")
                server.register("bob", "secret-of-bob")
                chat(server.port, "bob", "secret-of-bob", [(f"ann@{DOMAIN}", t) for t in SAID])
                self.moved_here(tar_of(server.export()), True)

    def filled(self):
        host = self.host()
        self.add(host, f"ann@{DOMAIN}", "secret-of-ann")
        self.add(host, f"bob@{DOMAIN}", "secret-of-bob")
        client = Client(host.channel())
        client.append(message("0", "received already"), f"ann@{DOMAIN}")
        client.ack(f"ann@{DOMAIN}", "phone", 1)
        for n, text in enumerate(SAID):
            sent = message(f"m{n}", text)
            setattr(sent, "from", f"bob@{DOMAIN}/phone")
            client.append(sent, f"ann@{DOMAIN}")
        return host

    def test_to_ejabberd(self):
        host = self.filled()
        for sha256 in (False, True):
            mechanism = "SCRAM-SHA-256" if sha256 else "SCRAM-SHA-1"
            with self.subTest(sha256=sha256), Ejabberd(sha256) as server:
                server.load(self.imctl(host, "data", "export", "--format", "xep0227-ejabberd",
                                       "--mechanism", mechanism))
                used, came = chat(server.port, "ann", "secret-of-ann", wait_for=len(SAID))
                self.assertEqual((used, came), (mechanism, SAID))
                self.assertEqual(chat(server.port, "bob", "secret-of-bob")[1], [])
                # And back, by ejabberd's own export.
                chat(server.port, "bob", "secret-of-bob", [(f"ann@{DOMAIN}", t) for t in SAID])
                self.moved_here(tar_of(server.export()), False)

    def test_to_prosody(self):
        host = self.filled()
        for sha256 in (False, True):
            with self.subTest(sha256=sha256):
                server = Prosody(sha256)
                self.addCleanup(server.discard)
                content = self.imctl(host, "data", "export", "--format", "xep0227-prosody")
                with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                    names = tar.getnames()
                    tar.extractall(server.folder / "pie")
                self.assertEqual(names, [f"ann@{DOMAIN}.xml", f"bob@{DOMAIN}.xml"])
                # Its migrator knows SCRAM-SHA-1 only; its driver for these files has no archive that
                # a client could ask for.
                server.on_files = sha256
                if not sha256:
                    server.migrate("xep0227", "internal")
                server.start()
                used, came = chat(server.port, "ann", "secret-of-ann",
                                  wait_for=0 if sha256 else 4, archive=not sha256)
                self.assertEqual(used, "SCRAM-SHA-256" if sha256 else "SCRAM-SHA-1")
                self.assertEqual(came, [] if sha256 else ["received already", *SAID])
                self.assertEqual(chat(server.port, "bob", "secret-of-bob")[1], [])


class JsonLinesTest(Case):
    def filled(self):
        host = self.host()
        self.add(host, f"ann@{DOMAIN}", "secret-of-ann")
        self.add(host, f"bob@{DOMAIN}", "secret-of-bob")
        client = Client(host.channel())
        for n in range(50):
            client.append(message(f"m{n}", f"text {n}"), f"ann@{DOMAIN}", f"bob@{DOMAIN}")
            client.append(message(f"a{n}", f"to ann {n}"), f"ann@{DOMAIN}")
        client.ack(f"ann@{DOMAIN}", "phone", 30)
        return host

    def all_of(self, host):
        client = Client(host.channel())
        return {user: ([(e.sequence, e.time, e.message) for e in
                        client.read_all(f"{user}@{DOMAIN}")],
                       [(c.device, c.sequence) for c in
                        client.cursors(f"{user}@{DOMAIN}").cursors])
                for user in ("ann", "bob")}

    def test_there_and_again(self):
        source, target = self.filled(), self.host()
        content = self.imctl(source, "data", "export")
        counts, bad = self.load(target, content, "--dry-run")
        self.assertEqual((counts["created"], counts["messages"], bad), (2, 100, []))
        self.assertEqual(self.texts(target, "ann"), [])
        self.assertEqual(self.load(target, content)[0], counts)
        self.assertEqual(self.all_of(target), self.all_of(source))
        self.login(target, f"ann@{DOMAIN}", "secret-of-ann")
        # Since when there is an account stays, too.
        created = [[line["created"] for line in map(json.loads, self.imctl(
            host, "user", "list", "-o", "jsonl").splitlines())] for host in (source, target)]
        self.assertEqual([c[:19] for c in created[0]], [c[:19] for c in created[1]])
        counts, _ = self.load(target, content)
        self.assertEqual((counts["unchanged"], counts["messages"], counts["known_messages"]),
                         (2, 0, 100))
        self.assertEqual(self.all_of(target), self.all_of(source))

    def test_one_user(self):
        source, target = self.filled(), self.host()
        content = self.imctl(source, "data", "export", "--users", f"bob@{DOMAIN}")
        counts, _ = self.load(target, content)
        self.assertEqual((counts["created"], counts["messages"]), (1, 50))
        self.assertEqual(self.texts(target, "bob"), self.texts(source, "bob"))
        self.assertEqual(self.texts(target, "ann"), [])
        content = self.imctl(source, "data", "export", "--users-only")
        counts, _ = self.load(target, content)
        self.assertEqual((counts["created"], counts["unchanged"], counts["messages"]), (1, 1, 0))

    def test_bad_records(self):
        source, target = self.filled(), self.host()
        lines = self.imctl(source, "data", "export").splitlines(keepends=True)
        lines[10:10] = [b"{\n", b'{"nothing": 1}\n', b'{"message": {"mailboxes": ["x"]}}\n',
                        b'{"user": {"user": "a b", "password": "SECRET-SECRET"}}\n',
                        b'{"message": {"message": {}}}\n']
        content = b"".join(lines)
        counts, bad = self.load(target, content, code=1)
        self.assertEqual((counts["created"], counts["messages"], counts["refused"]), (2, 100, 5))
        self.assertEqual(sorted(int(b["line"]) for b in bad), [11, 12, 13, 14, 15])
        self.assertNotIn("SECRET", json.dumps(bad) + target.text())
        self.assertEqual(self.all_of(target), self.all_of(source))
        other = self.host()
        self.load(other, content, "--stop-on-error", code=1)
        self.assertLess(len(self.texts(other, "ann")), 20)

    def test_what_is_no_file_to_import(self):
        host = self.host()
        for content in (b"<server-data", b"<other/>", b"\0\1\2", b"x" * 100_000):
            self.imctl(host, "data", "import", "-", stdin=content, code=1)
        # Entities are not read: neither files nor bombs.
        bomb = (b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY e SYSTEM "file:///etc/passwd">'
                b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
                b"<server-data xmlns='urn:xmpp:pie:0'><host jid='h'><user name='&e;&b;'/></host>"
                b"</server-data>")
        self.imctl(host, "data", "import", "-", stdin=bomb, code=1)
        out = self.imctl(host, "data", "import", "-", "-o", "json", code=1,
                         stdin=bomb.replace(b"&e;&b;", b"ann"))
        self.assertIn(b"document type", out)
        self.assertEqual(self.imctl(host, "user", "list", "-o", "jsonl"), b"")

    def test_what_xml_cannot_say_is_counted(self):
        host = self.filled()
        client = Client(host.channel())
        odd = message("odd")
        odd.event.text_data = "a\0b"
        client.append(odd, f"bob@{DOMAIN}")
        content = self.imctl(host, "data", "export", "--format", "xep0227")
        out = [json.loads(line) for line in self.imctl(
            host, "data", "export", "--format", "xep0227", "-o", "jsonl").splitlines()][-1]
        self.assertEqual((out["messages"], out["left_out"]), ("150", "1"))
        target = self.host()
        counts, bad = self.load(target, content)
        self.assertEqual((counts["created"], counts["messages"], bad), (2, 150, []))
        self.assertEqual(self.texts(target, "ann"), self.texts(host, "ann"))
        times = [[e.time for e in Client(h.channel()).read_all(f"ann@{DOMAIN}")]
                 for h in (host, target)]
        self.assertEqual(*times)
        self.login(target, f"ann@{DOMAIN}", "secret-of-ann")


if __name__ == "__main__":
    unittest.main()
