"""What the command line prints, word for word, of a module that nobody planned for.

The module (tests/modules/garden) is made from options alone: neither the host nor the client knows it.
IMCTL_GOLDEN=update writes the files of golden/ anew; read the difference before it is committed.
"""

import os
import pathlib
import re
import unittest

from host_fixture import BUILD, Host

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
UPDATE = os.environ.get("IMCTL_GOLDEN") == "update"

PLANTS = """\
name: rose
kind: KIND_BUSH
height: 60
water_every: 259200s
planted: 2024-02-29T12:00:00Z
labels: {bed: north, "a b": "c=d"}
picture_size: 12345678
---
name: 桜
kind: KIND_TALL_TREE
height: 420
soil: {acidity: 6.5, mix: "loam\\nand \\e[31msand"}
"""

# Name of the file: what is run, in order. What is not masked has to be the same every time.
CASES = {
    "help_noun": [["plant", "--help"]],
    "help_verb": [["plant", "add", "--help"]],
    "help_verb_local": [["context", "add", "--help"]],
    "explain_verb": [["explain", "plant.add"]],
    "explain_method": [["explain", "garden.v1.Garden/Talk"]],
    "explain_type": [["explain", "garden.v1.Soil"], ["explain", "garden.v1.Kind"]],
    "explain_json": [["explain", "plant.remove", "-o", "json"]],
    "api": [["api", "garden.v1."], ["api", "garden.v1.", "-o", "name"],
            ["api", "garden.v1.Garden/T", "-o", "json"]],
    "table": [["plant", "list"], ["plant", "list", "--no-headers"], ["plant", "list", "-o", "wide"],
              ["plant", "list", "-o", "name"],
              ["plant", "list", "--columns", "height,name,soil.mix,labels.bed"],
              ["plant", "list", "--sort-by", "height:desc", "-o", "name"],
              ["plant", "list", "--sort-by", "kind", "--columns", "kind,name"]],
    "parts": [["plant", "show"], ["plant", "show", "-o", "wide"],
              ["plant", "show", "--columns", "area,plants.name", "--sort-by", "plants.height:desc"]],
    "json": [["plant", "list", "-o", "json"], ["plant", "list", "-o", "jsonl"]],
    "yaml": [["plant", "show", "rose", "-o", "yaml"]],
    "dry_run": [["plant", "add", "oak", "--kind", "tall-tree", "--water-every", "1.5h", "--labels", "bed=x",
                 "--dry-run"],
                ["plant", "show", "oak"],
                ["plant", "remove", "rose", "--dry-run"]],
    "mistakes": [["plont", "list"], ["plant", "lsit"], ["plant"], ["plant", "add", "x", "--knid", "bush"],
                 ["plant", "add", "x", "--kind", "bsh"], ["plant", "add", "x", "y"], ["plant", "add"],
                 ["plant", "add", "x", "--water-every", "soon"], ["plant", "add", "x", "--gate-code", "y"],
                 ["plant", "list", "--columns", "nmae"], ["plant", "list", "--sort-by", "weight"],
                 ["plant", "list", "-o", "jsn"], ["plant", "list", "-o", "json", "--columns", "name"],
                 ["plant", "add", "x", "--watch"], ["call", "garden.v1.Garden/Conut"],
                 ["explain", "plant.ad"], ["plant", "remove", "rose"], ["--hepl"]],
    "exit_codes": [["plant", "fail", str(code)] for code in range(17)],
    "streams": [["plant", "grow", "3", "-o", "jsonl"], ["plant", "grow", "2"],
                ["plant", "grow", "4", "--wither"],
                ["call", "garden.v1.Garden/Grow", "--days", "1"], ["call", "garden.v1.Garden/Count"]],
}


def masked(text):
    text = re.sub(r"\(call [0-9a-f]{32}\)", "(call ID)", text)
    return re.sub(r", [0-9.]+(e\+[0-9]+)?/s(, \w+ left)?", ", RATE", text)


class GoldenTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.host = Host(modules=("garden",), settings={"host.module_path": str(BUILD / "tests" / "modules")})
        cls.host.start()
        code, _, err = cls.host.imctl("plant", "import", "-f", "-", stdin=PLANTS)
        assert code == 0, err

    @classmethod
    def tearDownClass(cls):
        code = cls.host.stop()
        cls.host.discard()
        assert code == 0, cls.host.text()

    def check(self, name):
        text = ""
        for words in CASES[name]:
            code, out, err = self.host.imctl(*words)
            text += f"$ imctl {' '.join(words)}\n{out}"
            text += "".join(f"! {line}\n" for line in masked(err).splitlines())
            text += f"= {code}\n\n"
        path = GOLDEN / f"{name}.txt"
        if UPDATE:
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8"))

    def test_no_file_is_left_over(self):
        self.assertEqual(sorted(path.stem for path in GOLDEN.glob("*.txt")), sorted(CASES))


def add_case(name):
    setattr(GoldenTest, f"test_{name}", lambda self: self.check(name))


for case in CASES:
    add_case(case)


if __name__ == "__main__":
    unittest.main()
