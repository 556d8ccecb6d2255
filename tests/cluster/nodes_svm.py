#!/usr/bin/env python3
"""The same with AMD-V and UEFI: three nodes with a CPU each."""

from harness import boot_nodes

boot_nodes(3, 1, "--emu", "qemu", "--firmware", "uefi")
