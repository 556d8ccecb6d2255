#!/usr/bin/env python3
"""Every bare-metal test guest, on two CPUs with VT-x: all its checks pass, and it ends in the way it means to."""

from harness import run_guests, run_images

# Few instructions per second of the machine's: firmware and iPXE wait for seconds, which then cost little.
BOCHS = ("--emu", "bochs", "--ips", "10")

run_guests(*BOCHS)
run_images(("exception",), ("images",), *BOCHS)
