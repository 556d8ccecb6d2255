#!/usr/bin/env python3
"""One node with AMD-V, two CPUs, BIOS: DHCP, iPXE, TFTP, and the stock Debian 686 kernel runs to a shell."""

from harness import LONG, boot_debian, check, log_of

# Fewer vCPUs than CPUs, when asked for; that one has all is seen by suite_svm.
boot_debian(1, "--emu", "qemu", "--firmware", "bios", "--cores", "2", "--hv-append", "cpus=1")
check("preflight: AMD-V: " in log_of("run"), "the node did not use AMD-V")
if LONG:
    boot_debian(2, "--emu", "qemu", "--firmware", "bios", logs="two_cpus")
