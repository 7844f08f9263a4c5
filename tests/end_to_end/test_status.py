"""How the host is, for people: status, top, debug."""

import io
import json
import os
import subprocess
import tarfile
import threading
import unittest

import stubs
from host_fixture import BUILD, IMCTL, MODULES, Host


class StatusTestCase(unittest.TestCase):
    def start(self, **options):
        host = Host(**options)
        self.addCleanup(host.discard)
        return host.start()

    def verb(self, host, *arguments, code=0):
        got, out, err = host.imctl(*arguments)
        self.assertEqual(got, code, f"{arguments}: {out}{err}\n{host.text()[-3000:]}")
        return out if code == 0 else err

    def json(self, host, *arguments):
        return json.loads(self.verb(host, *arguments, "-o", "json"))

    def state(self, host, *arguments):
        items = self.json(host, "debug", "state", *arguments)["items"]
        return {(i["module"], i["name"]): i["value"] for i in items}


class Status(StatusTestCase):
    def test_one_screen(self):
        host = self.start()
        status = self.json(host, "status")
        self.assertEqual(status["health"], "serving")
        self.assertEqual(int(status["pid"]), host.process.pid)
        self.assertIn({"address": f"127.0.0.1:{host.port}", "kind": "tcp", "access": "everybody is an administrator"},
                      status["listeners"])
        self.assertEqual({m["name"]: m["state"] for m in status["modules"]},
                         {"host": "active", "storage-sqlite": "active"})
        self.assertGreater(int(status["memory"]), 1 << 20)
        self.assertGreater(int(status["data_size"]), 0)
        screen = self.verb(host, "status")
        for word in ("Version:", "Health:", "serving", "Listeners:", "Modules:", "storage-sqlite", "MiB"):
            self.assertIn(word, screen)
        self.assertLess(len(screen.splitlines()), 24)

    def test_counts_calls_and_what_is_stored(self):
        host = self.start()
        before = self.json(host, "status")
        client = stubs.Client(host.channel())
        for part in range(20):
            client.put(*[stubs.event(f"{part}-{i}", "x" * 1000) for i in range(100)])
        after = self.json(host, "status")
        self.assertGreaterEqual(int(after["calls"]) - int(before["calls"]), 20)
        self.assertGreater(after["calls_per_second"], 1)
        self.assertGreater(int(after["data_size"]) - int(before["data_size"]), 2_000_000)

    def test_a_module_in_a_process_of_its_own(self):
        host = self.start(modules=(), settings={
            "host.module_path": f"{MODULES},{BUILD / 'tests' / 'modules'}", "host.modules": "echo",
            "echo.isolate": "process"})
        status = self.json(host, "status")
        module = {m["name"]: m for m in status["modules"]}["echo"]
        self.assertIn("process", module["where"])
        self.assertGreater(int(module["memory"]), 0)


class Top(StatusTestCase):
    def test_methods_by_rate(self):
        host = self.start()
        client = stubs.Client(host.channel())
        stop = threading.Event()

        def load():
            while not stop.is_set():
                client.get("none")

        thread = threading.Thread(target=load)
        thread.start()
        try:
            top = self.json(host, "top", "--interval", "500ms", "--watch=0")
        finally:
            stop.set()
            thread.join()
        method = top["methods"][0]
        self.assertEqual(method["method"], "awakari.messages.Service/GetBatch")
        self.assertEqual(method["module"], "storage-sqlite")
        self.assertGreater(method["calls_per_second"], 10)
        self.assertAlmostEqual(int(method["calls"]) / method["calls_per_second"], 0.5, delta=0.4)
        seconds = {name: float(method[name].rstrip("s")) for name in ("p50", "p99")}
        self.assertGreater(seconds["p50"], 0)
        self.assertLessEqual(seconds["p50"], seconds["p99"])

    def test_bad_interval(self):
        host = self.start()
        self.assertIn("10ms to 1m", self.verb(host, "top", "--interval", "2h", "--watch=0", code=1))


class Debug(StatusTestCase):
    def test_what_a_module_says_of_itself(self):
        for isolate in ("no", "process"):
            with self.subTest(isolate=isolate):
                host = self.start(settings={"storage-sqlite.isolate": isolate})
                stubs.Client(host.channel()).put(stubs.event("m"))
                state = self.state(host)
                self.assertEqual(state.get(("storage-sqlite", "report")), None)
                self.assertEqual(state["storage-sqlite", "state"], "active")
                self.assertEqual(state["storage-sqlite", "buckets"], "1")
                self.assertTrue(state["storage-sqlite", "file"].endswith("messages.db"))
                self.assertIn(("host", "calls_in_flight"), state)
                only = self.state(host, "storage-sqlite")
                self.assertEqual({module for module, _ in only}, {"storage-sqlite"})
                host.stop()

    def test_no_such_module(self):
        host = self.start()
        self.assertIn("no module nobody runs", self.verb(host, "debug", "state", "nobody", code=3))

    def test_stacks(self):
        host = self.start()
        frames = self.json(host, "debug", "stacks")["frames"]
        names = {f["name"] for f in frames}
        self.assertIn("storage-writer", names)
        self.assertTrue(any("Writer::loop" in f["function"] for f in frames if f["name"] == "storage-writer"),
                        [f for f in frames if f["name"] == "storage-writer"])
        # It goes on as before.
        stubs.Client(host.channel()).put(stubs.event("m"))

    def test_bundle(self):
        host = self.start(settings={"storage-sqlite.password": "hush-hush"})
        command = [str(IMCTL), "--server", f"127.0.0.1:{host.port}", "debug", "bundle"]
        bundle = subprocess.run(command, env=host.env, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:gz") as archive:
            files = {name.split("/", 1)[1]: archive.extractfile(name).read().decode()
                     for name in archive.getnames()}
        self.assertEqual(json.loads(files["status.json"])["health"], "serving")
        self.assertIn("storage-sqlite", files["modules.json"])
        self.assertTrue(json.loads(files["metrics.json"])["metrics"])
        self.assertTrue(json.loads(files["state.json"])["items"])
        self.assertIn("storage-sqlite.password", files["settings.conf"])
        self.assertIn("serving on", files["log.jsonl"])
        self.assertIn("storage-writer", files["stacks.json"])
        self.assertNotIn("hush-hush", "".join(files.values()))
        # A terminal gets no bytes, but a word.
        master, terminal = os.openpty()
        refused = subprocess.run(command, env=host.env, stdout=terminal, stderr=subprocess.PIPE,
                                 check=False, text=True)
        os.close(terminal)
        os.close(master)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertIn("> FILE", refused.stderr)


if __name__ == "__main__":
    unittest.main()
