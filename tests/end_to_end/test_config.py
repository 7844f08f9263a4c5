"""Settings looked at and changed by verbs while the host runs: checked first, at once where that can be,
as a whole or not at all."""

import errno
import json
import os
import pathlib
import random
import signal
import threading
import time
import unittest

from failing_disk import SETTINGS, Disk
from host_fixture import BUILD, MODULES, Host

TEST_MODULES = BUILD / "tests" / "modules"
CONFIG = """# kept by every change
[host]
swap_watch = 100ms
modules = tuner-a, tuner-b

[tuner-a]
isolate = {isolate}
speed = 20   # quick

[tuner-b]
isolate = {isolate}
"""


class ConfigTestCase(unittest.TestCase):
    isolate = "no"

    def start(self, config=CONFIG, **options):
        host = Host(config=config.format(isolate=self.isolate), modules=(),
                    settings={"host.modules": None,
                              "host.module_path": f"{MODULES},{TEST_MODULES}"}, **options)
        self.addCleanup(host.discard)
        return host.start()

    def verb(self, host, *arguments, code=0, stdin=None):
        got, out, err = host.imctl(*arguments, stdin=stdin)
        self.assertEqual(got, code, f"{arguments}: {out}{err}\n{host.text()[-3000:]}")
        return out if code == 0 else err

    def json(self, host, *arguments, **options):
        return json.loads(self.verb(host, *arguments, "-o", "json", **options))

    def changes(self, host, *arguments, **options):
        return {c["key"]: c for c in self.json(host, *arguments, **options)["changes"]}

    def show(self, host, which="a"):
        return self.json(host, f"tuner-{which}", "show")

    def path(self, host):
        return pathlib.Path(host.folder, "imctl.conf")

    def text(self, host):
        return self.path(host).read_text(encoding="utf-8")

    def wait_for_log(self, host, text, since=0):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if any(text in line for line in host.log[since:]):
                return
            time.sleep(0.02)
        self.fail(f"no line with {text!r}:\n{host.text()}")


class LookingTest(ConfigTestCase):
    def test_list_and_get(self):
        host = self.start(env={"IMCTL_TUNER_B__SPEED": "30"})
        rows = {s["key"]: s for s in self.json(host, "config", "list")["settings"]}
        self.assertEqual(rows["tuner-a.speed"]["value"], "20")
        self.assertEqual(rows["tuner-a.speed"]["default"], "10")
        self.assertRegex(rows["tuner-a.speed"]["source"], r"imctl\.conf:8")
        self.assertEqual(rows["tuner-b.speed"]["source"], "env IMCTL_TUNER_B__SPEED")
        self.assertEqual(rows["tuner-b.size"]["source"], "default")
        self.assertEqual(rows["host.auth"]["source"], "--set")
        self.assertIn("tuner-a.pool_threads", rows)
        keys = [s["key"] for s in self.json(host, "config", "list", "tuner-a.sp")["settings"]]
        self.assertEqual(keys, ["tuner-a.speed"])
        self.assertEqual(self.json(host, "config", "get", "tuner-a.speed")["value"], "20")
        self.assertIn("did you mean tuner-a.speed",
                      self.verb(host, "config", "get", "tuner-a.sped", code=3))
        self.assertIn("tuner-a", self.verb(host, "config", "get", "tuner_a.speed", code=3))

    def test_explain(self):
        host = self.start()
        (speed,) = self.json(host, "config", "explain", "tuner-a.speed")["settings"]
        self.assertEqual(speed["help"], "How fast.")
        self.assertEqual(speed["bounds"], "1..100")
        self.assertTrue(speed["live"])
        self.assertEqual(speed["env"], ["IMCTL_TUNER_A__SPEED"])
        (listen,) = self.json(host, "config", "explain", "host.listen")["settings"]
        self.assertEqual(listen["env"][1], "API_PORT")
        self.assertFalse(listen["live"])
        section = self.json(host, "config", "explain", "tuner-b")["settings"]
        self.assertIn("tuner-b.isolate", [s["key"] for s in section])
        self.assertIn("host.log_level", self.verb(host, "config", "explain"))

    def test_secrets_are_never_shown(self):
        host = self.start()
        secret = pathlib.Path(host.folder, "secret")
        secret.write_text("correct horse\n", encoding="utf-8")
        seen = self.verb(host, "config", "set", "tuner-a.password", f"--secret=@{secret}")
        self.assertEqual(self.show(host)["password_size"], len("correct horse"))
        seen += self.verb(host, "config", "set", "tuner-a.password", "--secret=-", "--why", "new",
                          stdin="battery staple\n")
        self.assertEqual(self.show(host)["password_size"], len("battery staple"))
        self.assertIn("***", seen)
        for verb in (("list",), ("get", "tuner-a.password"), ("history",), ("explain", "tuner-a")):
            seen += self.verb(host, "config", *verb, "-o", "json")
        seen += self.verb(host, "config", "set", "tuner-a.password", "in sight", code=1)
        other = pathlib.Path(host.folder, "other.conf")
        other.write_text(self.text(host).replace("battery staple", "paper clip"), encoding="utf-8")
        seen += self.verb(host, "config", "diff", str(other), "-o", "json")
        self.assertIn("another", seen)
        self.assertEqual(host.stop(), 0)
        for word in ("horse", "staple", "clip", "sight"):
            self.assertNotIn(word, seen + host.text())

    def test_validate_and_diff_change_nothing(self):
        host = self.start()
        before = self.text(host)
        other = pathlib.Path(host.folder, "other.conf")
        other.write_text(before.replace("speed = 20", "speed = 21\nsize = 5"), encoding="utf-8")
        changes = self.changes(host, "config", "diff", str(other))
        self.assertEqual(set(changes), {"tuner-a.speed", "tuner-a.size"})
        self.assertEqual(changes["tuner-a.speed"]["before"], "20")
        self.assertEqual(changes["tuner-a.speed"]["after"], "21")
        self.assertEqual(self.changes(host, "config", "diff"), {})  # the file that is in use
        changes = self.changes(host, "config", "validate", str(other))
        self.assertEqual(changes["tuner-a.size"]["how"], "imctl module reload tuner-a")
        for bad, said in (("speed = 200", "FILE:8"), ("word = forbidden", "may not be that"),
                          ("sped = 1", "did you mean `speed`"), ("what is this", "FILE:8")):
            other.write_text(before.replace("speed = 20", bad), encoding="utf-8")
            self.assertIn(said, self.verb(host, "config", "validate", str(other), code=1))
        self.assertEqual(self.text(host), before)
        self.assertEqual(self.show(host)["speed"], 20)
        self.assertEqual(len(self.json(host, "config", "history")["changes"]), 0)


class ChangingTest(ConfigTestCase):
    def test_at_once_where_the_module_can(self):
        host = self.start()
        where = self.json(host, "module", "list")
        changes = self.changes(host, "config", "set", "tuner-a.speed", "33", "--why", "it was slow")
        self.assertEqual(changes["tuner-a.speed"]["state"], "applied")
        self.assertEqual(self.show(host)["speed"], 33)
        self.assertIn("speed = 33   # quick", self.text(host))
        self.assertTrue(self.text(host).startswith("# kept by every change\n"))
        self.changes(host, "config", "set", "tuner-b.names", "x", "y")
        self.assertEqual(self.show(host, "b")["names"], ["x", "y"])
        # The same process or copy as before.
        self.assertEqual([m["where"] for m in where["modules"]],
                         [m["where"] for m in self.json(host, "module", "list")["modules"]])
        change = self.json(host, "config", "history")["changes"][-2]
        self.assertIn("it was slow", change["why"])
        self.assertEqual(change["who"], "auth=none")
        host.restart()
        self.assertEqual(self.show(host)["speed"], 33)
        self.changes(host, "config", "unset", "tuner-a.speed")
        self.assertEqual(self.show(host)["speed"], 10)

    def test_what_cannot_waits(self):
        host = self.start()
        changes = self.changes(host, "config", "set", "tuner-a.size", "7")
        self.assertEqual(changes["tuner-a.size"]["state"], "waiting")
        self.assertEqual(changes["tuner-a.size"]["how"], "imctl module reload tuner-a")
        self.assertEqual(self.show(host)["size"], 1)
        row = self.json(host, "config", "get", "tuner-a.size")
        self.assertEqual(row["value"], "1")
        self.assertIn("7 (imctl module reload tuner-a)", row["waiting"])
        # A module takes its settings as a whole.
        changes = self.changes(host, "config", "set", "tuner-a.speed", "50")
        self.assertEqual({c["state"] for c in changes.values()}, {"waiting"})
        self.verb(host, "module", "reload", "tuner-a")
        self.assertEqual((self.show(host)["size"], self.show(host)["speed"]), (7, 50))
        self.assertEqual(self.json(host, "config", "get", "tuner-a.size")["waiting"], "")
        changes = self.changes(host, "config", "set", "host.domain", "example.org")
        self.assertEqual(changes["host.domain"]["how"], "restart")

    def test_dry_run(self):
        host = self.start()
        before = self.text(host)
        changes = self.changes(host, "config", "set", "tuner-a.speed", "33", "--dry-run")
        self.assertEqual(changes["tuner-a.speed"]["state"], "applied")
        self.assertIn("may not be", self.verb(host, "config", "set", "tuner-a.word", "forbidden",
                                              "--dry-run", code=1))
        self.assertEqual(self.text(host), before)
        self.assertEqual(self.show(host)["speed"], 20)

    def test_what_wins_over_the_file_is_said(self):
        host = self.start(env={"IMCTL_TUNER_B__SPEED": "30"})
        changes = self.changes(host, "config", "set", "tuner-b.speed", "40")
        self.assertEqual(changes["tuner-b.speed"]["state"], "overridden")
        self.assertEqual(changes["tuner-b.speed"]["how"], "env IMCTL_TUNER_B__SPEED")
        self.assertEqual(self.show(host, "b")["speed"], 30)

    def test_bad_values_change_nothing(self):
        host = self.start()
        before = self.text(host)
        for key, value, said in (("tuner-a.speed", "200", "at most 100"),
                                 ("tuner-a.speed", "fast", "fast"),
                                 ("tuner-a.word", "forbidden", "tuner-a.word"),
                                 ("tuner-a.word", "stubborn", "tuner-a.word"),
                                 ("host.log_level", "loud", "loud"),
                                 ("host.log_file", "/proc/no/such/file", "host.log_file")):
            with self.subTest(f"{key}={value}"):
                got, out, err = host.imctl("config", "set", key, value)
                self.assertNotEqual(got, 0, out)
                self.assertIn(said, err)
                self.assertEqual(self.text(host), before)
        self.assertEqual(self.show(host)["word"], "calm")
        self.assertEqual(self.json(host, "config", "history")["changes"], [])
        self.verb(host, "config", "set", "tuner-a.sped", "1", code=3)
        self.assertIn("one value",
                      self.verb(host, "config", "set", "tuner-a.speed", "1", "2", code=1))

    def test_all_or_nothing(self):
        """tuner-a has taken its new settings when tuner-b refuses: it gets the old ones back."""
        host = self.start()
        text = self.text(host).replace("speed = 20", "speed = 44") + "word = stubborn\n"
        text = text.replace("swap_watch = 100ms", "swap_watch = 100ms\nmax_depth = 3")
        self.path(host).write_text(text, encoding="utf-8")
        error = self.verb(host, "config", "reload", code=6)
        self.assertIn("tuner-b.word", error)
        self.assertIn("nothing was changed", error)
        self.assertEqual(self.show(host)["speed"], 20)
        self.assertEqual(self.show(host, "b")["word"], "calm")
        self.assertEqual(self.json(host, "config", "get", "host.max_depth")["value"], "16")
        self.assertEqual(self.text(host), text)  # it is theirs who wrote it
        self.assertIn("44 (imctl config reload)",
                      self.json(host, "config", "get", "tuner-a.speed")["waiting"])

    def test_rollback(self):
        host = self.start()
        for speed in ("31", "32", "33"):
            self.verb(host, "config", "set", "tuner-a.speed", speed)
        history = self.json(host, "config", "history")["changes"]
        self.assertEqual(history[0]["who"], "")  # as it was found
        changes = self.changes(host, "config", "rollback", history[1]["number"])
        self.assertEqual(changes["tuner-a.speed"]["after"], "31")
        self.assertEqual(self.show(host)["speed"], 31)
        self.verb(host, "config", "rollback", history[0]["number"])
        self.assertEqual(self.text(host), CONFIG.format(isolate=self.isolate))
        self.assertEqual(self.show(host)["speed"], 20)
        self.verb(host, "config", "rollback", "4711", code=3)

    def test_of_the_host_itself(self):
        host = self.start()
        self.verb(host, "config", "set", "host.log_level", "debug")
        self.verb(host, "tuner-a", "say", "can you hear me", "--level", "debug")
        self.wait_for_log(host, "can you hear me")
        log = os.path.join(host.folder, "log", "imctl.log")
        self.verb(host, "config", "set", "host.log_file", log)
        self.verb(host, "config", "set", "host.log_format", "json")
        self.verb(host, "tuner-a", "say", "in the file", "--level", "debug")
        self.assertEqual(host.stop(), 0)
        with open(log, encoding="utf-8") as file:
            lines = [line for line in file if "in the file" in line]
        line = json.loads(lines[0])
        self.assertEqual((line["module"], line["level"], line["text"]),
                         ("tuner-a", "debug", "in the file"))
        self.assertEqual(line["user"], "auth=none")
        self.assertTrue(line["call"])
        host.port = None


class IsolatedChangingTest(ChangingTest):
    isolate = "process"

    def test_a_process_that_comes_back_has_them(self):
        host = self.start()
        self.verb(host, "config", "set", "tuner-a.speed", "33")
        self.verb(host, "log", "level", "tuner-a", "debug")
        modules = self.json(host, "module", "list")["modules"]
        (where,) = [m["where"] for m in modules if m["name"] == "tuner-a"]
        os.kill(int(where.removeprefix("process ")), signal.SIGKILL)
        self.wait_for_log(host, "is back after")
        self.assertEqual(self.show(host)["speed"], 33)
        self.verb(host, "tuner-a", "say", "still heard", "--level", "debug")
        self.wait_for_log(host, "still heard")


class ReloadTest(ConfigTestCase):
    def reload(self, host, text):
        self.path(host).write_text(text, encoding="utf-8")
        since = len(host.log)
        host.process.send_signal(signal.SIGHUP)
        return since

    def test_sighup(self):
        host = self.start()
        since = self.reload(host, self.text(host).replace("speed = 20", "speed = 21"))
        self.wait_for_log(host, "tuner-a.speed = 21: applied", since)
        self.assertEqual(self.show(host)["speed"], 21)
        since = self.reload(host, self.text(host).replace("speed = 21", "speed = fast"))
        self.wait_for_log(host, "the settings stay as they were", since)
        self.assertIn("imctl.conf:8", host.text())
        self.assertEqual(self.show(host)["speed"], 21)
        # A verb does not touch what is no good, and says so.
        self.assertIn("imctl.conf:8", self.verb(host, "config", "set", "tuner-b.speed", "9", code=1))
        listed = self.json(host, "config", "list", "tuner-a.speed")
        self.assertIn("imctl.conf:8", listed["problem"])
        self.assertEqual(listed["settings"][0]["value"], "21")
        since = self.reload(host, self.text(host).replace("speed = fast", "word = forbidden"))
        self.wait_for_log(host, "may not be that", since)
        self.assertEqual(self.show(host)["word"], "calm")

    def test_a_file_that_is_gone_is_no_file_without_settings(self):
        host = self.start()
        self.verb(host, "config", "set", "tuner-b.speed", "9")
        text = self.text(host)
        self.path(host).unlink()
        self.assertIn("is gone", self.verb(host, "config", "reload", code=6))
        self.assertIn("is gone", self.verb(host, "config", "set", "tuner-a.speed", "30", code=6))
        self.assertEqual(self.show(host)["speed"], 20)
        self.assertEqual(self.show(host, "b")["speed"], 9)
        self.assertFalse(self.path(host).exists())
        last = self.json(host, "config", "history")["changes"][-1]["number"]
        self.verb(host, "config", "rollback", str(last))
        self.assertEqual(self.text(host), text)
        self.verb(host, "config", "reload")

    def test_what_is_not_utf8(self):
        host = self.start()
        self.path(host).write_bytes(self.text(host).replace("speed = 20", "word = \xff").encode("latin-1"))
        error = self.verb(host, "config", "reload", code=1)
        self.assertIn("imctl.conf:8", error)
        self.assertIn("UTF-8", error)
        self.assertEqual(self.show(host)["speed"], 20)

    def test_what_was_edited_by_hand_is_in_the_history(self):
        host = self.start()
        self.path(host).write_text(self.text(host).replace("speed = 20", "speed = 21"),
                                   encoding="utf-8")
        self.assertEqual(self.changes(host, "config", "reload")["tuner-a.speed"]["state"], "applied")
        (change,) = self.json(host, "config", "history")["changes"]
        self.assertEqual(change["why"], "found in the file")

    def test_modules_that_come_and_go_wait(self):
        host = self.start()
        self.path(host).write_text(self.text(host) + "enabled = no\n", encoding="utf-8")
        changes = self.changes(host, "config", "reload")
        self.assertEqual(changes["tuner-b.enabled"]["how"], "imctl module disable tuner-b")
        self.verb(host, "module", "disable", "tuner-b")
        changes = self.changes(host, "config", "set", "tuner-b.speed", "3")
        self.assertEqual(changes["tuner-b.speed"]["how"], "imctl module enable tuner-b")
        changes = self.changes(host, "config", "set", "tuner-b.enabled", "yes")
        self.assertEqual(changes["tuner-b.enabled"]["how"], "imctl module enable tuner-b")
        self.verb(host, "module", "enable", "tuner-b")
        self.assertEqual(self.show(host, "b")["speed"], 3)

    def test_what_runs_and_is_to_be_off_takes_no_settings(self):
        host = self.start()
        self.verb(host, "config", "set", "host.modules", "tuner-a")
        error = self.verb(host, "config", "set", "tuner-b.speed", "9", code=6)
        self.assertIn("module enable tuner-b", error)
        self.verb(host, "config", "set", "host.modules", "tuner-a", "tuner-b")
        self.verb(host, "config", "set", "tuner-b.speed", "9")


class StorageTest(unittest.TestCase):
    def test_limits_of_the_storage_are_live(self):
        host = Host(config="[storage-sqlite]\nmax_batch = 2\n")
        self.addCleanup(host.discard)
        host.start()
        code, _, err = host.imctl("message", "get", "a", "b", "c")
        self.assertEqual(code, 1, err)
        code, out, err = host.imctl("config", "set", "storage-sqlite.max_batch", "3")
        self.assertEqual(code, 0, err)
        self.assertIn("applied", out)
        self.assertEqual(host.imctl("message", "get", "a", "b", "c")[0], 0)
        code, out, err = host.imctl("config", "set", "storage-sqlite.max_reply", "1KiB")
        self.assertEqual(code, 1, out)
        self.assertIn("storage-sqlite.max_reply", err)
        self.assertIn("max_message", err)


@unittest.skipIf(os.environ.get("IMCTL_SANITIZED") == "1", "a preloaded library")
class FullDiskTest(ConfigTestCase):
    def test_nothing_changes(self):
        """The disk is full from each of the writes on that a change makes, or for that one only."""
        disk = Disk()
        host = self.start(env=disk.env)
        disk.disarm(files=SETTINGS)
        self.verb(host, "config", "set", "tuner-a.speed", "30")
        before, history = self.text(host), self.histories(host)
        calls = disk.calls
        self.assertGreater(calls, 4)
        for count in (1, 1000):
            at = 1
            while True:
                disk.arm(at, count, errno.ENOSPC, files=SETTINGS)
                got, out, err = host.imctl("config", "set", "tuner-a.speed", "31")
                if got == 0 and disk.failed == 0:
                    break
                # One write that failed may be one that was not needed.
                if got != 0:
                    self.assertIn("undone", err)
                    self.assertEqual(self.show(host)["speed"], 30, f"call {at}: {err}")
                    self.assertEqual(self.text(host), before)
                    self.assertEqual(self.histories(host), history)
                    self.assertEqual(self.json(host, "config", "get", "tuner-a.speed")["value"], "30")
                else:
                    disk.disarm(files=SETTINGS)
                    self.verb(host, "config", "set", "tuner-a.speed", "30")
                    before, history = self.text(host), self.histories(host)
                at += 1
                self.assertLess(at, 200, out)
            self.assertGreater(at, 4)
            self.assertEqual(self.show(host)["speed"], 31)
            disk.disarm(files=SETTINGS)
            self.verb(host, "config", "set", "tuner-a.speed", "30")
            before, history = self.text(host), self.histories(host)
        host.restart()
        self.assertEqual(self.show(host)["speed"], 30)

    def histories(self, host):
        return pathlib.Path(host.data, "host", "settings", "index.jsonl").read_text("utf-8")


class KillTest(ConfigTestCase):
    def test_kill_at_any_moment(self):
        """Whatever the moment, afterwards the file is whole: the old one or the new one."""
        host = self.start()
        chance = random.Random(7)
        rounds = 12
        done = 20
        for turn in range(rounds):
            asked = []
            stop = threading.Event()

            def change():
                number = turn * 7
                while not stop.is_set():
                    number = number % 99 + 1
                    asked.append(number)
                    if host.imctl("config", "set", "tuner-a.speed", str(number))[0] != 0:
                        return

            thread = threading.Thread(target=change)
            thread.start()
            time.sleep(chance.uniform(0.02, 0.4))
            process = host.process
            process.kill()
            process.wait()
            stop.set()
            thread.join()
            possible = {done, *asked}
            self.assertIn("# kept by every change", self.text(host))
            host.kill()
            host.start()
            done = self.show(host)["speed"]
            self.assertIn(done, possible)
            self.assertIn(f"speed = {done}   # quick", self.text(host))
            for change_ in self.json(host, "config", "history")["changes"]:
                self.assertTrue(change_["number"])
        self.verb(host, "config", "set", "tuner-a.speed", "20")
        self.assertEqual(self.show(host)["speed"], 20)


if __name__ == "__main__":
    unittest.main()
