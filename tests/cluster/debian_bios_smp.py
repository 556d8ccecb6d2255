#!/usr/bin/env python3
"""The same with two CPUs in the node, which the guest counts."""

from harness import boot_debian

boot_debian(2, "--emu", "bochs", "--firmware", "bios")
