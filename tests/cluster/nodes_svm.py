#!/usr/bin/env python3
"""
Three nodes with AMD-V and UEFI netboot into one machine. Two nodes' CPUs have less than the third's, and the guest
sees that on no CPU.
"""

import re

from harness import boot_nodes, check, log_of

NODES = 3
LESS = ("--cpu", "max,-sse4.2,-popcnt,-smep")
ASK = r"guest# =grep -cw sse4_1 /proc/cpuinfo; grep -cwE 'sse4_2|popcnt|smep' /proc/cpuinfo\n"

boot_nodes(
    *(NODES, 1, "--emu", "qemu", "--firmware", "uefi", "--cpu", "max", *LESS, *LESS),
    also=("--send", ASK, "--expect", rf"^{NODES}\n0\n"),
)
# Its walker would take page tables from the other node if it were let, and QEMU's can't tell a loop of PAUSEs.
for node in range(NODES):
    log = log_of("run", f"node{node}.log")
    for what in (r"page tables loaded [1-9]\d* times, [1-9]\d* copies of tables made", r"PAUSE +[1-9]\d*$"):
        check(re.search(what, log, re.M), f"node {node}'s counters do not show /{what}/")
