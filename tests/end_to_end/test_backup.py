"""Backups: made, checked, restored, kept, by schedule."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

import grpc

from host_fixture import IMCTL, Host
from kit import Client, event, message
from postgres_fixture import Postgres

DATA = HERE.parent / "data" / "backup"
IDS = [f"m{n}" for n in range(300)]
BOXES = [f"u{n}@localhost" for n in range(7)]


class Case(unittest.TestCase):
    def host(self, module="storage-sqlite", **settings):
        values = {"user.argon2_memory": "1MiB", "user.argon2_time": "1",
                  **{key.replace("__", "."): value for key, value in settings.items()}}
        host = Host(modules=(module, "user", "backup"), settings=values)
        host.start()
        self.addCleanup(host.discard)
        return host

    def raw(self, host, *arguments, stdin=None):
        return subprocess.run([str(IMCTL), *arguments, "--server", f"127.0.0.1:{host.port}"],
                              env=host.env, input=stdin, capture_output=True, timeout=120,
                              cwd=host.folder, check=False)

    def imctl(self, host, *arguments, stdin=None, code=0):
        """A verb; its last reply, or what it said if another exit code is expected."""
        run = self.raw(host, *arguments, "-o", "json", stdin=stdin)
        self.assertEqual(run.returncode, code, (arguments, run.stdout, run.stderr))
        return json.loads(run.stdout) if code == 0 else run.stderr.decode()

    def create(self, host, *arguments):
        return self.imctl(host, "backup", "create", *arguments)

    def restore(self, host, *arguments, **options):
        return self.imctl(host, "backup", "restore", *arguments, "--yes", **options)

    def list(self, host):
        return self.imctl(host, "backup", "list")["backups"]

    def fill(self, host, salt=""):
        client = Client(host.channel())
        client.put(*[event(id, salt + "x" * n) for n, id in enumerate(IDS)])
        for n in range(100):
            client.append(message(f"{salt}d{n}", "y" * n), BOXES[n % 7], BOXES[n * 3 % 7])
            client.put_record("test/c", f"k{n}", salt.encode() + bytes([n]), [("i", str(n % 5))])
        client.ack(BOXES[0], "phone", 3)
        path = pathlib.Path(host.folder, "password")
        path.write_text("secret-of-ann\n")
        self.imctl(host, "user", "add", "ann", f"--password=@{path}")
        return client

    def login(self, host, user="ann", code=0):
        path = pathlib.Path(host.folder, "password")
        path.write_text("secret-of-ann\n")
        self.assertEqual(self.raw(host, "login", user, "--password-file", str(path)).returncode,
                         code)
        self.raw(host, "logout")

    def seen(self, host):
        """All that clients see, but for epochs and revisions."""
        client = Client(host.channel())
        found = {"messages": client.get(*IDS)}
        for state in client.all_mailboxes():
            entries = client.read_all(state.mailbox)
            for entry in entries:
                entry.epoch = 0
            found[state.mailbox] = (state.first, state.last, entries,
                                    list(client.cursors(state.mailbox).cursors))
        for collection in client.collections():
            # Tokens and who was seen when change by themselves.
            if collection.collection in ("test/c", "user/users", "user/credentials"):
                found[collection.collection] = [
                    (r.key, r.value, sorted((i.name, i.value) for i in r.indexes))
                    for r in client.all_records(collection.collection)]
        return found


class RestoreTest(Case):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres().start()
        cls.addClassCleanup(cls.server.discard)

    def postgres(self, name):
        self.server.sql(f"CREATE DATABASE {name}")
        return self.host("storage-postgresql", **{
            "storage-postgresql.uri": self.server.uri, "storage-postgresql.db_name": name})

    def test_from_any_back_end_into_any(self):
        """Also on a host of another name; and what was there is in a backup of its own."""
        path = None
        hosts = [self.host(), self.host(host__domain="other.example"), self.postgres("one"),
                 self.postgres("two"), self.host()]
        self.fill(hosts[0])
        wanted = self.seen(hosts[0])
        for source, target in zip(hosts, hosts[1:]):
            made = self.create(source)
            path = made["name"]
            self.assertEqual(self.imctl(source, "backup", "verify", "last")["verdict"], "good")
            content = pathlib.Path(path).read_bytes()
            done = self.restore(target, "--upload", "-", stdin=content)
            self.assertEqual((done["outcome"], done["safetyBackup" if "safetyBackup" in done
                              else "safety_backup"]), ("restored", ""))
            self.assertEqual(self.seen(target), wanted)
            self.login(target, "ann@localhost")

    def test_replaced_as_a_whole(self):
        for host in (self.host(), self.postgres("three")):
            client = self.fill(host)
            wanted = self.seen(host)
            made = self.create(host)
            client.put(event("new"))
            client.append(message("new"), "new box", BOXES[1])
            client.delete_mailbox(BOXES[2])
            self.imctl(host, "user", "add", "bob")
            changed = self.seen(host)
            self.assertIn("not empty", self.restore(host, made["id"], code=6))
            looked = self.restore(host, made["id"], "--replace", "--dry-run")
            self.assertEqual(looked["outcome"], "would replace what is stored")
            self.assertEqual(self.seen(host), changed)
            done = self.restore(host, made["id"], "--replace")
            self.assertEqual(self.seen(host), wanted)
            self.login(host)
            # Undone by the backup that was made before.
            self.restore(host, done["safety_backup"], "--replace")
            self.assertEqual(self.seen(host), changed)
            client.append(message("later"), BOXES[1])

    def test_only_a_part(self):
        host = self.host()
        client = self.fill(host)
        made = self.create(host)
        before = self.seen(host)
        self.imctl(host, "user", "add", "bob")
        self.imctl(host, "user", "delete", "ann", "--yes")
        client.put_record("test/c", "k1", b"changed")
        client.append(message("new"), BOXES[1])
        changed = self.seen(host)
        self.restore(host, made["id"], "--replace", "--only", "users")
        after = self.seen(host)
        self.assertEqual({k: v for k, v in after.items() if k.startswith("user/")},
                         {k: v for k, v in before.items() if k.startswith("user/")})
        self.assertEqual({k: v for k, v in after.items() if not k.startswith("user/")},
                         {k: v for k, v in changed.items() if not k.startswith("user/")})
        self.login(host)
        self.restore(host, made["id"], "--replace", "--only", "mailboxes", "--only", "test/c")
        self.assertEqual(self.seen(host), before)
        self.assertIn("only", self.restore(host, made["id"], "--only", "nonsense", code=1))

    def test_while_it_is_written_to(self):
        """What was acknowledged before is in it, in each mailbox without gaps; and nothing that is
        acknowledged while a restore replaces all is lost: it is in the safety backup, or refused."""
        host = self.host()
        self.fill(host)
        stop, written, failures = threading.Event(), [], []

        def write():
            client = Client(host.channel())
            while not stop.is_set():
                try:
                    client.append(message(f"w{len(written)}"), "written")
                    written.append(f"w{len(written)}")
                except Exception as failure:
                    if "replaced" not in str(failure):
                        failures.append(failure)
                        return

        writer = threading.Thread(target=write)
        writer.start()
        try:
            while len(written) < 20 and not failures:
                self.list(host)
            count = len(written)
            made = self.create(host)
            done = self.restore(host, made["id"], "--replace")
        finally:
            stop.set()
            writer.join()
        self.assertEqual(failures, [])
        here = [e.message.event.id for e in Client(host.channel()).read_all("written")]
        self.assertGreaterEqual(len(here), count)
        other = self.host()
        safety = self.raw(host, "backup", "get", done["safety_backup"], "-o", "json")
        name = json.loads(safety.stdout)["name"]
        path = pathlib.Path(made["name"]).with_name(name)
        self.restore(other, "--upload", str(path))
        there = [e.message.event.id for e in Client(other.channel()).read_all("written")]
        self.assertEqual(there, written[:len(there)])
        self.assertEqual(set(written) - set(there) - set(here), set())

    def test_the_first_release(self):
        for name, key in (("format-1.imctl", ()),
                          ("format-1-encrypted.imctl", (f"--key=@{DATA / 'format-1.key'}",))):
            host = self.host()
            self.restore(host, "--upload", str(DATA / name), *key)
            client = Client(host.channel())
            self.assertEqual([m.id for m in client.get("first-1", "first-2", "first-3")],
                             ["first-1", "first-2", "first-3"])
            self.assertEqual([e.message.event.text_data for e in client.read_all("ann@localhost")],
                             ["hello", "to both"])
            self.login(host)


class FilesTest(Case):
    def test_incremental(self):
        host = self.host()
        client = self.fill(host)
        first = self.create(host)
        for n in range(3):
            client.put(event(f"later{n}", os.urandom(10_000).hex()))
        second = self.create(host, "--since", "last")
        self.assertEqual(second["parent"], first["id"])
        wanted = self.seen(host)
        client.delete_mailbox(BOXES[3])
        third = self.create(host, "--since", second["id"][:8])
        got = self.imctl(host, "backup", "get", "last")
        self.assertEqual(got["chain"], [second["id"], first["id"]])
        self.assertEqual(self.imctl(host, "backup", "verify", third["id"])["files"], 3)
        self.restore(host, second["id"], "--replace")
        self.assertEqual(self.seen(host), wanted)
        self.assertIn("stand on it", self.imctl(host, "backup", "delete", first["id"], "--yes",
                                                code=6))
        # Without one of them the others do not restore, and say what is missing.
        os.rename(second["name"], second["name"] + ".away")
        self.assertIn(second["id"], self.imctl(host, "backup", "verify", third["id"], code=6))
        os.rename(second["name"] + ".away", second["name"])
        gone = self.imctl(host, "backup", "delete", first["id"], "--cascade", "--yes")["removed"]
        self.assertEqual([b["id"] for b in gone], [third["id"], second["id"], first["id"]])

    def test_encrypted(self):
        host = self.host()
        key = self.raw(host, "backup", "keygen").stdout
        path = pathlib.Path(host.folder, "key")
        path.write_bytes(key)
        public = key.decode().split("backup.public_key = ")[1].split()[0]
        self.imctl(host, "config", "set", "backup.public_key", public)
        self.fill(host)
        wanted = self.seen(host)
        made = self.create(host)
        self.create(host, "--since", "last")
        content = pathlib.Path(made["name"]).read_bytes()
        self.assertNotIn(b"ann@localhost", content)
        self.assertTrue(self.list(host)[0]["encrypted"])
        self.assertIn("--key", self.imctl(host, "backup", "verify", "last")["verdict"])
        self.assertEqual(self.imctl(host, "backup", "verify", "last", f"--key=@{path}")["verdict"],
                         "good")
        self.assertIn("encrypted", self.restore(host, "last", "--replace", code=4))
        Client(host.channel()).put(event("m1000"))
        self.restore(host, "last", "--replace", f"--key=@{path}")
        self.assertEqual(self.seen(host), wanted)
        wrong = pathlib.Path(host.folder, "wrong")
        wrong.write_bytes(self.raw(host, "backup", "keygen").stdout)
        self.assertIn("not its secret key",
                      self.restore(host, "last", "--replace", f"--key=@{wrong}", code=4))
        secret = key.split()[-1].decode()
        self.assertNotIn(secret, host.text())
        self.assertNotIn(secret, "".join(
            p.read_text(errors="replace") for p in pathlib.Path(host.data, "host").rglob("*")
            if p.is_file()))

    def configured(self, config=""):
        host = Host(config="[storage-sqlite]\n" + config, modules=("storage-sqlite", "user", "backup"),
                    settings={"user.argon2_memory": "1MiB"})
        host.start()
        self.addCleanup(host.discard)
        return host

    def test_settings(self):
        """Those of the config file are put back if that is asked for; secrets, if the backup is encrypted."""
        secret = "sesame-open"
        host = self.configured(f"retention = 72h  # three days\nmax_batch = 77\npassword = {secret}\n"
                               f"[storage-postgresql]\nenabled = no\n[backup]\nkeep = 7d, 4w\n")
        key = self.raw(host, "backup", "keygen").stdout
        path = pathlib.Path(host.folder, "key")
        path.write_bytes(key)
        plain = pathlib.Path(self.create(host)["name"])
        self.assertNotIn("secrets", self.imctl(host, "backup", "get", "last")["contents"])
        self.imctl(host, "config", "set", "backup.public_key",
                   key.decode().split("backup.public_key = ")[1].split()[0])
        sealed = pathlib.Path(self.create(host)["name"])
        self.assertIn("secrets", self.imctl(host, "backup", "get", "last")["contents"])
        for name in (plain, sealed):
            self.assertNotIn(secret.encode(), name.read_bytes())
        for source, arguments, state in ((plain, (), "left out"), (sealed, (f"--key=@{path}",), "waiting")):
            other = self.configured()
            before = pathlib.Path(other.folder, "imctl.conf").read_text()
            for only in (("--only", "users"), ("--dry-run", "--only", "settings"), ("--only", "settings")):
                done = self.restore(other, "--upload", str(source), *arguments, *only)
                states = {one["key"]: one for one in done["settings"]}
                config = pathlib.Path(other.folder, "imctl.conf").read_text()
                if only[-1] == "users":
                    self.assertEqual((states, config), ({}, before))
                    continue
                self.assertEqual(states["storage-sqlite.password"]["state"], state)
                self.assertEqual(states["storage-sqlite.retention"]["state"], "waiting")
                self.assertEqual(states["backup.keep"]["state"], "applied")
                self.assertEqual(states["host.data"]["state"], "left out")  # --set
                self.assertEqual("--dry-run" in only, config == before, config)
            for line in ("max_batch = 77", "retention = 72h", "keep = 7d, 4w"):
                self.assertIn(line, config)
            self.assertEqual(f"password = {secret}" in config, state == "waiting")
            self.assertIn("restore of backup", json.dumps(self.imctl(other, "config", "history")))
            # Nothing of a secret is told to anybody.
            other.stop()
            told = other.text() + "".join(p.read_text() for p in pathlib.Path(other.data, "host/audit").iterdir())
            self.assertNotIn(secret, told)
            self.assertEqual(len(self.list(self.configured())), 0)
        # That they were read is in the audit log.
        self.assertIn("imctl.host.v1.Secrets/List",
                      self.raw(host, "audit", "list", "-o", "json").stdout.decode())
        # A part of them.
        third = self.configured()
        done = self.restore(third, "--upload", str(plain), "--only", "settings/backup")
        self.assertEqual([one["key"] for one in done["settings"]], ["backup.keep"])

    def test_secrets_are_for_modules_alone(self):
        host = self.host()
        call = host.channel().unary_unary("/imctl.host.v1.Secrets/List")
        with self.assertRaisesRegex(grpc.RpcError, "nobody else") as caught:
            call(b"", timeout=60)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.PERMISSION_DENIED)

    def test_secrets_are_not_for_a_process_of_its_own(self):
        host = self.host(backup__isolate="process")
        key = self.raw(host, "backup", "keygen").stdout
        self.imctl(host, "config", "set", "backup.public_key",
                   key.decode().split("backup.public_key = ")[1].split()[0])
        self.create(host)
        self.assertIn("secrets of the settings are not in the backup", host.text())

    def test_missing_modules(self):
        source = self.host()
        made = self.create(source)["name"]
        other = Host(modules=("storage-sqlite", "backup"))
        other.start()
        self.addCleanup(other.discard)
        done = self.restore(other, "--upload", made, "--dry-run")
        self.assertEqual([one["name"] for one in done["missing_modules"]], ["user"])
        self.assertIn("imctl module enable user", done["missing_modules"][0]["how"])

    def test_tells_how_far_it_is(self):
        """While it goes on, not at its end."""
        host = self.host(**{"backup.max_rate": "3000000"})
        client = Client(host.channel())
        for n in range(9):
            client.put(event(f"m{n}", "x" * 1_000_000))
        call = host.channel().unary_stream("/imctl.backup.v1.Backups/Create")
        times = [time.monotonic() for _ in call(b"", timeout=120)]
        # It takes three seconds.
        self.assertGreater(times[-1] - times[0], 1.5, times)
        self.assertGreater(times[-1] - times[len(times) // 2], 0.5, times)

    def test_where_it_goes(self):
        host = self.host()
        self.fill(host)
        folder = pathlib.Path(host.folder, "there")
        folder.mkdir()
        in_folder = self.create(host, "--to", str(folder))
        self.assertEqual([str(p) for p in folder.iterdir()], [in_folder["name"]])
        self.create(host, "--to", str(folder / "a.imctl"))
        self.assertIn("exists", self.imctl(host, "backup", "create", "--to",
                                           str(folder / "a.imctl"), code=6))
        self.imctl(host, "backup", "create", "--to", "relative", code=1)
        self.imctl(host, "backup", "create", "--to", "/nowhere/at/all.imctl", code=3)
        # To the caller.
        content = self.raw(host, "backup", "create", "--to", "-").stdout
        path = pathlib.Path(host.folder, "mine.imctl")
        path.write_bytes(content)
        self.assertEqual(self.imctl(host, "backup", "verify", "--upload", str(path))["verdict"],
                         "good")
        # To a command, which only the settings can name.
        self.imctl(host, "config", "set", "backup.target",
                   f"|cat > {folder}/piped && test -n \"$IMCTL_BACKUP_NAME\"")
        self.create(host)
        self.assertEqual(self.imctl(host, "backup", "verify", "--upload",
                                    str(folder / "piped"))["verdict"], "good")
        for command in ("|exit 3", "|cat > /dev/null; exit 3"):
            self.imctl(host, "config", "set", "backup.target", command)
            self.assertIn("exit code 3", self.imctl(host, "backup", "create", code=5))
        self.assertIn("absolute", self.imctl(host, "backup", "create", "--to", "|true", code=1))

    def test_damage(self):
        """Samples of a larger one; every byte of a small one is the unit test's."""
        host = self.host()
        self.fill(host)
        wanted = self.seen(host)
        good = pathlib.Path(self.create(host)["name"]).read_bytes()
        path = pathlib.Path(host.folder, "damaged.imctl")
        places = [0, 20, 100, *range(200, len(good), len(good) // 12), len(good) - 1]
        for at in places:
            for bad in (good[:at] + bytes([good[at] ^ 4]) + good[at + 1:], good[:at]):
                path.write_bytes(bad)
                for arguments in (("verify",), ("restore", "--replace", "--yes")):
                    run = self.raw(host, "backup", *arguments, "--upload", str(path))
                    self.assertNotEqual(run.returncode, 0, at)
                    self.assertTrue(b"DATA_LOSS" in run.stderr or len(bad) == 0, run.stderr)
        self.assertEqual(self.seen(host), wanted)
        self.assertEqual(len(self.list(host)), 1)  # no safety backup: nothing was begun

    def test_kept_and_not(self):
        host = self.host()
        self.fill(host)
        made = [self.create(host)["id"] for _ in range(3)]
        self.assertIn("keep", self.imctl(host, "backup", "prune", "--yes", code=6))
        self.imctl(host, "config", "set", "backup.keep", "7d")
        would = self.imctl(host, "backup", "prune", "--yes", "--dry-run")["removed"]
        self.assertEqual(sorted(b["id"] for b in would), sorted(made[:2]))
        self.assertEqual(len(self.list(host)), 3)
        self.imctl(host, "backup", "prune", "--yes")
        self.assertEqual([b["id"] for b in self.list(host)], made[2:])


class ScheduleTest(Case):
    def wait(self, host, condition):
        deadline = time.monotonic() + 60
        while True:
            (entry,) = self.imctl(host, "backup", "schedule")["entries"]
            if condition(entry):
                return entry
            self.assertLess(time.monotonic(), deadline, (entry, host.text()))

    def test_by_itself(self):
        host = self.host(backup__incrementals="2", backup__keep="1h")
        self.fill(host)
        self.imctl(host, "config", "set", "backup.schedule", "every 1s")
        self.wait(host, lambda e: e["last_backup"])
        deadline = time.monotonic() + 60
        while not any(b["parent"] for b in self.list(host)):
            self.assertLess(time.monotonic(), deadline)
        # Of this hour the newest, and what it stands on.
        self.assertLessEqual(len(self.list(host)), 4)
        host.restart()
        before = self.wait(host, lambda e: e["last_backup"])["last_backup"]
        self.wait(host, lambda e: e["last_backup"] != before)
        self.imctl(host, "config", "unset", "backup.schedule")
        self.assertEqual(self.imctl(host, "backup", "schedule")["entries"], [])

    def test_one_that_fails_shows(self):
        host = self.host(backup__schedule="every 1s", backup__target="|exit 7")
        entry = self.wait(host, lambda e: e["state"] == "failed")
        self.assertIn("exit code 7", entry["problem"])
        deadline = time.monotonic() + 60
        while True:
            status = self.imctl(host, "status")
            if "exit code 7" in json.dumps(status["problems"]):
                break
            self.assertLess(time.monotonic(), deadline, status)
        self.assertEqual(status["health"], "ill")
        self.assertIn("exit code 7", host.text())
        failed = [m for m in self.imctl(host, "metric", "list", "imctl_backup_runs")["metrics"]
                  if "failed" in m["labels"]]
        self.assertGreaterEqual(failed[0]["value"], 1)

    def test_one_that_was_missed_shows(self):
        host = self.host(backup__schedule="every 1s", backup__grace="1s", backup__max_rate="1")
        client = Client(host.channel())
        client.put(*[event(id, os.urandom(2000).hex()) for id in IDS])
        # It is under way and takes for ever.
        entry = self.wait(host, lambda e: "missed" in e["problem"])
        self.assertEqual(entry["state"], "running")
        deadline = time.monotonic() + 60
        while "missed" not in json.dumps(self.imctl(host, "status")["problems"]):
            self.assertLess(time.monotonic(), deadline)
        self.imctl(host, "config", "set", "backup.max_rate", "0")
        self.wait(host, lambda e: e["last_backup"])


if __name__ == "__main__":
    unittest.main()
