#!/usr/bin/env python3
"""A node loses its power while the guest runs: the other one names it and stops, and never runs on."""

import re

from harness import QUICK_BOOT, check, lab, log_of

LOST_MS = 4000

lab(
    *("--nodes", "2", "--emu", "qemu", "--cores", "1", "--node-ram", "256", "--mem", "128", "--guest", "debian"),
    *("--append", QUICK_BOOT, "--hv-append", f"lost-after={LOST_MS}"),
    *("--kill", "guest: vCPU 1 starts=1", "--fail", "PANIC", "--timeout", "200"),
)
log = log_of("run")
said = re.search(r"node 1 \(\S+\) was lost: nothing heard for (\d+) ms", log)
check(said, "the head does not name the lost node")
check(int(said[1]) <= 5000, f"the head noticed it after {said[1]} ms of silence")
check("guest: ERROR: stopped: node 1" in log, "the head does not say that the guest stopped for it")
check("boot: node halted" in log, "the head did not halt")
