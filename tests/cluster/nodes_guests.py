#!/usr/bin/env python3
"""
What several CPUs must be together, on CPUs of different nodes: interrupts of all kinds and the memory
model, with the bare-metal guests; on two nodes, on two of two CPUs each, on three, and over a lossy network. In short
those with AMD-V run on three over a lossy network and on two of two CPUs each, of which the others are parts.
"""

from harness import DIRECT, LONG, check, guest_elf, run_guest

LOSS = ("--faults", "drop=2,reorder=2")
CASES = (
    ("bochs", ("--nodes", "2", "--emu", "bochs", "--cores", "1")),
    ("svm_2x2", ("--nodes", "2", *DIRECT, "--cores", "2")),
    ("svm_3_loss", ("--nodes", "3", *DIRECT, "--cores", "1", *LOSS)),
)
MORE = (
    ("svm", ("--nodes", "2", *DIRECT, "--cores", "1")),
    ("svm_3", ("--nodes", "3", *DIRECT, "--cores", "1")),
    ("svm_loss", ("--nodes", "2", *DIRECT, "--cores", "1", *LOSS)),
)

bad = []
for case, args in CASES + (MORE if LONG else ()):
    for name in ("ipi", "smp_tso"):
        words = "rounds=100" + ("" if case == "bochs" else " cpu=tcg")
        if not run_guest(guest_elf(name), None, words, args, logs=f"{case}-{name}"):
            bad.append(f"{case}-{name}")
check(not bad, f"failed: {' '.join(bad)}")
