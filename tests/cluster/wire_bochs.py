#!/usr/bin/env python3
"""Two nodes on another emulator, BIOS and PXE: one cluster, and every message comes through."""

from harness import run_wire

# Its card takes one frame from the host each ms of its time, so that ms has few instructions, and time runs as fast
# as the host can: some ten times. The nodes poll and never sleep, so none skips time. But their clocks stand still when
# the host does not let them run: nothing can be promised of them.
LAB = ("--emu", "bochs", "--firmware", "bios", "--ips", "5", "--sync", "none")
run_wire(2, *LAB, clocks=False)
