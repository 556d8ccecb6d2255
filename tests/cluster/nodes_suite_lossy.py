#!/usr/bin/env python3
"""The whole suite but benchmarks over a network that loses and reorders frames: on two nodes, in long on three, too."""

from harness import LONG, suite_over_nodes

FAULTS = ("--faults", "drop=2,reorder=2", "--timeout", "5400")

for nodes in (2, 3) if LONG else (2,):
    words = f"suite=check,hotplug iters={300 if LONG else 50} timeout=1200"
    suite_over_nodes(nodes, words, *FAULTS, logs=f"on{nodes}")
