"""The same job by verbs of the command line."""

import json
import os
import subprocess
import unittest

from google.protobuf import json_format

import stubs
from host_fixture import IMCTL, MODULES, ROOT, Host, clean_environment

SEED = str(ROOT / "tests" / "end_to_end" / "seed.json")


class VerbsTest(unittest.TestCase):
    def run_verb(self, host, *arguments, stdin=None, code=0):
        got, out, err = host.imctl(*arguments, stdin=stdin)
        self.assertEqual(got, code, f"{arguments}: {out}{err}")
        return out if code == 0 else err

    def test_put_get_delete_clean(self):
        seed = stubs.seed()
        ids = [m.id for m in seed.msgs]
        with Host() as host:
            self.assertIn("3", self.run_verb(host, "message", "put", "-f", SEED))
            with open(SEED, encoding="utf-8") as file:
                again = file.read()
            self.assertIn("3", self.run_verb(host, "message", "put", "-f", "-", stdin=again))
            self.assertEqual(stubs.Client(host.channel()).get(*ids), list(seed.msgs))

            table = self.run_verb(host, "message", "get", *ids)
            for message in seed.msgs:
                self.assertIn(message.id, table)
                self.assertIn(message.attributes["subject"].ce_string, table)
            answer = self.run_verb(host, "message", "get", *ids, "-o", "json")
            parsed = json_format.Parse(answer, stubs.service.GetBatchResponse())
            self.assertEqual(list(parsed.msgs), list(seed.msgs))

            # What one verb prints another takes.
            self.assertIn("3", self.run_verb(host, "message", "delete", *ids))
            self.assertIn("3", self.run_verb(host, "message", "put", "-f", "-", stdin=answer))
            self.assertIn("0", self.run_verb(host, "message", "clean"))

    def test_errors_are_told(self):
        with Host() as host:
            bad = json.dumps({"msgs": [{"id": "a", "type": "t", "spec_version": "1.0"}]})
            text = self.run_verb(host, "message", "put", "-f", "-", stdin=bad, code=1)
            self.assertIn("source", text)

    def test_a_batch_stored_in_part_is_told(self):
        good = {"id": "a", "type": "t", "source": "s", "spec_version": "1.0"}
        batch = json.dumps({"msgs": [good, {"id": "b", "type": "t", "spec_version": "1.0"}, good]})
        with Host() as host:
            text = self.run_verb(host, "message", "put", "-f", "-", stdin=batch, code=8)
            self.assertIn("only the first 1 of 3 msgs", text)

    def test_module_list_and_inspect(self):
        with Host() as host:
            listed = self.run_verb(host, "module", "list")
            self.assertIn("storage-sqlite", listed)
            self.assertIn("awakari.messages.Service", listed)
        run = subprocess.run([str(IMCTL), "module", "inspect", str(MODULES / "storage-sqlite.so")],
                             env=clean_environment(), capture_output=True, text=True, timeout=30,
                             check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("storage-sqlite", run.stdout)
        self.assertIn("awakari.messages.Service", run.stdout)

    def test_embedded(self):
        host = Host()
        self.addCleanup(host.discard)
        os.makedirs(host.data)

        def embedded(*arguments):
            sets = [a for k in ("data", "module_path", "modules")
                    for a in ("--set", f"host.{k}={host.settings[f'host.{k}']}")]
            return subprocess.run([str(IMCTL), "--embedded", *sets, *arguments], env=host.env,
                                  capture_output=True, text=True, timeout=60, check=False)

        run = embedded("message", "put", "-f", SEED)
        self.assertEqual(run.returncode, 0, run.stderr)
        run = embedded("message", "get", stubs.seed().msgs[1].id)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("Yoda", run.stdout)
        host.start()
        ids = [m.id for m in stubs.seed().msgs]
        self.assertEqual(len(stubs.Client(host.channel()).get(*ids)), 3)
        run = embedded("message", "get", "x")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(host.data, run.stderr)
        self.assertEqual(host.stop(), 0)


if __name__ == "__main__":
    unittest.main()
