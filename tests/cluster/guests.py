#!/usr/bin/env python3
"""
Every bare-metal test guest, on two CPUs with VT-x: all its checks pass, and it ends in the way it means to. In short
without those that end by a device, where the CPU makes no difference; guests_svm has them.
"""

from harness import LONG, run_guests, run_images

# Few instructions per second of the machine's: firmware and iPXE wait for seconds, which then cost little.
BOCHS = ("--emu", "bochs", "--ips", "10")
BY_DEVICE = ("poweroff", "reset_92", "reset_acpi", "reset_cf9", "reset_kbd")

run_guests(*BOCHS, without=() if LONG else BY_DEVICE)
run_images(("exception",), ("images",), *BOCHS)
