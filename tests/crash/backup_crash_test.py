#!/usr/bin/python3
"""Kills the host with SIGKILL at random moments while it makes a backup, restores one over what is there,
or imports; opens the data again and looks: what is stored is the old or the new, whole; under a name of a
backup there is a whole one or none; the import, run again, comes to the same end as one that was not killed.

    backup_crash_test.py [--rounds N] [--seed S] [--module NAME]

A round is one kill. IMCTL_BUILD names the build folder.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "end_to_end"), str(HERE.parent / "conformance")]

from host_fixture import IMCTL, Host  # noqa: E402
from kit import Client, event, message  # noqa: E402
from postgres_fixture import Postgres  # noqa: E402

BOXES = [f"u{n}@example.org" for n in range(20)]


class Test:
    def __init__(self, options, random_, server):
        self.random = random_
        self.server = server
        self.module = options.module
        self.found = collections.Counter()
        settings = {"user.argon2_memory": "1MiB", "host.domain": "example.org"}
        if server:
            settings["storage-postgresql.uri"] = server.uri
        self.host = Host(settings, modules=(options.module, "user", "backup")).start()
        self.client = Client(self.host.channel())

    def imctl(self, *arguments, wait=True, stdin=None):
        command = [str(IMCTL), *arguments, "--server", f"127.0.0.1:{self.host.port}"]
        process = subprocess.Popen(command, env=self.host.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=stdin or subprocess.DEVNULL)
        if not wait:
            return process
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (arguments, out, err, self.host.text()[-2000:])
        return json.loads(out) if "json" in arguments else out

    def fill(self, salt, count):
        for start in range(0, count // 2, 500):
            self.client.put(*[event(f"{salt}{n}", "x" * (n % 2000))
                              for n in range(start, start + 500)])
        self.client.commit(*[kit_put(f"{salt}{n}") for n in range(200)])
        calls = [self.client.mailboxes.Append.future(append(f"{salt}{n}"), timeout=60)
                 for n in range(count)]
        for call in calls:
            call.result()

    def seen(self):
        """All that clients see, but for epochs."""
        items = []
        for item in self.client.dump()[1:]:
            kind = item.WhichOneof("item")
            if kind == "mailbox":
                item.mailbox.state.epoch = 0
            for position in item.delivery.positions:
                position.epoch = 0
            if kind == "delivery":
                item.delivery.positions.sort(key=lambda p: (p.mailbox, p.sequence))
            if kind == "collection":
                item.collection.revision = 0
            items.append(item.SerializeToString(deterministic=True))
        return sorted(items)

    def killed_during(self, process, upto):
        """Kills it within so many seconds; was the work done already?"""
        time.sleep(self.random.uniform(0, upto))
        self.host.kill()
        out, _ = process.communicate(timeout=60)
        done = process.returncode == 0
        self.host.start()
        self.client = Client(self.host.channel())
        return done, out

    def look_at_files(self):
        folder = pathlib.Path(self.host.data, "backup", "backups")
        listed = self.imctl("backup", "list", "-o", "json")["backups"]
        assert not [b for b in listed if b["problem"]], listed
        assert len(listed) == len(list(folder.iterdir())), list(folder.iterdir())
        for backup in listed:
            self.imctl("backup", "verify", backup["id"], "-o", "json")
        return listed

    def forget(self, but):
        for backup in self.imctl("backup", "list", "-o", "json")["backups"]:
            if backup["id"] not in but:
                self.imctl("backup", "delete", backup["id"], "--yes")

    def timed(self, *arguments):
        start = time.monotonic()
        found = self.imctl(*arguments, "-o", "json")
        return found, time.monotonic() - start

    def prepare(self):
        self.fill("old ", 3000)
        self.states = {}
        old, self.create_time = self.timed("backup", "create")
        self.states[old["id"]] = self.seen()
        self.fill("new ", 3000)
        self.client.delete_mailbox(BOXES[0])
        new, _ = self.timed("backup", "create")
        self.states[new["id"]] = self.seen()
        self.now = new["id"]
        _, self.restore_time = self.timed("backup", "restore", new["id"], "--replace", "--yes")
        self.forget(self.states)
        self.source = self.exported()

    def exported(self):
        lines = [json.dumps({"imctl": {"format": 1}})]
        lines += [json.dumps({"user": {"user": f"c{n}@example.org"}}) for n in range(500)]
        lines += [json.dumps({"message": {
            "message": {"from": "x@example.org", "event": {
                "id": f"c{n}", "source": "crash", "spec_version": "1.0", "type": "t",
                "text_data": f"text {n}"}},
            "time": "2020-01-02T03:04:05Z", "mailboxes": [f"c{n % 20}@example.org"]}})
            for n in range(6000)]
        path = pathlib.Path(self.host.folder, "import.jsonl")
        path.write_text("\n".join(lines) + "\n")
        return path

    def create(self):
        done, _ = self.killed_during(self.imctl("backup", "create", wait=False),
                                     self.create_time * 2)
        assert self.seen() == self.states[self.now]
        listed = self.look_at_files()
        assert not done or len(listed) > len(self.states)
        self.found["created" if len(listed) > len(self.states) else "not created"] += 1
        self.forget(self.states)

    def restore(self):
        other = next(id for id in self.states if id != self.now)
        done, _ = self.killed_during(
            self.imctl("backup", "restore", other, "--replace", "--yes", wait=False),
            self.restore_time * 2)
        seen = self.seen()
        now = [id for id, state in self.states.items() if state == seen]
        assert now, "a mix of the old and the new"
        assert not done or now == [other], "it was restored, and is gone"
        self.found["restored" if now == [other] else "not restored"] += 1
        self.now = now[0]
        self.look_at_files()
        self.forget(self.states)
        # It is a storage like any other.
        self.client.append(message("after"), "after")
        self.client.delete_mailbox("after")

    def load(self):
        command = ("data", "import", str(self.source), "-o", "json")
        boxes = [f"c{n}@example.org" for n in range(20)]
        done, _ = self.killed_during(self.imctl(*command, wait=False), 2.0)
        counts = self.imctl(*command)
        self.found["resumed" if int(counts["resumed"]) else "from the beginning"] += 1
        for n, box in enumerate(boxes):
            entries = self.client.read_all(box)
            texts = [e.message.event.text_data for e in entries]
            assert texts == [f"text {m}" for m in range(n, 6000, 20)], (box, len(texts))
            assert {e.time.seconds for e in entries} == {1577934245}
        users = self.imctl("user", "list", "c", "-o", "jsonl").splitlines()
        assert len(users) == 500, len(users)
        # Away with it.
        self.imctl("backup", "restore", self.now, "--replace", "--yes")
        self.forget(self.states)
        assert self.seen() == self.states[self.now]

    def run(self, rounds):
        self.prepare()
        for n in range(rounds):
            (self.create, self.restore, self.load)[n % 3]()
            print(f"round {n + 1}: {dict(self.found)}", flush=True)


def kit_put(key):
    import kit
    return kit.put_record("crash/c", key, key.encode())


def append(id):
    import kit
    n = int(id.split()[1])
    return kit.mb.AppendRequest(message=message(id, "y" * (n % 500)),
                                recipients=[BOXES[n % 20], BOXES[n * 7 % 20]])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--module", default="storage-sqlite")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    server = Postgres().start() if options.module == "storage-postgresql" else None
    test = None
    try:
        test = Test(options, random.Random(options.seed), server)
        test.run(options.rounds)
    finally:
        if test:
            test.host.discard()
        if server:
            server.discard()


main()
