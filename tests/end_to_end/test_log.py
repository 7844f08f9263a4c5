"""The log of a running host: read, followed, filtered; levels set for a while; lines of a call's whole way."""

import json
import os
import re
import signal
import stat
import subprocess
import threading
import time
import unittest

import grpc

from host_fixture import BUILD, IMCTL, MODULES, Host

TEST_MODULES = BUILD / "tests" / "modules"
CONFIG = """
[host]
modules = tuner-a, tuner-b

[tuner-a]
isolate = {isolate}

[tuner-b]
isolate = {isolate}
"""


class LogTestCase(unittest.TestCase):
    isolate = "no"

    def start(self, settings=None, **options):
        host = Host(config=CONFIG.format(isolate=self.isolate), modules=(),
                    settings={"host.modules": None,
                              "host.module_path": f"{MODULES},{TEST_MODULES}", **(settings or {})},
                    **options)
        self.addCleanup(host.discard)
        return host.start()

    def verb(self, host, *arguments, code=0):
        got, out, err = host.imctl(*arguments)
        self.assertEqual(got, code, f"{arguments}: {out}{err}\n{host.text()[-3000:]}")
        return out if code == 0 else err

    def tail(self, host, *arguments):
        out = self.verb(host, "log", "tail", *arguments, "-o", "jsonl")
        return [json.loads(line) for line in out.splitlines()]

    def texts(self, host, *arguments):
        return [line["text"] for line in self.tail(host, *arguments)]

    def say(self, host, text, *arguments, which="a"):
        return self.verb(host, f"tuner-{which}", "say", text, *arguments)

    def levels(self, host, *arguments):
        out = self.verb(host, "log", "level", *arguments, "-o", "json")
        return {row["module"]: row for row in json.loads(out)["levels"]}

    def eventually(self, what, is_so):
        deadline = time.monotonic() + 30
        while not is_so():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)


class TailTest(LogTestCase):
    def test_filters(self):
        host = self.start()
        self.say(host, "first of all", "--level", "warn")
        self.say(host, "second, timed out", which="b")
        self.say(host, "third, time out")
        self.assertIn("[tuner-a] first of all", host.text())
        self.assertEqual(self.texts(host, "--module", "tuner-a"), ["first of all", "third, time out"])
        self.assertEqual(self.texts(host, "-m", "tuner-a", "-l", "warn"), ["first of all"])
        self.assertEqual(self.texts(host, "--grep", "timed? out$"),
                         ["second, timed out", "third, time out"])
        self.assertEqual(self.texts(host, "--since", "1h", "--module", "tuner-b"),
                         ["second, timed out"])
        time.sleep(0.3)
        self.say(host, "fourth")
        self.assertEqual(self.texts(host, "--since", "250ms", "--module", "tuner-a"), ["fourth"])
        (line,) = self.tail(host, "--grep", "^fourth$")
        self.assertEqual((line["level"], line["module"], line["user"]),
                         ("info", "tuner-a", "auth=none"))
        self.assertIn("regular expression", self.verb(host, "log", "tail", "--grep", "(", code=1))
        self.assertIn("none of trace", self.verb(host, "log", "tail", "--level", "loud", code=1))

    def test_a_pattern_that_would_explode_elsewhere(self):
        host = self.start()
        self.say(host, "a" * 5000)
        begun = time.monotonic()
        self.assertEqual(self.texts(host, "--grep", "^(a*)*b$"), [])
        self.assertLess(time.monotonic() - begun, 20)

    def follow(self, host, *arguments):
        process = subprocess.Popen(
            [str(IMCTL), "log", "tail", "--follow", "-o", "jsonl", "--server", f"127.0.0.1:{host.port}",
             *arguments], env=host.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_follow(self):
        host = self.start()
        self.say(host, "before")
        process = self.follow(host, "--module", "tuner-a")
        self.assertEqual(json.loads(process.stdout.readline())["text"], "before")
        for number in range(5):
            self.say(host, f"line {number}")
            self.assertEqual(json.loads(process.stdout.readline())["text"], f"line {number}")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 130)
        # One that still follows does not hold up the end.
        self.follow(host)
        begun = time.monotonic()
        self.assertEqual(host.stop(), 0)
        self.assertLess(time.monotonic() - begun, 9)

    def test_a_reader_that_stops_loses_lines_with_a_count(self):
        host = self.start({"host.log_memory": "64KiB"})
        process = self.follow(host, "--module", "tuner-a")
        self.eventually("the reader is there", lambda: host.imctl("module", "list")[0] == 0)
        self.say(host, "begun", "--level", "warn")
        self.assertEqual(json.loads(process.stdout.readline())["text"], "begun")
        process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        for _ in range(20):
            self.say(host, "x" * 1000, "--level", "warn", "--count", "1000")
        self.assertLess(time.monotonic() - begun, 60)
        self.say(host, "the last", "--level", "warn")
        process.send_signal(signal.SIGCONT)
        lost = 0
        for line in process.stdout:
            record = json.loads(line)
            match = re.match(r"(\d+) lines were gone", record["text"])
            lost += int(match.group(1)) if match else 0
            if record["text"] == "the last":
                break
        self.assertGreater(lost, 1000)


class IsolatedTailTest(TailTest):
    isolate = "process"


class CallTest(LogTestCase):
    def test_one_request_through_the_modules(self):
        host = self.start()
        self.verb(host, "config", "set", "host.log_level", "debug")
        call = grpc.insecure_channel(f"127.0.0.1:{host.port}").unary_unary(
            "/imctl.test.tuner.v1.TunerA/Say")
        # text = "on the way", pass_on = true
        request = b"\x0a\x0aon the way\x20\x01"
        _, answer = call.with_call(request, metadata=(("imctl-call-id", "my-call.1"),))
        self.assertIn(("imctl-call-id", "my-call.1"), answer.trailing_metadata())
        _, answer = call.with_call(request)
        self.assertNotIn("imctl-call-id", [key for key, _ in answer.trailing_metadata()])
        _, answer = call.with_call(request, metadata=(("imctl-call-id", "no good, this"),))
        lines = self.tail(host, "--call", "my-call.1")
        said = [(line["module"], line["text"]) for line in lines if "on the way" in line["text"]]
        self.assertEqual(said, [("tuner-a", "on the way"), ("tuner-b", "on the way")])
        ended = [line["text"] for line in lines if " ended: " in line["text"]]
        self.assertEqual(len(ended), 2, lines)
        self.assertRegex(ended[0], r"^/imctl.test.tuner.v1.TunerB/Say ended: OK after [0-9.]+ ms, "
                                   r"served by tuner-b, called by tuner-a$")
        self.assertRegex(ended[1], r"^/imctl.test.tuner.v1.TunerA/Say ended: OK .* by tuner-a$")
        self.assertEqual({line["user"] for line in lines}, {"auth=none"})
        self.assertIn("call=my-call.1 user=auth=none", host.text())
        self.assertNotIn("no good", "".join(line["call"] for line in self.tail(host)))
        # Not at the level of info.
        self.verb(host, "config", "set", "host.log_level", "info")
        call.with_call(request, metadata=(("imctl-call-id", "my-call.2"),))
        lines = self.tail(host, "--call", "my-call.2")
        self.assertEqual([line["text"] for line in lines], ["on the way", "on the way"])

    def test_changes_by_verbs_have_a_call_and_a_user(self):
        host = self.start()
        self.verb(host, "config", "set", "tuner-a.speed", "30", "--call-id", "my-change")
        (line,) = self.tail(host, "--call", "my-change")
        self.assertEqual((line["module"], line["text"], line["user"]),
                         ("host", "config set tuner-a.speed", "auth=none"))

    def test_lines_are_text_unless_asked_for(self):
        host = self.start()
        self.say(host, "all is well")
        out = self.verb(host, "log", "tail", "--grep", "^all is well$")
        self.assertRegex(out, r"^\S+Z info \[tuner-a\] all is well call=[0-9a-f]{32} user=auth=none\n$")
        self.assertEqual(self.verb(host, "log", "tail", "--grep", "^all is well$", "--columns", "text"),
                         "TEXT\nall is well\n")

    def test_nothing_in_a_line_drives_a_terminal(self):
        host = self.start()
        self.say(host, "a\x9b31mb\u202ec\x1b[0md")
        self.eventually("the line is written", lambda: " a 31mb c [0md " in host.text())

    def test_what_nobody_serves_is_logged_too(self):
        host = self.start({"host.log_level": "debug"})
        self.verb(host, "module", "disable", "tuner-b")
        call = grpc.insecure_channel(f"127.0.0.1:{host.port}").unary_unary(
            "/imctl.test.tuner.v1.TunerA/Say")
        with self.assertRaises(grpc.RpcError):
            call(b"\x0a\x01x\x20\x01", metadata=(("imctl-call-id", "lost"),))
        texts = self.texts(host, "--call", "lost")
        self.assertTrue(any("TunerB/Say ended: UNIMPLEMENTED" in text for text in texts), texts)


class IsolatedCallTest(CallTest):
    isolate = "process"


class LevelTest(LogTestCase):
    def test_set_live_and_falls_back(self):
        host = self.start()
        self.assertEqual(self.levels(host)["tuner-a"]["level"], "info")
        self.say(host, "not this", "--level", "debug")
        self.levels(host, "tuner-a", "debug", "--dry-run")
        self.say(host, "nor this", "--level", "debug")
        row = self.levels(host, "tuner-a", "debug", "--for", "2s")["tuner-a"]
        self.assertEqual(row["level"], "debug")
        self.assertTrue(row["until"])
        self.eventually("debugging is on", lambda: self.say(host, "but this", "--level", "debug")
                        is None or "but this" in self.texts(host))
        self.say(host, "of the other", "--level", "debug", which="b")
        self.eventually("it falls back", lambda: self.levels(host)["tuner-a"]["level"] == "info")

        def silent():
            before = len(self.texts(host, "--grep", "^after$"))
            self.say(host, "after", "--level", "debug")
            return len(self.texts(host, "--grep", "^after$")) == before

        self.eventually("it is silent", silent)
        texts = self.texts(host)
        for text in ("not this", "nor this", "of the other"):
            self.assertNotIn(text, texts)
        # A longer one takes a shorter one's place.
        self.levels(host, "tuner-a", "debug", "--for", "1s")
        self.levels(host, "tuner-a", "warn", "--for", "1h")
        time.sleep(1.2)
        self.assertEqual(self.levels(host)["tuner-a"]["level"], "warn")
        self.levels(host, "tuner-b", "error")
        host.restart()
        self.assertEqual({row["level"] for row in self.levels(host).values()}, {"info"})

    def test_errors(self):
        host = self.start()
        self.assertIn("no module nothing", self.verb(host, "log", "level", "nothing", "debug", code=3))
        self.assertIn("none of", self.verb(host, "log", "level", "tuner-a", "loud", code=1))
        self.assertIn("which level", self.verb(host, "log", "level", "tuner-a", "--for", "1m", code=1))


class IsolatedLevelTest(LevelTest):
    isolate = "process"


class OutputTest(LogTestCase):
    def test_json_lines(self):
        host = self.start({"host.log_format": "json"})
        self.say(host, 'a "quoted" \u2603 line\nand another')
        self.assertEqual(host.stop(), 0)
        lines = [json.loads(line) for line in host.log]
        (line,) = [line for line in lines if "quoted" in line["text"]]
        self.assertEqual(line["text"], 'a "quoted" \u2603 line\nand another')
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(set(line), {"time", "level", "module", "call", "user", "text"})

    def test_file_with_rotation(self):
        host = Host(config=CONFIG.format(isolate="no"), modules=())
        host.settings.update({"host.modules": None, "host.module_path": f"{MODULES},{TEST_MODULES}",
                              "host.log_file_size": "64KiB", "host.log_file_count": "2"})
        self.addCleanup(host.discard)
        host.start()
        path = os.path.join(host.folder, "logs", "imctl.log")
        self.verb(host, "config", "set", "host.log_file", path)
        for _ in range(30):
            self.say(host, "y" * 100, "--count", "100")
        self.assertEqual(host.stop(), 0)
        files = sorted(os.listdir(os.path.dirname(path)))
        self.assertEqual(files, ["imctl.1.log", "imctl.2.log", "imctl.log"])
        for name in files:
            self.assertLessEqual(os.path.getsize(os.path.join(os.path.dirname(path), name)), 65536)

    def test_journal(self):
        reading, writing = os.pipe()
        status = os.fstat(writing)
        env = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        host = Host(config=CONFIG.format(isolate="no"), modules=(), env=env)
        self.addCleanup(host.discard)
        host.settings.update({"host.modules": None, "host.module_path": f"{MODULES},{TEST_MODULES}"})
        os.makedirs(host.data, exist_ok=True)
        process = subprocess.Popen(host.command(), env=host.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=writing, cwd=host.folder)
        os.close(writing)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        with os.fdopen(reading, encoding="utf-8") as lines:
            first = []
            while not first or "serving on" not in first[-1]:
                first.append(lines.readline())
                self.assertTrue(first[-1], first)
        self.assertRegex("".join(first), r"(?m)^<4>\[host\] auth = none")
        self.assertRegex(first[-1], r"^<6>\[host\] serving on")

    def test_a_stalled_reader_of_stderr_stalls_nobody(self):
        """Nobody reads the pipe that standard error is; lines are dropped and counted."""
        reading, writing = os.pipe()
        host = Host(config=CONFIG.format(isolate="no"), modules=(), listen=None)
        self.addCleanup(host.discard)
        host.settings.update({"host.modules": None, "host.module_path": f"{MODULES},{TEST_MODULES}",
                              "host.listen": "none"})
        os.makedirs(host.data, exist_ok=True)
        process = subprocess.Popen(host.command(), env=host.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=writing, cwd=host.folder)
        os.close(writing)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        socket = os.path.join(host.data, "imctl.sock")
        self.eventually("the socket is there",
                        lambda: os.path.exists(socket) and stat.S_ISSOCK(os.stat(socket).st_mode))

        def verb(*arguments):
            run = subprocess.run([str(IMCTL), *arguments, "--server", f"unix:{socket}"], env=host.env,
                                 capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(run.returncode, 0, run.stderr)
            return run.stdout

        for _ in range(10):
            verb("tuner-a", "say", "z" * 500, "--count", "1000")
        drained = threading.Thread(target=self.drain, args=(reading,))
        drained.start()
        self.addCleanup(drained.join)

        def dropped():
            rows = json.loads(verb("metric", "list", "imctl_log_dropped", "-o", "json"))["metrics"]
            return sum(row["value"] for row in rows)

        self.eventually("what was dropped is counted", lambda: dropped() > 1000)
        process.terminate()
        self.assertEqual(process.wait(30), 0)
        drained.join()
        told = re.findall(r"(\d+) lines of the log were dropped", "".join(self.drained))
        self.assertGreater(sum(map(int, told)), 1000)

    def drain(self, reading):
        with os.fdopen(reading, encoding="utf-8") as lines:
            self.drained = list(lines)


if __name__ == "__main__":
    unittest.main()
