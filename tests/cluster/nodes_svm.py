#!/usr/bin/env python3
"""The same with AMD-V and UEFI."""

from harness import boot_nodes

boot_nodes(2, 1, "--emu", "qemu", "--firmware", "uefi")
