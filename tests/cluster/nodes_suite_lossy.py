#!/usr/bin/env python3
"""The whole suite but benchmarks on two nodes, then on three, over a network that loses and reorders frames."""

from harness import suite_over_nodes

FAULTS = ("--faults", "drop=2,reorder=2", "--timeout", "5400")

for nodes in (2, 3):
    suite_over_nodes(nodes, "suite=check,hotplug iters=300 timeout=1200", *FAULTS, logs=f"on{nodes}")
