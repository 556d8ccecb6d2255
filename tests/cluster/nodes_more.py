#!/usr/bin/env python3
"""On two nodes the kernel whose page tables have PAE's format, then two of two CPUs each, then four."""

import os

from harness import BUILD, QUICK_BOOT, boot_nodes

AMD = ("--emu", "qemu", "--firmware", "uefi")
PAE = (
    *("--guest", os.path.join(BUILD, "guest/linux-pae"), "--initrd", os.path.join(BUILD, "guest/initrd.gz")),
    *("--append", QUICK_BOOT),
)

boot_nodes(2, 1, *AMD, *PAE, kernel="686-pae", logs="pae")
boot_nodes(2, 2, *AMD, logs="two_by_two")
boot_nodes(4, 1, *AMD, logs="four")
