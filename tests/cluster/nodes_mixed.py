#!/usr/bin/env python3
"""
Nodes with different CPUs. One of another vendor is refused, and it and the head say what the guest would notice.
One with fewer features joins, and the guest sees them on no CPU.
"""

from harness import DEBIAN_SECONDS, TROUBLE, check, lab, log_of

NODES = ("--nodes", "2", "--emu", "qemu", "--firmware", "bios")
DIFFERS = "it has a CPU of Intel, the cluster of AMD; the guest would notice by CPUID's vendor and model"

lab(
    *(*NODES, "--cpu", "max", "--cpu", "max,vendor=GenuineIntel", "--guest", "none", "--node-ram", "128"),
    *("--hv-append", "test-wire=10", "--fail", "PANIC", "--fail", "self-test passed", "--timeout", "200"),
    *("--expect-log", f"refuses this node: {DIFFERS}", "--expect-log", "boot: node halted"),
    logs="vendors",
)
check(f"is refused: {DIFFERS}" in log_of("vendors"), "the head does not say why it refuses the other node")

LESS = "max,-sse4.2,-popcnt,-smep"
lab(
    *(*NODES, "--cpu", "max", "--cpu", LESS, "--guest", "debian", "--mem", "128", "--node-ram", "384", *TROUBLE),
    *("--send", r"guest# =grep -cw sse4_1 /proc/cpuinfo; grep -cwE 'sse4_2|popcnt|smep' /proc/cpuinfo\n"),
    *("--expect", r"^2\n0\n"),
    *("--send", r"guest# =poweroff -f\n", "--expect-log", "guest: the guest powered off"),
    *("--expect-log", "boot: node halted", "--timeout", str(2 * DEBIAN_SECONDS)),
    logs="features",
)
