#!/usr/bin/env python3
"""Provokes every kind of panic (test-panic=) in QEMU and checks that the report says what and where.

Usage: panic.py AMALGAM.ELF
"""

import re
import subprocess
import sys
import threading

TIMEOUT = 60

# What the log must have, in this order, for each kind.
EXPECTED = {
    "page": [
        r"exception 14, #PF page fault",
        r"a write of address 0000000000000010, which is not mapped: a null pointer",
        r"at [0-9a-f]{16} panic_test_page\+0x",
        r"called from [0-9a-f]{16} hv_main\+0x",
        r"rax=[0-9a-f]{16}",
        r"cr2=0000000000000010",
    ],
    "stack": [
        r"exception 8, #DF double fault",
        r"the unmapped page below a stack: the stack has overflowed",
        r"at [0-9a-f]{16} eat_stack\+0x",
        r"called from [0-9a-f]{16} eat_stack\+0x",
        r"rsp=ffffd0",
    ],
    "div": [r"exception 0, #DE divide error", r"at [0-9a-f]{16} panic_test_div\+0x"],
    "assert": [
        r"panic_test\.c:\d+: broken invariant: zero == 1",
        r"called from [0-9a-f]{16} panic_test_assert\+0x",
    ],
    "smash": [
        r"panic: a function overran a buffer on its stack",
        r"called from [0-9a-f]{16} panic_test_smash\+0x",
    ],
    "nmi": [r"panic: NMI taken on its own stack", r"at [0-9a-f]{16} on_nmi\+0x"],
}


def run(image, kind):
    """The log of one boot, up to the line that says the node has halted."""
    command = ["qemu-system-x86_64", "-kernel", image, "-append", f"test-panic={kind}", "-m", "256"]
    command += ["-smp", "2", "-net", "none", "-display", "none", "-no-reboot", "-serial", "stdio"]
    log = ""
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    limit = threading.Timer(TIMEOUT, machine.kill)
    limit.start()
    try:
        for line in machine.stdout:
            log += line
            if "node halted" in line:
                break
    finally:
        limit.cancel()
        machine.kill()
        machine.wait()
    return log


def missing(log, patterns):
    """The first pattern that does not follow the ones before it, or None."""
    at = 0
    for pattern in patterns:
        match = re.compile(pattern).search(log, at)
        if not match:
            return pattern
        at = match.end()
    return None


def main():
    failed = False
    for kind, patterns in EXPECTED.items():
        log = run(sys.argv[1], kind)
        lacks = missing(log, patterns + [r"boot: node halted"])
        print(f"panic {kind}: {'ok' if lacks is None else 'FAILED, no ' + lacks}")
        if lacks is not None:
            print(log)
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
