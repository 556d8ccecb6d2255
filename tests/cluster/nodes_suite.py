#!/usr/bin/env python3
"""
The in-guest suite on the stock kernel with its CPUs on different nodes: two, then three over a network
that loses and reorders frames. A meeting of CPUs costs milliseconds there, so the iterations are few.
"""

from harness import check, run_suite

CLUSTER = ("--emu", "qemu", "--firmware", "uefi", "--cores", "1", "--mem", "160", "--node-ram", "384")
CASES = (
    ("two", 2, "iters=1000", ()),
    ("three_loss", 3, "iters=300", ("--faults", "drop=2,reorder=2")),
)

for logs, nodes, iters, args in CASES:
    said = run_suite(
        f"suite=check,hotplug {iters} timeout=600",
        *CLUSTER, "--nodes", str(nodes), "--timeout", "1800", *args, logs=logs,
    )  # fmt: skip
    check(f"CPUs {' '.join(map(str, range(nodes)))}," in said, f"the guest has not {nodes} CPUs")
