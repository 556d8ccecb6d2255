#!/usr/bin/env python3
"""
memtest86+ on two CPUs goes through a small memory, all its tests, and finds no error: in short with AMD-V up to the
last test, which only waits; in long the whole pass with VT-x. That waits twice 80 s, so its machine is one of few
instructions per second: the waiting then costs few.
"""

from harness import DIRECT, LONG, TROUBLE, lab

lab(
    *(("--emu", "bochs", "--ips", "10") if LONG else DIRECT),
    *("--cores", "2", "--guest", "memtest", "--mem", "8", "--node-ram", "96"),
    *("--append", "console=ttyS0,115200 nobench nosm", *TROUBLE, "--fail", r"Errors: +[1-9]"),
    *("--expect", r"Memtest86\+", "--expect", r"SMP: 2T \(PAR\)", "--expect", r"#10 +\[Bit fade"),
    *(("--expect", r"Pass: +1\b") if LONG else ()),
    *("--timeout", "1500"),
)
