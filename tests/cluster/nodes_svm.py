#!/usr/bin/env python3
"""The same with AMD-V and UEFI. One node's CPU has less than the other's, and the guest sees that on no CPU."""

from harness import boot_nodes

LESS = "max,-sse4.2,-popcnt,-smep"
ASK = r"guest# =grep -cw sse4_1 /proc/cpuinfo; grep -cwE 'sse4_2|popcnt|smep' /proc/cpuinfo\n"

boot_nodes(
    *(2, 1, "--emu", "qemu", "--firmware", "uefi", "--cpu", "max", "--cpu", LESS),
    also=("--send", ASK, "--expect", r"^2\n0\n"),
)
