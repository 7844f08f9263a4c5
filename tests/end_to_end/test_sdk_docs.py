"""The tutorial for module writers, run as it is written, with nothing but what is installed; and the page of the
interface, which is made of its header.
"""

import re
import subprocess
import sys
import unittest

from host_fixture import ROOT
from sdk_fixture import Installation

TUTORIAL = ROOT / "docs" / "writing-modules.md"


class TutorialTest(unittest.TestCase):
    def test_its_commands(self):
        sdk = Installation()
        self.addCleanup(sdk.remove)
        text = TUTORIAL.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", text, flags=re.M | re.S)
        commands = [block for kind, block in blocks if kind == "sh"]
        self.assertGreater(len(commands), 4)
        out = sdk.run("sh", "-e", "-u", "-c", "".join(commands))
        at = 0
        for kind, block in blocks:
            if kind != "text":
                continue
            for line in block.splitlines():
                # In this order, each behind the one before.
                found = out.find(line + "\n", at)
                self.assertNotEqual(found, -1, f"{line!r} does not come after {out[:at][-200:]!r} in:\n{out}")
                at = found + len(line)
        # It ends in a working verb.
        self.assertIn("2", sdk.run("imctl", "--embedded", "greeter", "count", "Ann"))

    def test_the_page_of_the_interface(self):
        subprocess.run([sys.executable, str(ROOT / "docs" / "make_module_abi.py"), "--check"], check=True)

    def test_links(self):
        for page in ("writing-modules", "module-inside", "module-rules", "module-abi"):
            text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
            for link in re.findall(r"\]\(([^)#]+)", text):
                self.assertTrue((ROOT / "docs" / link).exists(), f"{page}: {link}")


if __name__ == "__main__":
    unittest.main()
