"""storage-sqlite on a disk that fails: the Nth write or sync, once or from then on; a full disk; a
folder that is read-only. The right code, nothing lost that was acknowledged, and it works again.

FAILING_DISK_ALL=1: every N (by default so many that it takes some seconds).
"""

import errno
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from failing_disk import DATABASE, Disk  # noqa: E402
from host_fixture import Host  # noqa: E402
from kit import Client, event, message, put_record  # noqa: E402

EVERY = bool(os.environ.get("FAILING_DISK_ALL"))
SANITIZED = os.environ.get("IMCTL_SANITIZED") == "1"
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
# What a caller is told.
CODES = {errno.ENOSPC: {EXHAUSTED}, errno.EIO: {UNAVAILABLE}}
FOR_EVER = 2**62

# Steps of a script that are tried only after another is done.
NEEDS = {"ack": "append", "delete": "put", "delete mailbox": "append"}

class Script:
    """Writes of all services, under names that begin with `tag`. Each is done once or, if it failed,
    not or wholly; check() looks at that. Repeating it does what failed."""

    def __init__(self, case, tag):
        self.case = case
        self.tag = tag
        self.x, self.y = tag + "x", tag + "y"
        self.done = {}
        self.codes = []
        self.steps = {
            "put": lambda c: self.equal(c.put(*self.events()), 3),
            "append": self.append_both,
            "commit": lambda c: c.commit(*[put_record(f"failing/{n}", tag, tag.encode(), [("n", tag)])
                                           for n in "ab"]),
            "put large": lambda c: self.equal(c.put(event(tag + "large", "x" * 60_000)), 1),
            "append large": self.append_one,
            "ack": lambda c: c.ack(self.x, "phone", 1),
            "create": self.create,
            "delete": lambda c: c.delete(tag + "0"),
            "delete mailbox": self.delete_mailbox,
        }

    def equal(self, found, wanted):
        self.case.assertEqual(found, wanted)

    def events(self):
        return [event(f"{self.tag}{n}", "y" * 300) for n in range(3)]

    def append_both(self, client):
        if "append" not in self.done:
            self.done["append"] = client.append(message(self.tag + "m1"), self.x, self.y)

    def append_one(self, client):
        if "append large" not in self.done:
            self.done["append large"] = client.append(
                message(self.tag + "m2", "z" * 40_000), self.x)

    def create(self, client):
        try:
            client.put_record("failing/created", self.tag, b"x" * 5000, create=True)
        except grpc.RpcError as error:
            # One that failed may have been done.
            if error.code() != grpc.StatusCode.ALREADY_EXISTS or "create" in self.done:
                raise

    def delete_mailbox(self, client):
        try:
            client.delete_mailbox(self.y)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise

    def run(self, client):
        """Does what is not done yet; True: all of it is."""
        whole = True
        for name, step in self.steps.items():
            if name in self.done:
                continue
            if NEEDS.get(name, name) not in {name, *self.done}:
                whole = False
                continue
            try:
                step(client)
                self.done.setdefault(name, True)
            except grpc.RpcError as error:
                self.codes.append((name, error.code(), error.details()))
                whole = False
        return whole

    def check(self, client):
        case = self.case
        case.maxDiff = 500
        events = self.events() + [event(self.tag + "large", "x" * 60_000)]
        found = {m.id: m for m in client.get(*[m.id for m in events])}
        for number, one in enumerate(events):
            name = "put" if number < 3 else "put large"
            if number == 0 and "delete" in self.done:
                case.assertNotIn(one.id, found, "deleted, and back")
            elif name in self.done and not (number == 0 and self.tried("delete")):
                case.assertIn(one.id, found, "acknowledged, and gone")
            if one.id in found:
                case.assertEqual(found[one.id], one)
        self.check_mailboxes(client)
        both = [[r.key for r in client.all_records(f"failing/{n}", index=("n", self.tag))]
                for n in "ab"]
        case.assertEqual(both[0], both[1], "half of a commit")
        if "commit" in self.done:
            case.assertEqual(both[0], [self.tag])
        if "create" in self.done:
            case.assertEqual(client.get_record("failing/created", self.tag).value, b"x" * 5000)

    def tried(self, name):
        return any(step == name for step, _, _ in self.codes)

    def check_mailboxes(self, client):
        case = self.case
        entries = client.read_all(self.x)
        ids = [e.message.event.id for e in entries]
        case.assertEqual([e.sequence for e in entries], list(range(1, len(ids) + 1)))
        case.assertEqual(len(set(ids)), len(ids), "twice")
        for name, id in (("append", self.tag + "m1"), ("append large", self.tag + "m2")):
            if name in self.done:
                (position,) = [p for p in self.done[name].positions if p.mailbox == self.x]
                case.assertEqual(ids[position.sequence - 1], id)
        other = [e.message.event.id for e in client.read_all(self.y)]
        if "delete mailbox" in self.done:
            case.assertEqual(other, [])
        elif not self.tried("delete mailbox"):
            case.assertEqual(other, [i for i in ids if i == self.tag + "m1"], "half of an append")
        if "ack" in self.done:
            case.assertEqual([c.sequence for c in client.cursors(self.x).cursors], [1])


class FailingTest(unittest.TestCase):
    def setUp(self):
        if SANITIZED:
            self.skipTest("a preloaded library and the sanitizers do not go together")
        self.disk = Disk()
        self.host = Host(env=self.disk.env, settings={"storage-sqlite.clean_interval": "24h"})
        self.addCleanup(self.host.discard)
        self.host.start()
        self.client = Client(self.host.channel())
        self.scripts = []

    def script(self):
        made = Script(self, f"s{len(self.scripts)}/")
        self.scripts.append(made)
        return made

    def restart(self, kill):
        if kill:
            self.host.kill()
        else:
            self.host.stop()
        self.host.start()
        self.client = Client(self.host.channel())

    def check_all(self, kill=True):
        """All of them, also after a restart."""
        for script in self.scripts:
            script.check(self.client)
        self.restart(kill)
        for script in self.scripts:
            with self.subTest(script.tag):
                script.check(self.client)
        script = self.script()
        self.assertTrue(script.run(self.client), script.codes)
        script.check(self.client)

    def length(self):
        """How many calls a script takes."""
        for _ in range(2):  # the first one makes tables too
            self.disk.disarm()
            script = self.script()
            self.assertTrue(script.run(self.client), script.codes)
            script.check(self.client)
        self.assertGreater(self.disk.calls, 20, "the shim sees nothing")
        return self.disk.calls

    def numbers(self, length):
        step = 1 if EVERY else max(1, length // 40)
        return range(1, length + 1, step)

    def codes_are_right(self, script, error):
        for name, code, details in script.codes:
            self.assertIn(code, CODES[error], f"{name}: {details}")
            self.assertIn(".db", details, "it does not name the file")

    def one(self, number, count, error):
        """One script with failures, and then without."""
        script = self.script()
        self.disk.arm(number, count, error)
        script.run(self.client)
        failed = self.disk.failed
        if failed:  # what is there can be read
            script.check(self.client)
        self.disk.disarm()
        self.codes_are_right(script, error)
        self.assertTrue(self.host.alive(), self.host.text())
        refused = len(script.codes)
        self.assertTrue(script.run(self.client), script.codes[refused:])
        script.check(self.client)
        return failed, refused

    def each(self, count, error):
        length = self.length()
        failed = refused = 0
        for number in self.numbers(length):
            with self.subTest(number=number):
                some = self.one(number, count, error)
                failed += some[0]
                refused += some[1]
        self.assertGreater(failed, 0)
        self.assertGreater(refused, 0)
        self.check_all()

    def test_one_call_fails(self):
        self.each(1, errno.EIO)

    def test_one_call_finds_no_space(self):
        self.each(1, errno.ENOSPC)

    def test_some_calls_fail(self):
        self.each(7, errno.EIO)

    def test_all_calls_fail_from_one_on(self):
        self.each(FOR_EVER, errno.EIO)

    def test_no_space_from_one_on(self):
        self.each(FOR_EVER, errno.ENOSPC)

    def test_killed_while_all_calls_fail(self):
        for number in self.numbers(self.length())[::4]:
            for error in (errno.EIO, errno.ENOSPC):
                with self.subTest(number=number, error=error):
                    script = self.script()
                    self.disk.arm(number, FOR_EVER, error)
                    script.run(self.client)
                    self.disk.disarm()
                    self.restart(kill=True)
                    script.check(self.client)
                    refused = len(script.codes)
                    self.assertTrue(script.run(self.client), script.codes[refused:])
                    script.check(self.client)
        self.check_all()

    def test_many_calls_that_share_a_transaction(self):
        """Each gets its own answer, and what it says is so."""
        self.length()
        acknowledged = []
        for number in range(1, 60, 1 if EVERY else 6):
            for error in (errno.EIO, errno.ENOSPC):
                self.disk.arm(number, 1, error)
                tag = f"many{number}-{error}/"
                sent = [message(f"{tag}{n}", "x" * (n * 40)) for n in range(64)]
                calls = [self.client.mailboxes.Append.future(
                    self.append_request(m), timeout=60) for m in sent]
                good = [m.event.id for m, call in zip(sent, calls) if call.code() == grpc.StatusCode.OK]
                for call in calls:
                    self.assertIn(call.code(), CODES[error] | {grpc.StatusCode.OK}, call.details())
                acknowledged += good
                self.disk.disarm()
                for m in sent:
                    self.client.append(m, "all")
        for kill in (False, True):
            ids = [e.message.event.id for e in self.client.read_all("all")]
            self.assertEqual(len(ids), len(set(ids)), "twice")
            self.assertEqual(set(acknowledged) - set(ids), set())
            self.assertEqual([e.sequence for e in self.client.read_all("all")],
                             list(range(1, len(ids) + 1)))
            self.restart(kill)
        self.check_all()

    @staticmethod
    def append_request(sent):
        from kit import mb  # noqa: PLC0415
        return mb.AppendRequest(message=sent, recipients=["all"])

    def test_the_log_cannot_be_moved_into_the_database(self):
        """Writes go to the log; that it cannot be emptied just now is nobody's business yet."""
        self.length()
        for error in (errno.EIO, errno.ENOSPC):
            self.disk.arm(1, FOR_EVER, error, files=DATABASE)
            for n in range(90):
                self.client.put(event(f"{error}/{n}", str(n) * (900_000 // len(str(n)))))
            self.assertGreater(self.disk.failed, 0, "nothing was moved: make it more")
            self.disk.disarm()
            self.client.put(event(f"{error}/after"))
            for n in range(90):
                (found,) = self.client.get(f"{error}/{n}")
                self.assertEqual(found.text_data, str(n) * (900_000 // len(str(n))))
            self.check_all()

    def test_a_load(self):
        """It fails with the right code, is not half done for anybody, and can be made again."""
        source = self.client
        script = self.script()
        self.assertTrue(script.run(source), script.codes)
        for n in range(20):
            source.append(message(f"load{n}", "x" * 30_000), "load", f"load{n}")
            source.commit(*[put_record("failing/load", f"{n}/{k}", b"x" * 3000) for k in range(5)])
        items = source.dump()
        refusals = 0
        for error in (errno.EIO, errno.ENOSPC):
            number, failed = 1, True
            while failed:
                with self.subTest(error=error, number=number), Host(env=self.disk.env) as host:
                    client = Client(host.channel())
                    self.disk.arm(number, 3, error)
                    try:
                        client.load(items)
                    except grpc.RpcError as refusal:
                        refusals += 1
                        self.assertIn(refusal.code(), CODES[error], refusal.details())
                        try:  # before it began it is empty; after that it is closed
                            self.assertEqual(client.read("load").last, 0)
                        except grpc.RpcError as closed:
                            self.assertEqual(closed.code(), grpc.StatusCode.FAILED_PRECONDITION)
                        self.disk.disarm()
                        client.load(items)
                    failed = self.disk.failed or number < 30
                    self.disk.disarm()
                    script.check(client)
                    self.assertEqual(client.dump()[-1], items[-1])
                number += 1 if EVERY else 9
        self.assertGreater(refusals, 0)

    def test_cleaning(self):
        for error in (errno.EIO, errno.ENOSPC):
            for number in (1, 2, 4, 7):
                with self.subTest(error=error, number=number), Host(
                        env=self.disk.env, settings={"storage-sqlite.retention": "1s",
                                                     "storage-sqlite.clean_interval": "24h"}) as host:
                    client = Client(host.channel())
                    client.put(*[event(f"old{n}", "x" * 1000) for n in range(900)])
                    time.sleep(1.1)
                    client.put(event("young"))
                    self.disk.arm(number, 1, error)
                    removed = 0
                    try:
                        removed = client.clean()
                    except grpc.RpcError as refusal:
                        self.assertIn(refusal.code(), CODES[error], refusal.details())
                    self.disk.disarm()
                    self.assertLessEqual(removed + client.clean(), 900)
                    self.assertEqual(client.clean(), 0)
                    self.assertEqual(client.get("old0"), [])
                    client.put(event("again", "x" * 1000), event("old0", "other"))
                    self.assertEqual(len(client.get("again", "old0")), 2)

    def test_while_it_stops(self):
        self.length()
        for error in (errno.EIO, errno.ENOSPC):
            for number in (1, 2, 3, 5, 8, 13):
                for count in (1, FOR_EVER):
                    with self.subTest(error=error, number=number, count=count):
                        script = self.script()
                        self.assertTrue(script.run(self.client), script.codes)
                        self.disk.arm(number, count, error)
                        self.host.stop()  # whatever code it ends with
                        self.disk.disarm()
                        self.host.start()
                        self.client = Client(self.host.channel())
                        script.check(self.client)
        self.check_all()

    def starts_or_says_why(self):
        """With the disk as it is. Then without failures: all has to be there."""
        self.host.spawn()
        self.host._ready.wait(60)
        if self.host.port is None:
            self.assertNotEqual(self.host.process.wait(60), 0)
            self.host._reader.join()
            self.assertIn(".db", self.host.text())
            self.assertNotIn("INTERNAL", self.host.text())
            self.disk.disarm()
            self.host.start()
        else:
            self.disk.disarm()
        self.client = Client(self.host.channel())

    def test_while_it_starts(self):
        self.length()
        for kill in (True, False):
            for error in (errno.EIO, errno.ENOSPC):
                for number in (1, 2, 3, 4, 6, 9, 14):
                    for count in (1, FOR_EVER):
                        with self.subTest(kill=kill, error=error, number=number, count=count):
                            script = self.script()
                            self.assertTrue(script.run(self.client), script.codes)
                            if kill:
                                self.host.kill()
                            else:
                                self.host.stop()
                            self.disk.arm(number, count, error)
                            self.starts_or_says_why()
                            script.check(self.client)
        self.check_all()

    def test_while_the_file_is_made(self):
        self.host.stop()
        for error in (errno.EIO, errno.ENOSPC):
            for number in range(1, 40, 1 if EVERY else 3):
                with self.subTest(error=error, number=number):
                    host = Host(env=self.disk.env)
                    self.addCleanup(host.discard)
                    self.disk.arm(number, FOR_EVER, error)
                    self.host = host
                    self.starts_or_says_why()
                    script = self.script()
                    self.assertTrue(script.run(self.client), script.codes)
                    script.check(self.client)
                    self.assertEqual(host.stop(), 0)
        self.host.start()


class FullDiskTest(unittest.TestCase):
    """A disk that is really full."""

    def fill(self, host, free):
        client = Client(host.channel())
        sent, refused = {"put": [], "append": [], "record": []}, {}
        kinds = {
            "put": lambda n: client.put(event(f"m{n}", "x" * 30_000)),
            "append": lambda n: client.append(message(f"m{n}", "x" * 30_000), "a", "b"),
            "record": lambda n: client.put_record("m/c", f"k{n}", b"x" * 30_000, [("n", "v")]),
        }
        for n in range(2000):
            for kind, call in kinds.items():
                try:
                    call(n)
                    sent[kind].append(n)
                except grpc.RpcError as error:
                    self.assertEqual(error.code(), EXHAUSTED, error.details())
                    self.assertIn("space", error.details())
                    refused[kind] = refused.get(kind, 0) + 1
            if len(refused) == 3 and min(refused.values()) >= 5:
                break
        self.assertEqual(len(refused), 3, "the disk did not fill")
        self.assertGreater(len(sent["append"]), 5)
        self.look(client, sent)
        self.something_small(client)
        free()
        for kind, call in kinds.items():
            call(5000)
            sent[kind].append(5000)
        self.look(client, sent)
        return sent

    @staticmethod
    def something_small(client):
        """It may still go in or not."""
        try:
            client.ack("a", "reader", 1)
        except grpc.RpcError as error:
            assert error.code() == EXHAUSTED, error.details()

    def look(self, client, sent):
        for n in sent["put"]:
            self.assertEqual(client.get(f"m{n}"), [event(f"m{n}", "x" * 30_000)])
        for box in "ab":
            entries = client.read_all(box)
            self.assertEqual([e.message.event.id for e in entries],
                             [f"m{n}" for n in sent["append"]])
            self.assertEqual([e.sequence for e in entries], list(range(1, len(entries) + 1)))
        self.assertEqual([r.key for r in client.all_records("m/c", index=("n", "v"))],
                         sorted(f"k{n}" for n in sent["record"]))

    def test_a_full_file_system(self):
        folder = tempfile.mkdtemp(prefix="imctl-test-")
        self.addCleanup(os.rmdir, folder)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "imctl-test", folder],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("a file system that fills needs the right to mount")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        with Host(settings={"storage-sqlite.uri": f"sqlite://{folder}/m.db"}) as host:
            sent = self.fill(host, lambda: subprocess.run(
                ["mount", "-o", "remount,size=64m", folder], check=True))
            host.kill()
            host.start()
            self.look(Client(host.channel()), sent)

    def test_a_file_that_may_not_grow(self):
        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, resource.RLIM_INFINITY))

        with Host(preexec=limited) as host:
            sent = self.fill(host, lambda: resource.prlimit(
                host.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2))
            host.preexec = None
            host.restart()
            self.look(Client(host.channel()), sent)


class ReadOnlyTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="imctl-test-")
        self.addCleanup(os.rmdir, self.folder)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "imctl-test", self.folder],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("a folder that is read-only even for root needs the right to mount")
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder], check=True)
        self.host = Host(settings={"storage-sqlite.uri": f"sqlite://{self.folder}/m.db"})
        self.addCleanup(self.host.discard)

    def remount(self, how):
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)

    def refused(self):
        self.host.spawn()
        self.assertNotEqual(self.host.process.wait(60), 0)
        self.host._reader.join()
        self.assertIn("FAILED_PRECONDITION", self.host.text())
        self.assertIn(self.folder, self.host.text())
        self.assertIn("writ", self.host.text())

    def test_without_a_database(self):
        self.remount("ro")
        self.refused()
        self.assertEqual(os.listdir(self.folder), [])
        self.remount("rw")
        self.host.start()
        Client(self.host.channel()).put(event("a"))

    def test_with_a_database(self):
        for kill in (False, True):
            with self.subTest(kill=kill):
                self.host.start()
                client = Client(self.host.channel())
                client.put(event("a"))
                client.append(message("a"), "box")
                client.put_record("m/c", "k", b"v")
                if kill:
                    self.host.kill()
                else:
                    self.assertEqual(self.host.stop(), 0)
                self.remount("ro")
                self.refused()
                self.remount("rw")
                self.host.start()
                client = Client(self.host.channel())
                self.assertEqual(client.get("a"), [event("a")])
                self.assertEqual(client.read("box").last, 1)
                self.assertEqual(client.get_record("m/c", "k").value, b"v")
                client.put(event("b"))
                self.host.stop()


if __name__ == "__main__":
    unittest.main()
