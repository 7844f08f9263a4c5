"""Modules that break one rule each: `imctl module check` says which, and the host refuses or survives them."""

import concurrent.futures
import json
import subprocess
import unittest

from host_fixture import BUILD, IMCTL, MODULES, ROOT, Host, clean_environment

FAULTY = BUILD / "tests" / "modules" / "faulty"

# The rule that each breaks.
RULES = {
    "null_slot": 10,
    "null_handler": 10,
    "short_struct": 9,
    "short_method": 9,
    "abi": 2,
    "double_finish": 16,
    "late_finish": 19,
    "never_finish": 18,
    "use_after_finish": 17,
    "throw": 15,
    "throw_always": 15,
    "slow_stop": 21,
    "thread_local": 12,
    "blocks": 22,
    "greedy": 20,
    "crash": 14,
    "strict": 13,
    "export": 3,
    "verb": 7,
    "swap": 23,
}
# The host does not even start with these.
REFUSED = ("null_slot", "null_handler", "short_struct", "short_method", "abi", "throw_always", "verb")
COUNT = 23


def check(file, *flags):
    run = subprocess.run([str(IMCTL), "module", "check", str(file), *flags], capture_output=True, text=True,
                         env=clean_environment(), timeout=300, check=False)
    return run.returncode, run.stdout, run.stderr


def results(file):
    code, out, err = check(file, "-o", "json")
    report = json.loads(out)
    failed = {rule["rule"]: rule["why"] for rule in report["rules"] if rule["result"] == "fail"}
    assert report["passed"] == (not failed) == (code == 0), (code, out, err)
    assert [rule["rule"] for rule in report["rules"]] == list(range(1, COUNT + 1)), out
    return failed, report["rules"]


class CheckTest(unittest.TestCase):
    def test_each_fault_fails_by_its_rule_alone(self):
        # Those that take long wait most of the time.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for fault, (failed, _) in zip(RULES, pool.map(
                    lambda fault: results(FAULTY / fault / "faulty.so"), RULES)):
                with self.subTest(fault):
                    self.assertEqual(list(failed), [RULES[fault]], failed)
                    self.assertTrue(all(failed.values()), failed)

    def test_a_sound_one_passes(self):
        failed, rules = results(FAULTY / "none" / "faulty.so")
        self.assertEqual(failed, {})
        # Each rule was looked at: nothing about this module makes one not apply.
        self.assertEqual({rule["result"] for rule in rules}, {"pass"})

    def test_what_comes_with_imctl_passes(self):
        for name in ("storage-sqlite", "user", "router", "backup", "locations-memory"):
            with self.subTest(name):
                failed, _ = results(MODULES / f"{name}.so")
                self.assertEqual(failed, {})

    def test_what_is_no_module(self):
        failed, rules = results(__file__)
        self.assertEqual(list(failed), [1])
        self.assertEqual({rule["result"] for rule in rules[1:]}, {"not applicable"})
        code, out, _ = check("/no/such/file.so")
        self.assertNotEqual(code, 0)
        self.assertIn("No such file", out)

    def test_for_people(self):
        code, out, err = check(FAULTY / "double_finish" / "faulty.so")
        self.assertNotEqual(code, 0)
        self.assertRegex(out, r"(?m)^16 +fail +It finishes a call once$")
        self.assertIn("rule 16: ", out)
        self.assertIn("module-rules.md", err)
        self.assertEqual(check(FAULTY / "double_finish" / "faulty.so", "-o", "name")[1], "16\n")

    def test_the_rules_are_written_down(self):
        text = (ROOT / "docs" / "module-rules.md").read_text(encoding="utf-8")
        _, rules = results(__file__)
        for rule in rules:
            self.assertIn(f"\n## {rule['rule']}. {rule['title']}\n", text)
        self.assertEqual(text.count("\n**What.** "), COUNT)
        self.assertEqual(text.count("\n**Why.** "), COUNT)
        self.assertEqual(text.count("\n**How it is checked.** "), COUNT)


class SurvivalTest(unittest.TestCase):
    """The same modules in a host's own process."""

    def host(self, fault, isolate="no"):
        host = Host(modules=("faulty",), settings={
            "faulty.file": FAULTY / fault / "faulty.so", "faulty.isolate": isolate,
            "host.stop_timeout": "1s"})
        self.addCleanup(host.discard)
        return host

    def named(self, fault):
        return f"(rule {RULES[fault]} of module-rules.md)"

    def test_refused_with_the_rule(self):
        for fault in REFUSED:
            with self.subTest(fault):
                code, log = self.host(fault).fails()
                self.assertNotIn(code, (0, None))
                self.assertIn(self.named(fault), log)

    def test_survived_with_the_rule(self):
        for fault in ("double_finish", "use_after_finish", "throw"):
            with self.subTest(fault):
                host = self.host(fault).start()
                for _ in range(3):
                    code, out, err = host.imctl("faulty", "echo", "hello")
                    if fault == "throw":
                        self.assertNotEqual(code, 0)
                        self.assertIn("threw an exception", err)
                    else:
                        self.assertIn("hello", out, err)
                self.assertIn(self.named(fault), host.text())
                if fault == "use_after_finish":
                    # As who is it to call? As nobody.
                    self.assertIn("the orphan ended with 1", host.text())
                    self.assertNotIn("the orphan ended with 0", host.text())
                metrics = host.imctl("metric", "list", "-o", "json")[1]
                self.assertIn("imctl_module_rule_breaches_total", metrics)
                self.assertEqual(host.stop(), 0, host.text())

    def test_a_stream_that_throws(self):
        host = self.host("throw").start()
        code, _, err = host.imctl("call", "imctl.test.faulty.v1.Faulty/Chat", "-f", "-", stdin='{"text": "x"}\n')
        self.assertNotEqual(code, 0)
        self.assertIn("threw an exception", err)
        self.assertEqual(host.stop(), 0, host.text())

    def test_greed_loses_the_message(self):
        host = self.host("greedy").start()
        host.imctl("call", "imctl.test.faulty.v1.Faulty/Chat", "-f", "-", stdin='{"text": "x"}\n')
        self.assertIn(self.named("greedy"), host.text())
        self.assertEqual(host.stop(), 0, host.text())

    def test_what_stays_mapped_is_told(self):
        host = self.host("thread_local").start()
        self.assertIn("hello", host.imctl("faulty", "echo", "hello")[1])
        host.imctl("module", "disable", "faulty")
        self.assertIn(self.named("thread_local"), host.text())
        self.assertEqual(host.stop(), 0, host.text())

    def test_a_call_that_never_ends(self):
        """It cannot be unloaded: the host goes on, and ends with it when it is stopped itself."""
        host = self.host("never_finish").start()
        code, _, err = host.imctl("faulty", "echo", "hello", "--timeout", "200ms")
        self.assertNotEqual(code, 0, err)
        code, _, err = host.imctl("module", "disable", "faulty")
        self.assertNotEqual(code, 0)
        self.assertIn(self.named("never_finish"), err)
        self.assertIn("Faulty/Echo", err)
        self.assertEqual(host.imctl("module", "list")[0], 0)
        self.assertNotEqual(host.stop(), 0)

    def test_a_crash_needs_a_process_of_its_own(self):
        host = self.host("crash", isolate="process").start()
        call = host.channel().unary_unary("/imctl.test.faulty.v1.Faulty/Echo")
        with self.assertRaises(Exception) as failed:
            call(b"\xff\xff\xff", timeout=20)
        self.assertIn("died", str(failed.exception))
        self.assertTrue(host.alive())
        self.assertEqual(host.stop(), 0, host.text())


if __name__ == "__main__":
    unittest.main()
