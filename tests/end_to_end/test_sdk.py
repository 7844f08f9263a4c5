"""What a stranger gets: imctl installed, modules written against that alone, begun from the template."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from host_fixture import BUILD, ROOT
from sdk_fixture import Installation


class SdkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sdk = Installation()
        cls.addClassCleanup(cls.sdk.remove)

    def begin(self, name, *flags):
        """A module begun from the template, built, tested, installed; gives its folder."""
        self.sdk.run("imctl", "module", "new", name, *flags)
        folder = pathlib.Path(self.sdk.folder, name)
        self.assertIn("100% tests passed", self.sdk.build(folder))
        return folder

    def serves(self):
        modules = json.loads(self.sdk.embedded("module", "list", "-o", "json"))["modules"]
        return {module["name"] for module in modules if module["state"] == "active"}

    # -- what is installed

    def test_the_sources_are_out_of_reach(self):
        out = self.sdk.run("sh", "-c", f"ls -A {ROOT} {BUILD}; true")
        self.assertTrue({str(ROOT) + ":", ""} >= set(out.splitlines()) - {str(BUILD) + ":"}, out)
        self.assertIn("imctl", self.sdk.run("imctl", "--version"))

    def test_destdir(self):
        stage = tempfile.mkdtemp(prefix="imctl-stage-")
        self.addCleanup(shutil.rmtree, stage)
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", "/opt/imctl"], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "DESTDIR": stage})
        here = pathlib.Path(stage, "opt", "imctl")
        there = pathlib.Path(self.sdk.prefix)
        self.assertEqual(os.listdir(stage), ["opt"])
        mine = {path.relative_to(there) for path in there.rglob("*")}
        self.assertLessEqual({path.relative_to(here) for path in here.rglob("*")}, mine)
        # Where it was installed from is in none of what builds others.
        for path in [*there.rglob("*.cmake"), *there.rglob("*.pc"), *there.rglob("*.h")]:
            self.assertNotIn(str(ROOT), path.read_text(encoding="utf-8"), path)

    # -- the template

    def test_a_module_from_the_template(self):
        folder = self.begin("first-steps")
        self.assertIn("first-steps", self.serves())
        for times in ("1", "2"):
            out = self.sdk.embedded("first-steps", "greet", "Ann", "-o", "json")
            self.assertEqual(json.loads(out), {"text": "Hello, Ann!", "times": times})
        out = self.sdk.embedded("first-steps", "greet", "Ann", "--dry-run", "-o", "json")
        self.assertEqual(json.loads(out)["times"], "3")
        self.assertIn("What people are greeted with",
                      self.sdk.embedded("config", "explain", "first-steps.greeting"))
        made = " ".join(path.read_text(encoding="utf-8", errors="replace")
                        for path in folder.rglob("*") if path.is_file() and "build" not in path.parts)
        self.assertNotRegex(made, "@[A-Z]+@")

        # Its test would see it if the module were wrong.
        code = folder / "first_steps.cc"
        text = code.read_text(encoding="utf-8")
        self.assertIn("greeted.times() + 1", text)
        code.write_text(text.replace("greeted.times() + 1", "greeted.times() + 2"), encoding="utf-8")
        self.sdk.run("cmake", "--build", "build", cwd=folder)
        out = self.sdk.run("ctest", "--test-dir", "build", "--output-on-failure", cwd=folder, code=8)
        self.assertIn("failed: reply->times() == times", out)

    def test_a_module_in_c_from_the_template(self):
        folder = self.begin("plain", "--lang", "c")
        self.assertIn("plain", self.serves())
        out = self.sdk.embedded("plain", "greet", "Ann", "-o", "json")
        self.assertEqual(json.loads(out), {"text": "Hello, Ann!", "times": "1"})
        needed = json.loads(self.sdk.run("imctl", "module", "inspect", folder / "build" / "plain.so",
                                         "-o", "json"))["libraries"]
        self.assertIn("libprotobuf-c.so.1", needed)
        self.assertFalse([name for name in needed if name.startswith(("libstdc++", "libprotobuf.so"))])
        self.sdk.run("imctl", "module", "check", folder / "build" / "plain.so")

    def test_what_new_refuses(self):
        for name in ("Upper", "-dash", "end-", "two--dashes", "1st", "a/b", ""):
            self.assertIn("a module's name is", self.sdk.run("imctl", "module", "new", "--", name, code=1))
        self.assertIn("--lang is c++ or c", self.sdk.run("imctl", "module", "new", "x", "--lang", "go", code=2))
        os.mkdir(os.path.join(self.sdk.folder, "taken"))
        self.assertIn("is there already", self.sdk.run("imctl", "module", "new", "taken", code=6))
        self.assertEqual(os.listdir(os.path.join(self.sdk.folder, "taken")), [])

    # -- the examples

    def test_hello_on_one_screen(self):
        folder = self.sdk.copy_example("hello")
        code = (folder / "hello.cc").read_text(encoding="utf-8")
        self.assertLess(len(code.splitlines()), 25)
        self.sdk.run("cmake", "-B", "build", cwd=folder)
        self.sdk.run("cmake", "--build", "build", cwd=folder)
        self.sdk.run("cmake", "--install", "build", cwd=folder)
        self.assertIn("Hello, Ann", self.sdk.embedded("hello", "say", "Ann"))

    def test_plain_c_by_make(self):
        folder = self.sdk.copy_example("plain-c")
        self.sdk.run("make", "install", cwd=folder)
        self.assertIn("12", self.sdk.embedded("adder", "add", "3", "4", "5"))
        out = self.sdk.embedded("adder", "tally", "-o", "jsonl", stdin="1\n2\n3\n")
        self.assertEqual([json.loads(line)["sum"] for line in out.splitlines()], ["1", "3", "6"])
        self.sdk.run("imctl", "module", "check", folder / "adder.so")

    def test_streams(self):
        folder = self.sdk.copy_example("echo-chat")
        self.assertIn("100% tests passed", self.sdk.build(folder))
        self.sdk.run("imctl", "module", "check", folder / "build" / "echo-chat.so")
        self.assertEqual(self.sdk.embedded("echo-chat", "talk", stdin="one\ntwo\n"), "one\ntwo\n")
        out = self.sdk.embedded("echo-chat", "count", "3", "-o", "jsonl")
        self.assertEqual([json.loads(line)["number"] for line in out.splitlines()], ["1", "2", "3"])


if __name__ == "__main__":
    unittest.main()
