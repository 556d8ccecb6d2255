#!/usr/bin/env python3
"""The same with three nodes."""

from harness import boot_nodes

boot_nodes(3, 1, "--emu", "qemu", "--firmware", "uefi")
