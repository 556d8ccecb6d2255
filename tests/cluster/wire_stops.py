#!/usr/bin/env python3
"""One node too many is told so, and so is the head; when that loses its power, its members name it and halt."""

import re

from harness import DIRECT, check, lab, log_of

NODES, HEAD, LOST_MS, SLACK_MS = 3, 1, 3000, 3000
MAC = "02:41:4d:47:00:{:02x}"
TOO_LATE = f"it comes too late: all {NODES} nodes of the cluster are there already"

lab(
    *("--nodes", str(NODES + 1), *DIRECT, "--nic", "e1000", "--guest", "none"),
    *("--node-ram", "128", "--hv-append"),
    f"nodes={NODES} head={MAC.format(HEAD)} lost-after={LOST_MS} test-wire=100000000",
    *("--kill", f"refuses this node: {TOO_LATE}={HEAD}", "--fail", "PANIC", "--timeout", "200"),
)
logs = [log_of("run", f"node{node}.log") for node in range(NODES + 1)]
refused = [node for node, log in enumerate(logs) if f"refuses this node: {TOO_LATE}" in log]
check(len(refused) == 1, f"refused are nodes {refused}, expected one")
says = f"node {MAC.format(refused[0])} is refused: {TOO_LATE}"
check(says in logs[HEAD], f"the head does not say '{says}'")
for node in set(range(NODES + 1)) - {HEAD, *refused}:
    said = re.search(rf"ERROR: node 0 \({MAC.format(HEAD)}\) was lost: nothing heard for (\d+) ms", logs[node])
    check(said, f"node {node} does not name the lost one")
    silence = int(said[1])
    check(LOST_MS <= silence <= LOST_MS + SLACK_MS, f"node {node} noticed it after {silence} ms of silence")
    check("boot: node halted" in logs[node], f"node {node} did not halt")
