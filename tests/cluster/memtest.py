#!/usr/bin/env python3
"""
memtest86+ on two CPUs goes once through a small memory and finds no error. Its last test waits for the
memory chips to lose their charge, which an emulator's do not: it is skipped through the menu.
"""

from harness import TROUBLE, lab

lab(
    *("--emu", "bochs", "--cores", "2", "--guest", "memtest", "--mem", "16", "--node-ram", "128"),
    *("--append", "console=ttyS0,115200 nobench", *TROUBLE, "--fail", r"Errors: +[1-9]"),
    *("--expect", r"Memtest86\+", "--send", "#10 =1", "--send", "Skip=5"),
    *("--expect", r"Pass: +1\b", "--timeout", "1500"),
)
