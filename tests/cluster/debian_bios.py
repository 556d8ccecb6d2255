#!/usr/bin/env python3
"""One node, one CPU, BIOS: DHCP, iPXE, TFTP, and the stock Debian 686 kernel runs to a shell."""

from harness import boot_debian, check, log_of

boot_debian(1, "--emu", "bochs", "--firmware", "bios")
served = log_of("run", "dnsmasq.log")
for file in ("boot.ipxe", "settings.ipxe", "amalgam.elf", "guest", "initrd"):
    check(f"/netboot/{file} to" in served, f"{file} was not fetched over TFTP")
