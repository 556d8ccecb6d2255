#!/usr/bin/env python3
"""Every bare-metal test guest, on two CPUs: all its checks pass, and it ends in the way it means to."""

import glob
import os
import sys

from harness import BUILD, ROOT, TROUBLE, check, lab


def endings():
    """Guests that end otherwise than through the debug exit, with their last line."""
    found = {}
    with open(os.path.join(ROOT, "tests/guest/endings"), encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split(None, 2)
            if len(words) == 3:
                found[words[0]] = words[2].strip()
    return found


def run(path, last):
    """None, or what went wrong."""
    name = os.path.splitext(os.path.basename(path))[0]
    end = ("--expect-log", "guest: debug exit with code 0") if not last else ()
    try:
        lab(
            *("--emu", "bochs", "--cores", "2", "--guest", path, "--mem", "64", "--node-ram", "256"),
            *("--append", "expect=amalgam", "--timeout", "300", "--fail", r"^DONE \d+ passed, [1-9]", *TROUBLE),
            *("--expect", last or r"^DONE [1-9]\d* passed, 0 failed", *end),
            logs=name,
        )
    except SystemExit:
        return name
    print(f"  {name}: ok", flush=True)
    return None


paths = sorted(glob.glob(os.path.join(BUILD, "guests/*.elf")))
wanted = sys.argv[1:]
paths = [path for path in paths if not wanted or os.path.basename(path)[:-4] in wanted]
check(paths, "there are no test guests: make guests")
special = endings()
bad = [run(path, special.get(os.path.basename(path)[:-4])) for path in paths]
bad = [name for name in bad if name]
check(not bad, f"{len(bad)} of {len(paths)} guests failed: {' '.join(bad)}")
