#!/usr/bin/env python3
"""
The in-guest suite on the stock kernel with its CPUs on two nodes. A meeting of CPUs costs milliseconds there, so the
iterations are few; nodes_litmus has many of its litmus programs.
"""

from harness import suite_over_nodes

suite_over_nodes(2, "suite=check,hotplug iters=500 timeout=600")
