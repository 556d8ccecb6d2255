#!/usr/bin/env python3
"""One node, two CPUs (in long one, too), BIOS: DHCP, iPXE, TFTP, and the stock Debian 686 kernel runs to a shell."""

from harness import LONG, boot_debian, check, log_of

for cores in (2, 1) if LONG else (2,):
    boot_debian(cores, "--emu", "bochs", "--firmware", "bios")
    served = log_of("run", "dnsmasq.log")
    for file in ("boot.ipxe", "settings.ipxe", "amalgam.elf", "guest", "initrd"):
        check(f"/netboot/{file} to" in served, f"{file} was not fetched over TFTP")
