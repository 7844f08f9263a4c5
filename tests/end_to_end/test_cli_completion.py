"""Completion in the real shells: bash, zsh and fish ask imctl, imctl asks the host."""

import os
import pty
import re
import select
import subprocess
import time
import unittest

from host_fixture import BUILD, IMCTL, Host

LONGEST = 30


class CompletionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(modules=("garden",), settings={"host.module_path": str(BUILD / "tests" / "modules")})
        cls.host.start()
        for name in ("rose", "tall oak"):
            code, _, err = cls.host.imctl("plant", "add", name)
            assert code == 0, err
        cls.env = dict(cls.host.env, IMCTL_SERVER=f"127.0.0.1:{cls.host.port}",
                       PATH=f"{IMCTL.parent}:{os.environ['PATH']}", HOME=cls.host.folder, TERM="xterm",
                       XDG_CACHE_HOME=os.path.join(cls.host.folder, "cache"), LC_ALL="C.UTF-8")
        for name in ("apple.json", "avocado.json"):
            with open(os.path.join(cls.host.folder, name), "w", encoding="utf-8"):
                pass
        run = cls.run_imctl("context", "add", "production", "--server", "unix:/nowhere")
        assert run.returncode == 0, run.stderr

    @classmethod
    def tearDownClass(cls):
        code = cls.host.stop()
        cls.host.discard()
        assert code == 0

    @classmethod
    def run_imctl(cls, *words):
        return subprocess.run([str(IMCTL), *words], env=cls.env, cwd=cls.host.folder,
                              capture_output=True, text=True, timeout=LONGEST, check=False)

    def candidates(self, *words):
        run = self.run_imctl("__complete", "--", *words)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return [line.split("\t")[0] for line in run.stdout.splitlines()]

    # -- what imctl answers

    def test_words(self):
        self.assertIn("plant", self.candidates(""))
        self.assertIn("context", self.candidates(""))
        self.assertNotIn("__complete", self.candidates(""))
        self.assertEqual(self.candidates("plant", "a"), ["add"])
        self.assertEqual(self.candidates("help", "plant", "a"), ["add"])
        self.assertEqual(self.candidates("--timeout", "5s", "plant", "a"), ["add"])
        self.assertEqual(self.candidates("nonsense", ""), [])
        # No host is opened for it.
        self.assertEqual(self.candidates("--embedded", "plant", "a"), ["add"])

    def test_flags_and_values(self):
        self.assertEqual(self.candidates("plant", "add", "--wa"), ["--watch", "--water-every"])
        self.assertEqual(self.candidates("plant", "add", "--kind", ""), ["herb", "bush", "tall-tree"])
        self.assertEqual(self.candidates("plant", "add", "-k", "b"), ["bush"])
        self.assertEqual(self.candidates("plant", "add", "--kind=t"), ["--kind=tall-tree"])
        self.assertEqual(self.candidates("plant", "add", "--picture", ""), [":files"])
        self.assertEqual(self.candidates("plant", "list", "-o", "js"), ["json", "jsonl"])
        self.assertEqual(self.candidates("plant", "list", "--columns", "name,ki"), ["name,kind"])
        self.assertEqual(self.candidates("--context", "p"), ["production"])
        self.assertEqual(self.candidates("context", "use", ""), ["production"])
        self.assertEqual(self.candidates("explain", "plant.ad"), ["plant.add"])
        self.assertEqual(self.candidates("call", "garden.v1.Garden/C"), ["garden.v1.Garden/Count"])

    def test_live_objects(self):
        self.assertEqual(self.candidates("plant", "show", ""), ["rose", "tall oak"])
        # A list takes more, any other place is taken.
        self.assertEqual(self.candidates("plant", "remove", "rose", "t"), ["tall oak"])
        self.assertEqual(self.candidates("plant", "show", "rose", ""), [])
        self.assertIn("garden", self.candidates("module", "enable", ""))

    def test_without_a_host(self):
        self.candidates("plant", "")  # fills the cache
        env = dict(self.env, IMCTL_SERVER="unix:/nowhere")
        run = subprocess.run([str(IMCTL), "__complete", "--", "plant", "show", ""], env=env,
                             capture_output=True, text=True, timeout=LONGEST, check=False)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
        run = subprocess.run([str(IMCTL), "__complete", "--", "plant", "a"], env=env,
                             capture_output=True, text=True, timeout=LONGEST, check=False)
        self.assertEqual((run.returncode, run.stdout.split("\t")[0], run.stderr), (0, "add", ""))

    # -- the shells

    def typed(self, shell, setup, keys, want):
        """Types into the shell on a pseudo-terminal until it has completed the line to what is wanted."""
        master, slave = pty.openpty()
        process = subprocess.Popen(shell, stdin=slave, stdout=slave, stderr=slave, env=self.env,
                                   cwd=self.host.folder, start_new_session=True, close_fds=True)
        os.close(slave)
        seen = ""

        def until(text):
            nonlocal seen
            end = time.monotonic() + LONGEST
            while text not in seen:
                ready, _, _ = select.select([master], [], [], max(0, end - time.monotonic()))
                self.assertTrue(ready, f"{shell}: no {text!r} in {seen!r}")
                text_read = os.read(master, 4096).decode("utf-8", "replace")
                seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x00", "", text_read)

        try:
            # The echo of the line has quotes in it, the prompt has none. It comes when keys are read.
            os.write(master, f"{setup}; PS1='rea''dy> '\n".encode())
            until("ready> ")
            seen = ""
            os.write(master, keys.encode())
            until(want)
        finally:
            process.kill()
            process.wait()
            os.close(master)

    BASH = (["bash", "--norc", "--noprofile", "-i"], "source <(imctl completion bash)")
    ZSH = (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u; source <(imctl completion zsh)")

    def test_bash_types(self):
        for keys, want in (("imctl plant li\t", "imctl plant list "),
                           ("imctl plant add --ki\t", "imctl plant add --kind "),
                           ("imctl plant add --kind=t\t", "--kind=tall-tree "),
                           ("imctl plant show ro\t", "imctl plant show rose "),
                           ("imctl plant show t\t", "imctl plant show tall\\ oak "),
                           ("imctl plant import -f ap\t", "imctl plant import -f apple.json "),
                           ("imctl context use pr\t", "imctl context use production ")):
            with self.subTest(keys):
                self.typed(*self.BASH, keys, want)

    def test_zsh_types(self):
        for keys, want in (("imctl plant li\t", "imctl plant list "),
                           ("imctl plant add --ki\t", "imctl plant add --kind "),
                           ("imctl plant add --kind=t\t", "--kind=tall-tree "),
                           ("imctl plant show ro\t", "imctl plant show rose "),
                           ("imctl plant show t\t", "imctl plant show tall\\ oak "),
                           ("imctl plant import -f ap\t", "imctl plant import -f apple.json ")):
            with self.subTest(keys):
                self.typed(*self.ZSH, keys, want)

    def test_fish_answers(self):
        def fish(line):
            run = subprocess.run(["fish", "--no-config", "-c", f"imctl completion fish | source; complete -C {line!r}"],
                                 env=self.env, cwd=self.host.folder, capture_output=True, text=True,
                                 timeout=LONGEST, check=False)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            return [text.split("\t")[0] for text in run.stdout.splitlines()]

        self.assertEqual(fish("imctl plant li"), ["list"])
        self.assertIn("--kind", fish("imctl plant add --ki"))
        self.assertEqual(fish("imctl plant add --kind=t"), ["--kind=tall-tree"])
        self.assertEqual(sorted(fish("imctl plant show ")), ["rose", "tall oak"])
        self.assertEqual(fish("imctl plant import -f ap"), ["apple.json"])
        self.assertEqual(fish("imctl plant add --picture=ap"), ["--picture=apple.json"])


if __name__ == "__main__":
    unittest.main()
