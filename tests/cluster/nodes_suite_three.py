#!/usr/bin/env python3
"""The in-guest suite with its CPUs on three nodes, over a network that loses and reorders frames."""

from harness import suite_over_nodes

suite_over_nodes(3, "suite=check,hotplug iters=300 timeout=1200", "--faults", "drop=2,reorder=2", "--timeout", "5400")
