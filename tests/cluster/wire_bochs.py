#!/usr/bin/env python3
"""Two nodes on another emulator, BIOS and PXE: one cluster, and every message comes through."""

from harness import run_wire

# Its card takes one frame from the host each ms of its time: with few instructions in that ms, none are idle.
# Its clock stands still when the host does not let it run, so nothing can be promised of it.
run_wire(2, "--emu", "bochs", "--firmware", "bios", "--ips", "10", messages=2000, clocks=False)
