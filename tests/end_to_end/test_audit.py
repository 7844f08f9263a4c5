"""The audit log of a running host: who did what, who was refused, and that nobody can change it unnoticed."""

import datetime
import json
import os
import pathlib
import subprocess
import threading
import time
import unittest

import grpc

import stubs
from failing_disk import AUDIT, Disk, WRITES
from host_fixture import IMCTL, Host

SANITIZED = os.environ.get("IMCTL_SANITIZED") == "1"
SECRET = "correct horse battery staple"
NODES = "[nodes]\nn1 = sha256:" + "0" * 64 + "\n"


class AuditTestCase(unittest.TestCase):
    def start(self, settings=None, **options):
        host = Host(settings=settings, **options)
        self.addCleanup(host.discard)
        return host.start()

    def verb(self, host, *arguments, code=0, stdin=None):
        got, out, err = host.imctl(*arguments, stdin=stdin)
        self.assertEqual(got, code, f"{arguments}: {out}{err}\n{host.text()[-3000:]}")
        return out if code == 0 else err

    def records(self, host, *arguments):
        out = self.verb(host, "audit", "list", *arguments, "-o", "jsonl")
        return [json.loads(line) for line in out.splitlines()]

    def verified(self, host, *arguments):
        return json.loads(self.verb(host, "audit", "verify", *arguments, "-o", "json"))

    @staticmethod
    def folder(host):
        return pathlib.Path(host.data) / "host" / "audit"

    def files(self, host):
        return sorted(self.folder(host).glob("audit-*.jsonl"))

    def content(self, host):
        return b"".join(path.read_bytes() for path in self.files(host))


class RecordsTest(AuditTestCase):
    def test_who_did_what(self):
        host = self.start(config="[host]\n")
        self.verb(host, "message", "delete", "a", "b", "--call-id", "id-1")
        self.verb(host, "config", "set", "host.max_depth", "17", "--why", "deeper")
        self.verb(host, "message", "get", "a")
        self.verb(host, "config", "set", "host.max_depth", "18", "--dry-run")
        self.verb(host, "config", "set", "host.max_depth", "0", code=1)
        self.verb(host, "mailbox", "append", "ann@example.org", "-f", "-", stdin=json.dumps(
            {"message": {"event": {"id": "m", "source": "s", "specVersion": "1.0", "type": "t"}}}))
        start, delete, change, wrong = self.records(host)
        self.assertEqual(start["kind"], "start")
        self.assertEqual((delete["user"], delete["user_kind"], delete["method"], delete["code"], delete["call"]),
                         ("auth=none", "admin", "awakari.messages.Service/DeleteBatch", "OK", "id-1"))
        self.assertRegex(delete["from"], r"^ipv4:127\.0\.0\.1:\d+$")
        self.assertEqual(json.loads(delete["what"]), {"ids": ["a", "b"]})
        self.assertEqual(json.loads(change["what"]),
                         {"key": "host.max_depth", "values": ["17"], "why": "deeper"})
        self.assertEqual(wrong["code"], "INVALID_ARGUMENT")
        self.assertIn("max_depth", wrong["message"])
        self.assertEqual([r["sequence"] for r in (start, delete, change, wrong)], list("1234"))
        checked = self.verified(host)
        self.assertEqual((checked["result"], checked["records"], checked["files"]), ("OK", "4", "1"))
        # Filters.
        self.assertEqual(self.records(host, "--method", "*/DeleteBatch"), [delete])
        self.assertEqual(self.records(host, "--call", "id-1"), [delete])
        self.assertEqual(self.records(host, "--user", "host"), [start])
        self.assertEqual(self.records(host, "-n", "2"), [change, wrong])
        self.assertEqual(self.records(host, "--refused"), [])
        self.assertEqual(self.records(host, "--since", "1h"), [start, delete, change, wrong])
        time.sleep(0.3)
        self.verb(host, "message", "delete", "c")
        before = time.time()
        recent = self.records(host, "--since", "250ms")
        after = time.time()
        # What is old is left out, and what is surely not is in.
        self.assertNotIn(wrong, recent)
        made = [datetime.datetime.fromisoformat(r["time"]).timestamp() for r in recent]
        self.assertTrue(all(time_ >= before - 0.3 for time_ in made), (before, recent))
        last = self.records(host, "-n", "1")[0]
        if datetime.datetime.fromisoformat(last["time"]).timestamp() > after - 0.25:
            self.assertEqual(recent, [last])
        # A later life goes on with the same chain.
        host.restart()
        kinds = [r["kind"] for r in self.records(host)]
        self.assertEqual(kinds, ["start", "call", "call", "call", "call", "stop", "start"])
        head = checked["head"]
        self.assertEqual(self.verified(host, "--expect", head)["records"], "7")

    def test_the_socket_and_embedded(self):
        host = self.start(listen=None, settings={"host.auth": None, "host.listen": "127.0.0.1:0",
                                                 "nodes.n1": "sha256:" + "0" * 64})
        server = ["--server", f"unix:{host.data}/imctl.sock"]
        environment = host.env
        subprocess.run([IMCTL, "message", "delete", "a", *server], env=environment, check=True,
                       capture_output=True)
        out = subprocess.run([IMCTL, "audit", "list", "-o", "jsonl", *server], env=environment, check=True,
                             capture_output=True, text=True).stdout
        self.assertEqual(json.loads(out.splitlines()[-1])["from"], "unix:")
        host.stop()
        out = subprocess.run(
            [IMCTL, "--embedded", "run", "-", "-o", "jsonl", "--set", f"host.data={host.data}",
             "--set", f"host.module_path={host.settings['host.module_path']}",
             "--set", "host.modules=storage-sqlite"],
            input="message delete b\naudit list --method '*/DeleteBatch'\naudit verify\n", env=environment,
            check=True, capture_output=True, text=True).stdout
        records = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([r["from"] for r in records if "from" in r][-2:], ["unix:", "embedded"])

    def test_no_secret_is_ever_in_it(self):
        host = self.start(config="[host]\n")
        for command in (["config", "set", "bind.node", "n1"],
                        ["config", "set", "bind.node_key", "--secret=-"],
                        ["config", "set", "bind.node_key", SECRET],
                        ["config", "set", "bind.nod_key", SECRET],
                        ["config", "set", "nowhere.password", SECRET]):
            host.imctl(*command, stdin=SECRET)
        records = self.records(host, "--method", "*/Set")
        self.assertEqual(len(records), 5)
        self.assertEqual(json.loads(records[2]["what"])["values"], ["(not shown)"])
        self.assertNotIn(SECRET.encode(), self.content(host))
        self.assertNotIn(SECRET, host.text())

    def test_refusals_are_counted(self):
        host = self.start(config=NODES, settings={"host.auth": "required"})
        list_modules = host.channel().unary_unary("/imctl.host.v1.Modules/List")

        def refused(metadata):
            with self.assertRaises(grpc.RpcError) as caught:
                list_modules(b"", metadata=metadata, timeout=20)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)

        for _ in range(50):
            refused([("imctl-node", "n1"), ("imctl-node-key", SECRET)])
            refused([])
        for i in range(300):
            refused([("imctl-node", f"made-up-{i}"), ("imctl-node-key", SECRET)])
        host.restart()
        server = ["--server", f"unix:{host.data}/imctl.sock"]
        out = subprocess.run([IMCTL, "audit", "list", "--refused", "-o", "jsonl", *server], env=host.env,
                             check=True, capture_output=True, text=True).stdout
        records = [json.loads(line) for line in out.splitlines()]
        self.assertLess(len(records), 80)
        total = sum(int(r.get("count") or 1) for r in records)
        self.assertEqual(total, 400)
        by_user = [r for r in records if r["user"] == "n1"]
        self.assertEqual([int(r.get("count") or 1) for r in by_user], [1, 49])
        self.assertEqual({r["user_kind"] for r in by_user}, {"none"})
        self.assertIn("refusals", {r["kind"] for r in records})
        self.assertNotIn(SECRET.encode(), self.content(host))

    def test_tail_follows(self):
        host = self.start()
        for i in range(30):
            self.verb(host, "message", "delete", f"before-{i}")
        tail = subprocess.Popen(
            [IMCTL, "audit", "tail", "-f", "-n", "2", "--method", "*/DeleteBatch", "--server",
             f"127.0.0.1:{host.port}"], env=host.env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(tail.wait)
        self.addCleanup(tail.stdout.close)
        self.addCleanup(tail.kill)
        self.assertIn("before-28", tail.stdout.readline())
        self.assertIn("before-29", tail.stdout.readline())
        for i in range(3):
            self.verb(host, "message", "delete", f"after-{i}")
            self.assertIn(f"after-{i}", tail.stdout.readline())
        out = self.verb(host, "audit", "tail", "-n", "1")
        self.assertRegex(out, r"^\S+Z call auth=none from=ipv4:\S+ awakari.messages.Service/DeleteBatch OK "
                              r'{"ids":\["after-2"\]} call=\w+\n$')


class ChainTest(AuditTestCase):
    def test_tampering_shows(self):
        host = self.start()
        for i in range(5):
            self.verb(host, "message", "delete", f"id-{i}")
        head = self.verified(host)["head"]
        (path,) = self.files(host)
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"id-3", b"id-9"))
        self.assertIn(f"{path.name}:5", self.verb(host, "audit", "verify", code=1))
        lines = whole.splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:3] + lines[4:]))
        self.assertIn(f"{path.name}:4", self.verb(host, "audit", "verify", code=1))
        # The end, cut off behind the host's back.
        path.write_bytes(b"".join(lines[:-1]))
        self.assertIn("cut off", self.verb(host, "audit", "verify", code=1))
        path.write_bytes(whole)
        self.verified(host)
        # While no host runs, only a head that was kept elsewhere shows it.
        host.stop()
        path.write_bytes(b"".join(lines[:-2]))
        host.start()
        self.verified(host)
        self.assertIn("cut off", self.verb(host, "audit", "verify", "--expect", head, code=1))
        self.verb(host, "message", "delete", "another")
        self.assertIn("anew", self.verb(host, "audit", "verify", "--expect", head, code=1))
        self.assertIn("SEQ:HASH", self.verb(host, "audit", "verify", "--expect", "nonsense", code=1))

    def test_rotation(self):
        host = self.start(settings={"host.audit_file_size": "64KiB", "host.audit_files": "3"})
        call = stubs.Client(host.channel())
        first = self.verified(host)["head"]
        for i in range(800):
            call.delete(f"{i}-" + "x" * 200)
        files = self.files(host)
        self.assertEqual(len(files), 3)
        self.assertLess(max(path.stat().st_size for path in files), (64 << 10) + 1)
        checked = self.verified(host)
        self.assertGreater(int(checked["first"]), 1)
        self.assertEqual(checked["head"].split(":")[0], "801")
        self.assertIn("older", self.verb(host, "audit", "verify", "--expect", first, code=6))
        self.assertEqual(len(self.records(host)), int(checked["records"]))
        self.assertEqual([r["sequence"] for r in self.records(host, "-n", "3")], ["799", "800", "801"])

    def test_kill_while_it_writes(self):
        host = Host()
        self.addCleanup(host.discard)
        acknowledged = 0
        for round_ in range(3 if SANITIZED else 8):
            host.start()
            counts = [0] * 4

            def delete(number, round_=round_, counts=counts):
                call = stubs.Client(host.channel())
                try:
                    while True:
                        call.delete(f"{round_}-{number}-{counts[number]}")
                        counts[number] += 1
                except (grpc.RpcError, ValueError):
                    pass

            threads = [threading.Thread(target=delete, args=(n,)) for n in range(len(counts))]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 30
            while sum(counts) < 50 * (round_ + 1) and time.monotonic() < deadline:
                time.sleep(0.001)
            host.kill()
            for thread in threads:
                thread.join()
            acknowledged += sum(counts)
        # As if it had come in the middle of a write.
        path = self.files(host)[-1]
        with open(path, "ab") as file:
            file.write(path.read_bytes().splitlines()[-1][:99])
        host.start()
        checked = self.verified(host)
        self.assertEqual(checked["torn"], "1")
        records = self.records(host)
        # Whoever had an answer is in it.
        self.assertGreaterEqual(sum(r["method"].endswith("/DeleteBatch") for r in records), acknowledged)
        self.assertIn("torn", {r["kind"] for r in records})
        self.assertEqual(sum("did not stop in order" in r["message"] for r in records), 3 if SANITIZED else 8)


@unittest.skipIf(SANITIZED, "a preloaded library does not go together with the address sanitizer")
class FullDiskTest(AuditTestCase):
    def test_administration_goes_on(self):
        disk = Disk()
        host = self.start(env=disk.env)
        self.verb(host, "message", "delete", "before")
        disk.arm(1, 10 ** 9, 28, kinds=WRITES, files=AUDIT)  # ENOSPC
        for i in range(4):
            self.verb(host, "message", "delete", f"lost-{i}")
        status = json.loads(self.verb(host, "status", "-o", "json"))
        self.assertTrue(any("audit log" in problem and "records are lost" in problem
                            for problem in status["problems"]), status["problems"])
        self.assertIn("audit log: records cannot be written", host.text())
        self.assertEqual(host.text().count("audit log: records cannot be written"), 1)
        out = self.verb(host, "metric", "list", "imctl_audit_lost", "-o", "jsonl")
        self.assertEqual(json.loads(out)["value"], 4)
        disk.disarm(files=AUDIT)
        self.verb(host, "message", "delete", "after")
        self.assertEqual(json.loads(self.verb(host, "status", "-o", "json"))["problems"], [])
        records = self.records(host)
        self.assertEqual([r["kind"] for r in records], ["start", "call", "lost", "call"])
        self.assertEqual(records[2]["count"], "4")
        self.assertEqual(self.verified(host)["lost"], "4")
        # It comes back by itself too.
        disk.arm(1, 10 ** 9, 28, kinds=WRITES, files=AUDIT)
        self.verb(host, "message", "delete", "lost")
        disk.disarm(files=AUDIT)
        deadline = time.monotonic() + 30
        while json.loads(self.verb(host, "status", "-o", "json"))["problems"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(self.records(host)[-1]["kind"], "lost")


if __name__ == "__main__":
    unittest.main()
