#!/usr/bin/env python3
"""The same with e1000e cards."""

from harness import DIRECT, run_wire

run_wire(4, "--emu", "qemu", "--firmware", "uefi", "--nic", "e1000e", lossy=(*DIRECT, "--nic", "e1000e"))
