#!/usr/bin/env python3
"""Two nodes on another emulator, BIOS and PXE: one cluster, and every message comes through."""

from harness import run_wire

run_wire(2, "--emu", "bochs", "--firmware", "bios", messages=2000)
