"""Modules switched on and off, replaced and put back, by verbs against a running host."""

import json
import os
import pathlib
import unittest

import stubs
from host_fixture import BUILD, MODULES, Host
from stubs import event

TEST_MODULES = BUILD / "tests" / "modules"
NEXT = TEST_MODULES / "next" / "storage-sqlite.so"
COUNTERS = [str(TEST_MODULES / f"counter-{n}" / "counter.so") for n in (1, 2)]


class ModulesTest(unittest.TestCase):
    def start(self, config="", path=(MODULES, TEST_MODULES), modules="storage-sqlite"):
        config = ("# kept by every change\n[host]\nswap_watch = 100ms\n"
                  f"modules = {modules}\n" + config)
        host = Host(config=config, modules=(),
                    settings={"host.modules": None, "host.module_path": ",".join(map(str, path)),
                              "host.max_request": "256MiB"})  # a build with sanitizers is large
        self.addCleanup(host.discard)
        return host.start()

    def verb(self, host, *arguments, code=0):
        got, out, err = host.imctl(*arguments)
        self.assertEqual(got, code, f"{arguments}: {out}{err}\n{host.text()[-2000:]}")
        return out if code == 0 else err

    def states(self, host):
        modules = json.loads(self.verb(host, "module", "list", "-o", "json"))["modules"]
        return {m["name"]: m for m in modules}

    def config(self, host):
        return pathlib.Path(host.folder, "imctl.conf").read_text(encoding="utf-8")

    def test_on_and_off(self):
        host = self.start()
        client = stubs.Client(host.channel())
        client.put(event("a"))
        self.assertEqual(self.states(host)["echo"]["state"], "off")
        self.assertIn("host.modules", self.states(host)["echo"]["reason"])

        self.verb(host, "module", "disable", "storage-sqlite")
        self.assertIn("there is no `message`", self.verb(host, "message", "get", "a", code=2))
        self.assertIn("storage-sqlite.enabled", self.states(host)["storage-sqlite"]["reason"])
        self.verb(host, "module", "enable", "echo")
        self.assertIn("hello", self.verb(host, "echo", "say", "hello"))  # its verb is there at once
        host.restart()
        self.assertEqual(self.states(host)["storage-sqlite"]["state"], "off")
        self.assertEqual(self.states(host)["echo"]["state"], "active")
        self.verb(host, "module", "enable", "storage-sqlite")
        self.assertEqual([m.id for m in stubs.Client(host.channel()).get("a")], ["a"])
        self.assertTrue(self.config(host).startswith("# kept by every change\n"))

    def test_what_is_required(self):
        host = self.start(modules="")
        self.verb(host, "module", "list")
        error = self.verb(host, "module", "disable", "echo", code=6)
        self.assertIn("leaning", error)
        self.assertIn("--cascade", error)
        table = self.verb(host, "module", "disable", "echo", "--cascade")
        self.assertIn("leaning", table)
        self.assertEqual(self.states(host)["leaning"]["state"], "off")
        table = self.verb(host, "module", "enable", "leaning")
        self.assertIn("echo", table)

    def test_replaced_and_put_back(self):
        host = self.start()
        self.verb(host, "module", "upgrade", "counter", COUNTERS[0])  # it never was here
        self.assertEqual(self.states(host)["counter"]["version"], "1.0.0")
        # What does not come with imctl gets a process of its own.
        self.assertRegex(self.states(host)["counter"]["where"], r"process \d+")
        table = self.verb(host, "module", "upgrade", "counter", COUNTERS[1])
        self.assertIn("replaced", table)
        self.assertIn("2.0.0", table)
        host.restart()
        self.assertEqual(self.states(host)["counter"]["version"], "2.0.0")
        self.verb(host, "module", "rollback", "counter")
        self.assertEqual(self.states(host)["counter"]["version"], "1.0.0")

    def test_errors_say_what_to_do(self):
        host = self.start()
        before = self.config(host)
        self.assertIn("there are: ", self.verb(host, "module", "enable", "nothing", code=3))
        self.assertIn("imctl module enable echo",
                      self.verb(host, "module", "reload", "echo", code=6))
        self.assertIn("no module that can be changed",
                      self.verb(host, "module", "disable", "host", code=1))
        self.assertIn("not a shared object",
                      self.verb(host, "module", "upgrade", "storage-sqlite", __file__, code=1))
        self.assertIn("calls it counter",
                      self.verb(host, "module", "upgrade", "storage-sqlite", COUNTERS[0], code=6))
        self.assertIn("no other file",
                      self.verb(host, "module", "rollback", "storage-sqlite", code=6))
        self.assertEqual(self.config(host), before)
        table = self.verb(host, "module", "upgrade", "storage-sqlite", str(NEXT), "--dry-run")
        self.assertIn("-next", table)
        self.assertEqual(self.config(host), before)
        self.assertNotIn("-next", self.states(host)["storage-sqlite"]["version"])

    def test_a_config_that_cannot_be_written_changes_nothing(self):
        if os.geteuid() == 0:
            # Nothing stops root but a folder in the place of the file.
            host = self.start()
            path = pathlib.Path(host.folder, "imctl.conf")
            text = path.read_text(encoding="utf-8")
            path.unlink()
            path.mkdir()
            self.assertNotEqual(host.imctl("module", "disable", "storage-sqlite")[0], 0)
            self.assertEqual(self.states(host)["storage-sqlite"]["state"], "active")
            path.rmdir()
            path.write_text(text, encoding="utf-8")

    def test_without_a_config_file_one_is_made(self):
        host = Host()
        host.settings["host.modules"] = None
        self.addCleanup(host.discard)
        host.start()
        self.verb(host, "module", "disable", "user")
        made = pathlib.Path(host.folder, "config", "imctl", "imctl.conf")
        self.assertIn("enabled = no", made.read_text(encoding="utf-8"))
        host.restart()
        self.assertEqual(self.states(host)["user"]["state"], "off")


if __name__ == "__main__":
    unittest.main()
