#!/usr/bin/env python3
"""
UEFI without iPXE: the firmware's own PXE loads amalgam.efi, which takes its configuration, the stock kernel
and the initrd through the firmware's PXE protocol, and the kernel runs to a shell on two CPUs with AMD-V.
"""

from harness import boot_debian, check, log_of

boot_debian(2, "--emu", "qemu", "--firmware", "uefi", "--boot", "pxe", "--node-ram", "512")
served = log_of("run", "dnsmasq.log")
for name in ("amalgam.efi", "amalgam.cfg", "guest", "initrd"):
    check(f"/netboot/{name} to" in served, f"{name} was not fetched over TFTP")
check("ipxe" not in served, "iPXE took part")
check("loaded by UEFI" in log_of("run"), "the node was not started by UEFI")
