"""The command line in a real terminal: tmux gives one of a size, types, and shows its screen."""

import os
import re
import shlex
import subprocess
import time
import unittest

from host_fixture import BUILD, IMCTL, Host

LONGEST = 30
PLANTS = """\
{"name": "桜の木", "kind": "KIND_TALL_TREE", "height": 420, "labels": {"bed": "cafe\u0301"}}
{"name": "🌵", "kind": "KIND_BUSH", "height": 7, "labels": {"bed": "日向"}}
{"name": "rose", "kind": "KIND_BUSH", "height": 60, "labels": {"bed": "%s"}}
""" % ("long " * 30).strip()


class Screen:
    """A tmux server of its own, with one window in which a shell runs."""

    count = 0

    def __init__(self, test, width, height, env):
        self.test = test
        Screen.count += 1
        self.socket = os.path.join(test.host.folder, f"tmux-{Screen.count}.sock")
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height),
                  "env", "PS1=$ ", "bash", "--norc", "--noprofile", env=env)
        test.addCleanup(self.tmux, "kill-server", check=False)
        self.wait("$")

    def tmux(self, *words, check=True, env=None):
        run = subprocess.run(["tmux", "-u", "-f", "/dev/null", "-S", self.socket, *words], env=env,
                             capture_output=True, text=True, timeout=LONGEST, check=False)
        if check and run.returncode != 0:
            raise AssertionError(f"tmux {words}: {run.stderr}")
        return run.stdout

    def type(self, *words, enter=True):
        self.tmux("send-keys", "-l", shlex.join(words))
        if enter:
            self.tmux("send-keys", "Enter")

    def key(self, name):
        self.tmux("send-keys", name)

    def lines(self, colours=False):
        text = self.tmux("capture-pane", "-p", *(["-e"] if colours else []))
        return [line.rstrip() for line in text.rstrip("\n").split("\n")]

    def wait(self, *wanted):
        """Until all of it is on the screen."""
        end = time.monotonic() + LONGEST
        while True:
            lines = self.lines()
            if all(any(text in line for line in lines) for text in wanted):
                return lines
            if time.monotonic() > end:
                raise AssertionError(f"no {wanted} in:\n" + "\n".join(lines))
            time.sleep(0.02)  # tmux tells nobody of a change

    def wait_prompt(self):
        """Until the shell is back."""
        end = time.monotonic() + LONGEST
        while self.lines()[-1] != "$":
            if time.monotonic() > end:
                raise AssertionError("no prompt in:\n" + "\n".join(self.lines()))
            time.sleep(0.02)


class TerminalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(modules=("garden",), settings={"host.module_path": str(BUILD / "tests" / "modules")})
        cls.host.start()
        code, _, err = cls.host.imctl("plant", "import", "-f", "-", stdin=PLANTS)
        assert code == 0, err
        cls.env = dict(cls.host.env, IMCTL_SERVER=f"127.0.0.1:{cls.host.port}", LC_ALL="C.UTF-8",
                       PATH=f"{IMCTL.parent}:{os.environ['PATH']}")
        cls.env.pop("NO_COLOR", None)
        cls.env.pop("TMUX", None)

    @classmethod
    def tearDownClass(cls):
        code = cls.host.stop()
        cls.host.discard()
        assert code == 0

    def screen(self, width=80, height=24, **env):
        return Screen(self, width, height, dict(self.env, **env))

    def test_tables_fit_and_columns_stand_below_each_other(self):
        for width in (80, 200):
            with self.subTest(width):
                screen = self.screen(width)
                screen.type("imctl", "plant", "list", "--columns", "name,kind,labels.bed,height")
                screen.wait("420")
                table = [line for line in screen.lines()[1:] if line and not line.startswith("$")]
                self.assertEqual(len(table), 4, table)  # no line took two
                # Wide characters take two places of the terminal: the terminal itself says where it is.
                kind = table[0].index("KIND")
                for line in table[1:]:
                    before = line[:re.search(r"\b(herb|bush|tall-tree)\b", line).start()]
                    wide = sum(2 if char in "桜の木🌵" else 1 for char in before)
                    self.assertEqual(wide, kind, line)
                whole = ("long " * 30).strip()
                self.assertEqual(any(whole in line for line in table), width == 200)
                self.assertEqual(any("…" in line for line in table), width == 80)

    def test_colour_is_for_terminals_that_want_it(self):
        screen = self.screen()
        screen.type("imctl", "plant", "list")
        screen.wait("420")
        self.assertTrue(any("\x1b[1mNAME" in line for line in screen.lines(colours=True)))
        screen.type("clear")
        screen.type("imctl", "plant", "fail", "5")
        screen.wait("NOT_FOUND")
        self.assertTrue(any("\x1b[31mimctl:" in line for line in screen.lines(colours=True)))
        screen = self.screen(NO_COLOR="1")
        screen.type("imctl", "plant", "list")
        screen.wait("420")
        self.assertFalse(any("\x1b[1m" in line for line in screen.lines(colours=True)))

    def test_watch_draws_the_screen_anew_and_leaves_it_as_it_was(self):
        screen = self.screen()
        screen.type("echo", "before")
        screen.wait("before")
        screen.type("imctl", "plant", "list", "--watch=100ms", "--columns", "name,height")
        lines = screen.wait("every 100ms", "rose")
        self.assertNotIn("before", lines)
        code, _, err = self.host.imctl("plant", "add", "newcomer")
        self.assertEqual(code, 0, err)
        lines = screen.wait("newcomer")
        self.assertEqual(sum("rose" in line for line in lines), 1)
        # A removed row does not stay.
        code, _, err = self.host.imctl("plant", "remove", "newcomer", "--yes")
        self.assertEqual(code, 0, err)
        end = time.monotonic() + LONGEST
        while any("newcomer" in line for line in screen.lines()):
            self.assertLess(time.monotonic(), end)
        screen.key("C-c")
        screen.wait("before", "rose")
        screen.type("imctl", "plant", "list", "--watch=1h")
        screen.wait("every 1h")
        screen.key("C-c")
        self.tmux_code(screen, 0)

    def test_watch_waits_for_a_host_that_is_gone(self):
        host = Host(modules=("garden",), settings={"host.module_path": str(BUILD / "tests" / "modules")})
        self.addCleanup(host.discard)
        host.start()
        screen = self.screen(IMCTL_SERVER=f"unix:{host.data}/imctl.sock")
        screen.type("imctl", "module", "list", "--watch=50ms")
        screen.wait("every 50ms", "garden")
        self.assertEqual(host.stop(), 0)
        screen.wait("no host answers")
        host.start()
        screen.wait("every 50ms", "garden")
        screen.key("C-c")
        self.tmux_code(screen, 0)
        self.assertEqual(host.stop(), 0)

    def tmux_code(self, screen, code):
        screen.wait_prompt()
        screen.tmux("send-keys", "-l", "echo code=$?")
        screen.key("Enter")
        screen.wait(f"code={code}")

    def test_confirmation(self):
        for answer, code, left in (("n", 1, True), ("", 1, True), ("y", 0, False)):
            with self.subTest(answer):
                self.host.imctl("plant", "add", "weed")
                screen = self.screen()
                screen.type("imctl", "plant", "remove", "weed")
                screen.wait("Remove weed for good? [y/N]")
                screen.tmux("send-keys", "-l", answer)
                screen.key("Enter")
                self.tmux_code(screen, code)
                self.assertEqual("weed" in self.host.imctl("plant", "list", "-o", "name")[1], left)

    def test_ctrl_c_cancels_the_call(self):
        screen = self.screen()
        screen.type("imctl", "plant", "sleep")
        screen.wait("asleep")
        screen.key("C-c")
        screen.wait("imctl: plant sleep: interrupted")
        self.tmux_code(screen, 130)
        end = time.monotonic() + LONGEST
        while 'Garden/Sleep",code="1"' not in self.host.imctl("metric", "list")[1]:
            self.assertLess(time.monotonic(), end, "the host was not told")

    def test_ctrl_c_at_a_secret_leaves_the_terminal_with_echo(self):
        screen = self.screen()
        screen.type("imctl", "plant", "add", "x", "--gate-code")
        screen.wait("gate-code:")
        screen.key("C-c")
        screen.wait_prompt()
        screen.tmux("send-keys", "-l", "stty -a | grep -o -- '-*echo '")
        screen.key("Enter")
        lines = screen.wait("echo")
        self.assertNotIn("-echo", lines)

    def test_progress(self):
        screen = self.screen()
        screen.type("imctl", "plant", "grow", "200000")
        screen.wait("%", "200000", "/s")
        lines = screen.wait("grown")
        # The bar is gone, the result is there.
        self.assertFalse(any("[#" in line for line in lines), lines)
        self.tmux_code(screen, 0)


if __name__ == "__main__":
    unittest.main()
