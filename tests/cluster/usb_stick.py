#!/usr/bin/env python3
"""The USB stick's image of `make netboot`, as it is: UEFI starts it and the stock kernel runs to a shell."""

import os

from harness import BUILD, TROUBLE, lab

lab(
    *("--emu", "qemu", "--firmware", "uefi", "--boot", "esp", "--boot-image", os.path.join(BUILD, "amalgam-usb.img")),
    *("--cores", "1", "--node-ram", "512", *TROUBLE, "--expect", r"guest: Linux 6\.1\.\S+-686 "),
    *("--send", r"guest# =poweroff -f\n", "--expect", "Power down", "--timeout", "300"),
    *("--expect-log", "boot: Amalgam, loaded by UEFI", "--expect-halt"),
)
