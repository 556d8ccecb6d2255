#!/usr/bin/env python3
"""A node loses its power while the suite runs on three: every other one names it and stops, and never runs on."""

import re

from harness import DIRECT, QUICK_BOOT, built, check, lab, log_of

LOST_MS = 4000

lab(
    *("--nodes", "3", *DIRECT, "--cores", "1", "--node-ram", "256", "--mem", "128"),
    *("--guest", "debian", "--initrd", built("guest/suite.gz", "suite"), "--hv-append", f"lost-after={LOST_MS}"),
    *("--append", f"{QUICK_BOOT} suite=litmus iters=1000", "--kill", "litmus.SB.page ok=2"),
    *("--fail", "PANIC", "--fail", "litmus.IRIW", "--timeout", "900"),
)
for node in range(2):
    log = log_of("run", f"node{node}.log")
    said = re.search(r"node 2 \(\S+\) was lost: nothing heard for (\d+) ms", log)
    check(said, f"node {node} does not name the lost node")
    check(int(said[1]) <= 5000, f"node {node} noticed it after {said[1]} ms of silence")
    check("guest: ERROR: stopped: node 2" in log, f"node {node} does not say that the guest stopped for it")
    check("boot: node halted" in log, f"node {node} did not halt")
check("suite: exit code" not in log_of("run", "console.log"), "the guest ran on to its end")
