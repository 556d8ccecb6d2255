#!/usr/bin/env python3
"""
Ten minutes (SOAK_SECONDS) of mixed load on two nodes: the in-guest suite and its benchmarks again and again, with
the last CPU going and coming. No test fails, and the machine ends in good order.
"""

import os
import re

from harness import DIRECT, QUICK_BOOT, TROUBLE, built, check, lab, log_of

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
ROUND = "suite iters=200 timeout=600 check hotplug bench.processes:20 bench.pingpong:200 bench.stream:2"
LOOP = (
    f"t=0; while [ $t -lt {SECONDS} ] && {ROUND}; do t=$(cut -d. -f1 /proc/uptime); echo at $t; done;"
    " echo round ended with $?; poweroff -f"
)

lab(
    *("--nodes", "2", "--cores", "1", *DIRECT, "--mem", "160", "--node-ram", "384"),
    # Whatever else the host does in that time, a node that it keeps waiting is not lost.
    *("--hv-append", "lost-after=20000"),
    *("--guest", "debian", "--initrd", built("guest/suite.gz", "suite"), "--append", f"{QUICK_BOOT} suite=shell"),
    *(*TROUBLE, "--fail", r"^suite: \d+ passed, [1-9]", "--status", "--timeout", str(SECONDS + 1200)),
    *("--send", f"guest# ={LOOP}\\n", "--expect", "^round ended with 0", "--expect", "Power down"),
    *("--expect-log", "guest: the guest powered off", "--expect-halt"),
)
rounds = re.findall(r"suite: (\d+) passed, 0 failed", log_of("run", "console.log"))
check(rounds, "no round of the suite was finished")
print(f"  {len(rounds)} rounds in {SECONDS} s, {sum(map(int, rounds))} tests passed")
