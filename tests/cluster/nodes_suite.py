#!/usr/bin/env python3
"""
The in-guest suite on the stock kernel with its CPUs on two nodes, but for the litmus programs, which nodes_litmus
runs. A meeting of CPUs costs milliseconds there, so the iterations are few.
"""

from harness import suite_over_nodes

suite_over_nodes(2, "suite=atomic,sync,process,tlb,code,clock,memory,hotplug iters=1000 timeout=600")
