#!/usr/bin/env python3
"""Writes docs/module-abi.md out of the comments of module.h. `--check`: is it what it would write?"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "sdk" / "include" / "imctl" / "module.h"
PAGE = ROOT / "docs" / "module-abi.md"

INTRO = """# The module interface

Made by `docs/make_module_abi.py` out of `imctl/module.h`, which is what counts. Change the header, not this page.

"""


def text_of(comment):
    """What stands in a comment, without its stars."""
    body = re.sub(r"^/\*+|\*/$", "", comment.strip())
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in body.splitlines()]
    return "\n".join(lines).strip()


def conventions(text):
    """The header's numbered list, indented as Markdown wants it."""
    text = re.sub(r"^ ?(\d+)\. ", r"\1. ", text, flags=re.M)
    return re.sub(r"^ {4,}", "   ", text, flags=re.M).replace("Conventions\n", "\n## Conventions\n\n")


def blocks(source):
    """Comments at the left margin and the code between them, in their order."""
    at = 0
    for match in re.finditer(r"^/\*.*?\*/\n", source, flags=re.M | re.S):
        if source[at:match.start()].strip():
            yield "code", source[at:match.start()]
        yield "comment", match.group()
        at = match.end()
    if source[at:].strip():
        yield "code", source[at:]


def page():
    source = HEADER.read_text(encoding="utf-8")
    opening, source = re.match(r"(/\*.*?\*/\n)(.*)", source, flags=re.S).groups()
    # What only a compiler wants.
    source = re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", source, flags=re.S)
    source = re.sub(r"#(ifndef|define|endif).*IMCTL_MODULE_H.*\n|#include.*\n", "", source)
    out = [INTRO, conventions(text_of(opening)), "\n"]
    for kind, block in blocks(source):
        if kind == "code":
            out.append("\n```c\n" + block.strip("\n") + "\n```\n")
            continue
        text = text_of(block)
        title = re.match(r"-{4} (.*?)\s*-*\s*$", " ".join(text.split()))
        out.append(f"\n## {title.group(1)}\n" if title else f"\n{text}\n")
    return "".join(out)


def main():
    made = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") != made:
            sys.exit("docs/module-abi.md is not what module.h says: run docs/make_module_abi.py")
        return
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
