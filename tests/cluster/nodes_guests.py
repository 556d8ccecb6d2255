#!/usr/bin/env python3
"""
What several CPUs must be together, on CPUs of different nodes: interrupts of all kinds and the memory
model, with the bare-metal guests; on two nodes, on two of two CPUs each, on three, and over a lossy network.
"""

from harness import run_guest, guest_elf, check

CASES = (
    ("bochs", ("--nodes", "2", "--emu", "bochs", "--cores", "1")),
    ("svm", ("--nodes", "2", "--emu", "qemu", "--cores", "1")),
    ("svm_2x2", ("--nodes", "2", "--emu", "qemu", "--cores", "2")),
    ("svm_3", ("--nodes", "3", "--emu", "qemu", "--cores", "1")),
    ("svm_loss", ("--nodes", "2", "--emu", "qemu", "--cores", "1", "--faults", "drop=2,reorder=2")),
)

bad = []
for case, args in CASES:
    for name in ("ipi", "smp_tso"):
        words = "rounds=100" + ("" if case == "bochs" else " cpu=tcg")
        if not run_guest(guest_elf(name), None, words, args, logs=f"{case}-{name}"):
            bad.append(f"{case}-{name}")
check(not bad, f"failed: {' '.join(bad)}")
