#!/usr/bin/env python3
"""A guest with more memory than any node has: both CPUs write all that is free and verify each other's."""

from harness import DIRECT, check, log_of, run_suite

run_suite(
    "suite=memory fill=free iters=100 timeout=600",
    *("--nodes", "2", *DIRECT, "--cores", "1", "--node-ram", "192", "--mem", "288"),
    *("--timeout", "900"),
)
check("dsm: home to 144 of 288 MiB" in log_of("run"), "the head is not home to half of the memory")
