#!/usr/bin/env python3
"""memtest86+ with a CPU on each of two nodes goes once through 64 MiB, all its tests, and finds no error."""

from harness import DIRECT, TROUBLE, lab

lab(
    *("--nodes", "2", *DIRECT, "--cores", "1", "--guest", "memtest"),
    *("--mem", "64", "--node-ram", "192", "--append", "console=ttyS0,115200 nobench nosm"),
    *(*TROUBLE, "--fail", r"Errors: +[1-9]", "--expect", r"Memtest86\+", "--expect", r"SMP: 2T \(PAR\)"),
    *("--expect", r"#10 +\[Bit fade", "--expect", r"Pass: +1\b", "--timeout", "3600"),
)
