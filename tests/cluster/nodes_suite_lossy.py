#!/usr/bin/env python3
"""
The suite over a network that loses and reorders frames, on two nodes: in short what shares memory, in long the whole
but benchmarks, on three nodes, too.
"""

from harness import LONG, suite_over_nodes

FAULTS = ("--faults", "drop=2,reorder=2", "--timeout", "5400")

for nodes in (2, 3) if LONG else (2,):
    words = "suite=check,hotplug iters=300" if LONG else "suite=litmus,sync,tlb,code iters=50"
    suite_over_nodes(nodes, f"{words} timeout=1200", *FAULTS, logs=f"on{nodes}")
