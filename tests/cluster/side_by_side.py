#!/usr/bin/env python3
"""Two labs at once, each with its own network, servers and machines, do not see each other."""

from harness import check, finish, guest_elf, log_of, start

ARGS = ("--emu", "qemu", "--node-ram", "128", "--mem", "32", "--guest", guest_elf("cpuid"), "--timeout", "400")
END = ("--append", "expect=amalgam cpu=tcg", "--expect", "^DONE ", "--expect-halt")

both = [start(*ARGS, *END, logs=name) for name in ("one", "two")]
for process in both:
    finish(process)
for name in ("one", "two"):
    served = log_of(name, "dnsmasq.log")
    check(served.count("netboot/guest to 10.77.0.10") == 1, f"lab {name} did not serve just its own node")
