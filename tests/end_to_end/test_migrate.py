"""`data migrate`: all that is stored goes to another back end, on the same host or another one."""

import pathlib
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from host_fixture import IMCTL, Host
from kit import Client, message
from postgres_fixture import Postgres
from test_backup import BOXES, Case as BackupCase

SERVICES = ("awakari.messages.Service", "awakari.messages.cleaner.Service", "imctl.storage.v1.Mailboxes",
            "imctl.storage.v1.Records", "imctl.storage.v1.Snapshots")
MOVED = "was moved to"


class Writer:
    """Appends to one mailbox until it is stopped, and notes what was acknowledged."""

    def __init__(self, host, name):
        self.client, self.name = Client(host.channel()), name
        self.written, self.refused, self.failure = [], [], None
        self.more, self.none_more = threading.Event(), threading.Event()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        n = 0
        while not self.stopped.is_set():
            n += 1
            try:
                self.client.append(message(f"{self.name}-{n}"), self.name)
                self.written.append(f"{self.name}-{n}")
                if len(self.written) > 20:
                    self.more.set()
            except Exception as failure:
                if "replaced by a snapshot" in str(failure) or MOVED in str(failure):
                    self.refused.append(f"{self.name}-{n}")
                    self.none_more.set()
                elif not self.stopped.is_set():
                    self.failure = failure
                    return

    def __enter__(self):
        self.thread.start()
        assert self.more.wait(60), self.failure
        return self

    def __exit__(self, *unused):
        self.stopped.set()
        self.thread.join()


class MigrateTest(BackupCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres().start()
        cls.addClassCleanup(cls.server.discard)

    def both(self, bound, database):
        """A host with both back ends, one of which its services are bound to."""
        self.server.sql(f"CREATE DATABASE {database}")
        host = Host(modules=("storage-sqlite", "storage-postgresql", "user", "backup"), settings={
            "user.argon2_memory": "1MiB", "user.argon2_time": "1",
            "storage-postgresql.uri": self.server.uri, "storage-postgresql.db_name": database})
        self.bind(host, bound)
        host.start()
        self.addCleanup(host.discard)
        return host

    def bind(self, host, module):
        host.settings.update({f"bind.{service}": module for service in SERVICES})

    def rebind(self, host, module):
        self.bind(host, module)
        host.restart()

    def migrate(self, host, *arguments, **options):
        return self.imctl(host, "data", "migrate", *arguments, "--yes", **options)

    def ids(self, host, mailbox):
        return [entry.message.event.id for entry in Client(host.channel()).read_all(mailbox)]

    def test_there_and_back(self):
        """Nothing that was acknowledged is lost, whoever writes meanwhile; nothing can be written to what
        was left behind, not after a restart either."""
        host = self.both("storage-sqlite", "there_and_back")
        self.fill(host)
        for source, target, again in (("storage-sqlite", "storage-postgresql", ()),
                                      ("storage-postgresql", "storage-sqlite", ("--replace",))):
            wanted = self.seen(host)
            epochs = {s.mailbox: s.epoch for s in Client(host.channel()).all_mailboxes()}
            with Writer(host, f"to {target}") as writer:
                if again:
                    self.assertIn("--replace", self.migrate(host, "--to", target, code=6))
                done = self.migrate(host, "--to", target, *again)
                self.assertEqual(done["outcome"], "moved")
                self.assertTrue(writer.none_more.wait(60))
            self.assertIsNone(writer.failure)
            # It is read here as before, but not written to; and so after a restart.
            self.assertEqual(self.ids(host, writer.name), writer.written)
            host.restart()
            with self.assertRaisesRegex(Exception, f"{MOVED} {target}"):
                Client(host.channel()).append(message("late"), BOXES[0])
            self.assertIn(target, self.imctl(host, "user", "add", "late", code=5))
            self.rebind(host, target)
            self.assertEqual(self.ids(host, writer.name), writer.written)
            now = self.seen(host)
            self.assertEqual({key: now[key] for key in wanted}, wanted)
            self.login(host)
            # Clients notice nothing.
            self.assertEqual({name: epoch for name, epoch in (
                (s.mailbox, s.epoch) for s in Client(host.channel()).all_mailboxes()) if name in epochs}, epochs)
            Client(host.channel()).append(message(f"in {target}"), BOXES[0])

    def test_to_another_host(self):
        other = self.host()
        self.server.sql("CREATE DATABASE another_host")
        host = self.host("storage-postgresql", **{
            "storage-postgresql.uri": self.server.uri, "storage-postgresql.db_name": "another_host"})
        self.fill(host)
        wanted = self.seen(host)
        address = f"grpc://127.0.0.1:{other.port}"
        looked = self.migrate(host, "--to", address, "--dry-run")
        self.assertEqual(looked["outcome"], "would be moved")
        self.assertEqual(Client(other.channel()).all_mailboxes(), [])
        self.assertEqual(self.migrate(host, "--to", address)["outcome"], "moved")
        self.assertEqual(self.seen(other), wanted)
        Client(other.channel()).append(message("there"), BOXES[0])
        # Not a second time, unless that is meant; and then what is there is gone.
        self.assertIn("--replace", self.migrate(host, "--to", address, code=6))
        self.assertEqual(self.migrate(host, "--to", address, "--replace")["outcome"], "moved")
        self.assertEqual(self.seen(other), wanted)

    def test_reopened(self):
        for bound, other in (("storage-sqlite", "storage-postgresql"), ("storage-postgresql", "storage-sqlite")):
            host = self.both(bound, "reopened_" + bound.replace("-", "_"))
            self.fill(host)
            self.migrate(host, "--to", other)
            self.assertEqual(self.migrate(host, "--reopen", "--dry-run")["outcome"], "would be reopened")
            with self.assertRaisesRegex(Exception, MOVED):
                Client(host.channel()).append(message("x"), BOXES[0])
            self.assertEqual(self.migrate(host, "--reopen")["outcome"], "reopened")
            Client(host.channel()).append(message("x"), BOXES[0])

    def test_refused(self):
        host = self.both("storage-sqlite", "refused")
        client = self.fill(host)
        for arguments, code, words in (
                (("--to", "storage-sqlite"), 2, "in storage-sqlite now"),
                (("--to", "user"), 1, "no module user that"),
                (("--to", "nobody"), 2, "no module nobody that"),
                (("--to", "grpc://nowhere"), 1, "is not grpc://HOST:PORT"),
                (("--to", "grpc://127.0.0.1:1"), None, "cannot be reached"),
                (("--replace",), 2, "say where to"),
                (("--to", "storage-postgresql", "--reopen"), 2, "say where to")):
            run = self.raw(host, "data", "migrate", *arguments, "--yes")
            self.assertIn(words, run.stderr.decode(), arguments)
            self.assertNotEqual(run.returncode, 0)
            # It is written to as before.
            client.append(message(f"after {arguments}"), BOXES[0])
        # Where there is no space the other stays empty, and this is in use.
        self.server.sql("DROP DATABASE refused WITH (FORCE)")
        self.assertNotEqual(self.raw(host, "data", "migrate", "--to", "storage-postgresql", "--yes").returncode, 0)
        client.append(message("after all"), BOXES[0])

    def test_killed(self):
        """In the middle: nothing is changed. The second run moves it."""
        host = self.both("storage-sqlite", "killed")
        client = self.fill(host)
        for n in range(2000):
            client.put_record("test/c", f"more{n}", b"x" * 10_000)
        wanted = self.seen(host)
        client.append(message("first"), "box")
        address = f"127.0.0.1:{host.port}"
        with Writer(host, "box") as writer:
            run = subprocess.Popen([str(IMCTL), "data", "migrate", "--to", "storage-postgresql", "--yes",
                                    "--server", address], env=host.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
            self.assertTrue(writer.none_more.wait(60))
            writer.stopped.set()
            host.kill()
            self.assertNotEqual(run.wait(60), 0, run.stdout.read())
            run.stdout.close()
        host.start()
        self.assertNotIn(MOVED, str(writer.refused))
        client = Client(host.channel())
        client.append(message("last"), "box")
        self.rebind(host, "storage-postgresql")
        self.assertEqual(Client(host.channel()).all_mailboxes(), [])
        self.rebind(host, "storage-sqlite")
        self.assertEqual(self.migrate(host, "--to", "storage-postgresql")["outcome"], "moved")
        self.rebind(host, "storage-postgresql")
        self.assertEqual(self.ids(host, "box"), ["first", *writer.written, "last"])
        now = self.seen(host)
        self.assertEqual({key: now[key] for key in wanted}, wanted)


if __name__ == "__main__":
    unittest.main()
