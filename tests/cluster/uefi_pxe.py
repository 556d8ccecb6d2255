#!/usr/bin/env python3
"""
UEFI network boot: the firmware loads amalgam.efi over TFTP, which fetches the guest the same way.
The CPU has AMD-V without nested paging, so the pre-flight says what is missing and the node stops.
"""

from harness import check, lab, log_of

for boot in ("pxe", "ipxe"):
    lab(
        *("--emu", "qemu", "--cpu", "qemu64,-npt", "--firmware", "uefi", "--boot", boot, "--timeout", "300"),
        *("--expect-log", "boot: Amalgam, loaded by UEFI"),
        *("--expect-log", "preflight: nested paging: this CPU has AMD-V without"),
        *("--expect-log", "preflight: this node can't run Amalgam: 1 requirement is missing"),
        *("--expect-log", "boot: ERROR: this CPU has AMD-V without nested paging .*needs an AMD CPU"),
        "--expect-halt",
        logs=boot,
    )
    served = log_of(boot, "dnsmasq.log")
    check("/netboot/amalgam.efi to" in served, f"{boot}: amalgam.efi was not fetched over TFTP")
    check("/netboot/guest to" in served, f"{boot}: the guest was not fetched over TFTP")
