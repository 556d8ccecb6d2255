#!/usr/bin/env python3
"""One node with AMD-V, two CPUs, BIOS: DHCP, iPXE, TFTP, and the stock Debian 686 kernel runs to a shell."""

from harness import boot_debian, check, log_of

boot_debian(2, "--emu", "qemu", "--firmware", "bios")
# Fewer vCPUs than CPUs, when asked for.
boot_debian(1, "--emu", "qemu", "--firmware", "bios", "--cores", "2", "--hv-append", "cpus=1", logs="one_cpu")
check("preflight: AMD-V: " in log_of("run"), "the node did not use AMD-V")
