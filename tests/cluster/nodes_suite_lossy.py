#!/usr/bin/env python3
"""
The suite over a network that loses and reorders frames, all but benchmarks: in short on two nodes, in long with more
iterations, on three, too.
"""

from harness import LONG, suite_over_nodes

FAULTS = ("--faults", "drop=2,reorder=2", "--timeout", "5400")

for nodes in (2, 3) if LONG else (2,):
    suite_over_nodes(
        nodes, f"suite=check,hotplug iters={300 if LONG else 100} timeout=1200", *FAULTS, logs=f"on{nodes}"
    )
