#!/usr/bin/env python3
"""The litmus programs with their threads on two nodes, a hundred thousand times each."""

from harness import suite_over_nodes

suite_over_nodes(2, "suite=litmus iters=100000 timeout=1200", "--timeout", "5400")
