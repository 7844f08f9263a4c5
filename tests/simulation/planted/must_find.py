#!/usr/bin/env python3
"""must_find.py SIMULATOR MOST: the simulator, with a bug planted into it, must fail within so many seeds."""
import re
import subprocess
import sys

simulator, most = sys.argv[1:]
run = subprocess.run([simulator, "--seeds", f"1..{most}"], capture_output=True, text=True)
found = re.search(r"^seed (\d+) FAILED (.*)", run.stdout, re.M)
if run.returncode != 1 or not found:
    sys.exit(f"not found within {most} seeds (ended with {run.returncode}): {run.stdout}{run.stderr}")
print(f"found at seed {found[1]}: {found[2]}")
