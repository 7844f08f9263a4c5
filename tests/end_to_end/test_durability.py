"""What was acknowledged stays: over restarts, over kill -9, on a full disk."""

import os
import resource
import signal
import sqlite3
import subprocess
import tempfile
import unittest

import grpc

import stubs
from host_fixture import Host
from stubs import event


class RestartTest(unittest.TestCase):
    def test_messages_survive_a_restart(self):
        seed = stubs.seed()
        ids = [m.id for m in seed.msgs]
        with Host() as host:
            stubs.Client(host.channel()).put(*seed.msgs)
            host.restart()
            client = stubs.Client(host.channel())
            self.assertEqual(client.get(*ids), list(seed.msgs))
            self.assertEqual(client.put(*seed.msgs), 3)
            self.assertEqual(client.delete(ids[0]), 1)
            host.kill()
            host.start()
            self.assertEqual(stubs.Client(host.channel()).get(*ids), list(seed.msgs)[1:])

    def test_the_file_is_what_the_documentation_says(self):
        with tempfile.TemporaryDirectory(prefix="imctl-test-") as folder:
            path = os.path.join(folder, "m.db")
            with Host(settings={"storage-sqlite.uri": f"sqlite://{path}"}) as host:
                stubs.Client(host.channel()).put(event("a"))
            self.assertEqual(sorted(os.listdir(folder)), ["m.db", "m.db.lock"])
            with sqlite3.connect(path) as database:
                ((ts, data),) = database.execute("SELECT ts, d FROM messages_1")
            self.assertGreater(ts, 1_600_000_000_000)
            self.assertEqual(stubs.events.CloudEvent.FromString(data), event("a"))

    def test_a_damaged_file_is_refused_and_kept(self):
        with tempfile.TemporaryDirectory(prefix="imctl-test-") as folder:
            path = os.path.join(folder, "m.db")
            host = Host(settings={"storage-sqlite.uri": f"sqlite://{path}"})
            self.addCleanup(host.discard)
            host.start()
            client = stubs.Client(host.channel())
            for i in range(50):
                client.put(event(str(i), "x" * 4000))
            host.stop()
            with open(path, "r+b") as file:
                file.seek(16384)  # the first page has what tables there are
                file.write(b"\xff" * (os.path.getsize(path) - 16384))
            with open(path + "-wal", "wb"):
                pass
            with open(path, "rb") as file:
                before = file.read()
            for _ in range(2):
                host.spawn()
                self.assertNotEqual(host.process.wait(30), 0)
                host._reader.join()
                self.assertIn(path, host.text())
                self.assertIn("damaged", host.text())
            with open(path, "rb") as file:
                self.assertEqual(file.read(), before)


class FullDiskTest(unittest.TestCase):
    def fill(self, host, free):
        """Puts until nothing goes in any more, makes space with `free`, looks at what is there."""
        client = stubs.Client(host.channel())
        acknowledged = []
        refusals = 0
        for i in range(2000):
            message = event(f"m{i}", f"{i:08}" * 5000)
            try:
                self.assertEqual(client.put(message), 1)
                acknowledged.append(message)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, error.details())
                refusals += 1
                if refusals == 1:
                    self.assertIn("space", error.details())
                if refusals == 20:
                    break
        self.assertEqual(refusals, 20, "the disk did not fill")
        self.assertGreater(len(acknowledged), 5)
        # Many at once share transactions; each gets its own answer.
        calls = [client.messages.PutBatch.future(
            stubs.put_request(event(f"n{i}", "y" * 40000)), timeout=30) for i in range(32)]
        for i, call in enumerate(calls):
            self.assertIn(call.code(), (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED),
                          call.details())
            if call.code() == grpc.StatusCode.OK:
                acknowledged.append(event(f"n{i}", "y" * 40000))

        self.everything_is_there(client, acknowledged)
        free()
        self.assertEqual(client.put(event("after", "z" * 40000)), 1)
        acknowledged.append(event("after", "z" * 40000))
        self.everything_is_there(client, acknowledged)
        return acknowledged

    def everything_is_there(self, client, messages):
        for start in range(0, len(messages), 50):
            part = messages[start:start + 50]
            self.assertEqual(client.get(*[m.id for m in part]), part)

    def test_a_full_file_system(self):
        folder = tempfile.mkdtemp(prefix="imctl-test-")
        self.addCleanup(os.rmdir, folder)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "imctl-test", folder],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("a file system that fills needs the right to mount")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        with Host(settings={"storage-sqlite.uri": f"sqlite://{folder}/m.db"}) as host:
            acknowledged = self.fill(host, lambda: subprocess.run(
                ["mount", "-o", "remount,size=64m", folder], check=True))
            host.kill()
            host.start()
            self.everything_is_there(stubs.Client(host.channel()), acknowledged)

    def test_a_file_that_may_not_grow(self):
        limit = 2_000_000

        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        with Host(preexec=limited) as host:
            acknowledged = self.fill(host, lambda: resource.prlimit(
                host.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2))
            host.preexec = None
            host.restart()
            self.everything_is_there(stubs.Client(host.channel()), acknowledged)


if __name__ == "__main__":
    unittest.main()
