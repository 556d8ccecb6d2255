#!/usr/bin/env python3
"""Four nodes with e1000 cards, UEFI, iPXE in the card's ROM: one cluster, and every message comes through."""

from harness import DIRECT, run_wire

run_wire(4, "--emu", "qemu", "--firmware", "uefi", "--nic", "e1000", lossy=(*DIRECT, "--nic", "e1000"))
