#!/usr/bin/env python3
"""The litmus programs on four nodes: those of four threads have one on each."""

from harness import suite_over_nodes

suite_over_nodes(4, "suite=litmus iters=3000 timeout=1200", "--timeout", "2400")
