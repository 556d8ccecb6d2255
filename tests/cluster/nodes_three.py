#!/usr/bin/env python3
"""The same with three nodes, whose network loses and reorders frames."""

from harness import boot_nodes

boot_nodes(3, 1, "--emu", "qemu", "--firmware", "uefi", "--faults", "drop=1,reorder=1")
