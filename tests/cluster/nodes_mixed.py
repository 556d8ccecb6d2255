#!/usr/bin/env python3
"""A node with a CPU of another vendor is refused; it and the head say what the guest would notice."""

from harness import DIRECT, check, lab, log_of

DIFFERS = "it has a CPU of Intel, the cluster of AMD; the guest would notice by CPUID's vendor and model"

lab(
    *("--nodes", "2", *DIRECT, "--guest", "none", "--node-ram", "128"),
    *("--cpu", "max", "--cpu", "max,vendor=GenuineIntel"),
    *("--hv-append", "test-wire=10", "--fail", "PANIC", "--fail", "self-test passed", "--timeout", "200"),
    *("--expect-log", f"refuses this node: {DIFFERS}", "--expect-log", "boot: node halted"),
)
check(f"is refused: {DIFFERS}" in log_of("run"), "the head does not say why it refuses the other node")
