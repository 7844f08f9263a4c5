"""Signed modules, and files that others may change: what the host loads and what it refuses."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import stubs
from host_fixture import IMCTL, MODULES, Host, clean_environment

NAME = "storage-sqlite"


class TrustTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="imctl-trust-")).resolve()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.modules = self.folder / "modules"
        self.modules.mkdir()
        self.file = self.modules / f"{NAME}.so"
        shutil.copy(MODULES / self.file.name, self.file)
        self.file.chmod(0o644)
        self.key = self.keygen("key")

    def imctl(self, *arguments, code=0, stdin=None):
        run = subprocess.run([str(IMCTL), *map(str, arguments)], env=clean_environment(), text=True,
                             capture_output=True, input=stdin, timeout=60, check=False)
        self.assertEqual(run.returncode, code, f"{arguments}: {run.stdout}{run.stderr}")
        return run.stdout if code == 0 else run.stderr

    def keygen(self, name):
        return self.imctl("module", "keygen", self.folder / name, "-o", "name").strip()

    def sign(self, file=None, key="key"):
        self.imctl("module", "sign", file or self.file, "--key", self.folder / key)

    def host(self, **settings):
        settings = {f"host.{key}": value for key, value in settings.items()}
        # A config file of its own: an upgrade writes to the one in force.
        host = Host(settings={"host.module_path": str(self.modules),
                              "host.max_request": "256MiB",  # a build with sanitizers is large
                              **settings}, modules=(NAME,), config="")
        self.addCleanup(host.discard)
        return host

    def requiring(self, *keys):
        return self.host(module_signatures="require", module_keys=",".join(keys or [self.key]))

    def assert_refused(self, host, *words):
        code, text = host.fails()
        self.assertIsNotNone(code, f"it started:\n{text}")
        self.assertNotEqual(code, 0, text)
        for word in words:
            self.assertIn(str(word), text)

    def assert_works(self, host):
        with host:
            client = stubs.Client(host.channel())
            seed = stubs.seed()
            self.assertEqual(client.put(*seed.msgs), len(seed.msgs))
            self.assertEqual(client.get(*[m.id for m in seed.msgs]), list(seed.msgs))

    # -- signatures

    def test_signed_is_loaded(self):
        self.sign()
        self.assert_works(self.requiring())

    def test_one_of_several_keys(self):
        self.sign()
        self.assert_works(self.requiring(self.keygen("other"), self.key))

    def test_unsigned_is_refused(self):
        self.assert_refused(self.requiring(), self.file, "not signed", "host.module_signatures")

    def test_not_required_is_not_looked_at(self):
        self.sign()
        with open(self.file, "ab") as file:
            file.write(b"x")
        self.assert_works(self.host(module_keys=self.key))

    def test_changed_is_refused(self):
        self.sign()
        with open(self.file, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        self.assert_refused(self.requiring(), self.file, "not what was signed")

    def test_a_stranger_is_refused(self):
        other = self.keygen("other")
        self.sign(key="other")
        self.assert_refused(self.requiring(), self.file, "host.module_keys", other[8:20])

    def test_bad_keys_are_named(self):
        self.sign()
        self.assert_refused(self.requiring(self.key, "ed25519:AAAA"), "host.module_keys",
                            "key 2 of 2", "ed25519:AAAA")
        self.assert_refused(self.host(module_signatures="require"), "host.module_keys")
        with open(self.folder / "key", encoding="ascii") as file:
            secret = file.read().strip()
        host = self.requiring(secret)
        code, text = host.fails()
        self.assertNotIn(code, (None, 0), text)
        self.assertIn("secret key", text)
        self.assertNotIn(secret[15:], text)

    def test_what_runs_does_not_change_with_the_file(self):
        """As when somebody copies a new build over the old one of a running host."""
        self.sign()
        with self.requiring() as host:
            with open(self.file, "r+b") as file:
                file.write(bytes(self.file.stat().st_size))
            client = stubs.Client(host.channel())
            seed = stubs.seed()
            self.assertEqual(client.put(*seed.msgs), len(seed.msgs))

    def test_what_runs_is_nobody_elses(self):
        """If the host loads a copy of its own, others cannot write to that one either."""
        self.sign()
        for host in (self.requiring(), self.host()):
            os.makedirs(host.data, mode=0o755)
            os.chmod(host.folder, 0o755)
            with host:
                for path in map(pathlib.Path, host.files(self.file.name)):
                    self.assertEqual(path.stat().st_mode & 0o022, 0, oct(path.stat().st_mode))
                    self.assertEqual(path.parent.stat().st_mode & 0o022, 0, path.parent)

    def test_an_upgrade_is_checked_too(self):
        self.sign()
        new = self.folder / "new.so"
        shutil.copy(self.file, new)
        signature = self.folder / "new.so.sig"
        with self.requiring() as host:

            def upgrade(*arguments, refused):
                code, out, err = host.imctl("module", "upgrade", NAME, f"@{new}", *arguments)
                self.assertEqual(code != 0, bool(refused), f"{out}{err}")
                self.assertIn(refused, err)
                self.assertEqual(stubs.Client(host.channel()).put(*stubs.seed().msgs), 3)

            upgrade(refused="not signed")
            self.keygen("other")
            self.sign(new, key="other")
            upgrade("--signature", f"@{signature}", refused="none of those that are trusted")
            self.sign(new)
            upgrade("--signature", f"@{signature}", refused="")

    # -- whose the files are; no signature asked for

    def test_what_everybody_may_write_is_refused(self):
        for path in (self.file, self.modules, self.folder):
            mode = path.stat().st_mode
            path.chmod(mode | 0o002)
            self.assert_refused(self.host(), "everybody may write", f"o-w {path}")
            path.chmod(mode)
        self.assert_works(self.host())

    def test_what_belongs_to_others_is_refused(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        os.chown(self.file, 12345, 0)
        self.assert_refused(self.host(), "belongs to uid 12345", f"chown root {self.file}")
        os.chown(self.file, 0, 0)
        os.chown(self.modules, 0, 12345)
        self.modules.chmod(0o775)
        self.assert_refused(self.host(), "gid 12345", f"chmod g-w {self.modules}")

    def test_private_groups(self):
        """Files are group-writable where umask is 002; that is well if nobody else is in the group."""
        probe = subprocess.run(["unshare", "--mount", "mount", "--bind", "/etc/passwd",
                                "/etc/passwd"], capture_output=True, check=False)
        if os.geteuid() != 0 or probe.returncode != 0:
            self.skipTest("users cannot be made up here")
        self.sign()
        for path in (self.folder, self.modules, self.file):
            os.chown(path, 12345, 12345)
            path.chmod(0o775)
        script = ("set -e; mount --bind passwd /etc/passwd; mount --bind group /etc/group; "
                  "exec setpriv --reuid alice --regid alice --clear-groups "
                  '"$0" module verify "$1" --key "$2" -o json')

        def verify(users, members):
            for name, line in (("passwd", f"alice:x:12345:12345::/:/bin/sh\n{users}"),
                               ("group", f"alice:x:12345:{members}\n")):
                with open(f"/etc/{name}", encoding="utf-8") as file:
                    (self.folder / name).write_text(file.read() + line, encoding="utf-8")
            run = subprocess.run(["unshare", "--mount", "sh", "-c", script, IMCTL, self.file,
                                  self.key], cwd=self.folder, env=clean_environment(), text=True,
                                 capture_output=True, timeout=60, check=False)
            self.assertEqual(run.returncode, 0, run.stderr)
            return json.loads(run.stdout)["modules"][0]

        for members in ("", "alice", "root,alice"):
            self.assertEqual(verify("", members)["place_problem"], "", members)
        for users, members in (("", "bob"), ("", "alice,bob"),
                               ("eve:x:999:12345::/:/bin/sh\n", "")):
            found = verify(users, members)
            self.assertIn("group alice (gid 12345) may write", found["place_problem"])
            self.assertFalse(found["place_ok"])

    # -- verbs

    def test_a_secret_from_a_pipe(self):
        with open(self.folder / "key", encoding="ascii") as file:
            self.imctl("module", "sign", self.file, "--key", "/dev/stdin", stdin=file.read())
        self.assertIn("good", self.imctl("module", "verify", self.file, "--key", self.key))


if __name__ == "__main__":
    unittest.main()
