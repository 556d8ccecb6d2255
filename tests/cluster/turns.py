#!/usr/bin/env python3
"""
One node with AMD-V and a single CPU shows the stock kernel four, which take turns; all of them work. The shell is on
virtio_console, /dev/hvc0: bytes both ways, more than its buffers hold.
"""

import re

from harness import DEBIAN_SECONDS, DIRECT, TROUBLE, check, lab, log_of

VCPUS = 4
EACH = rf"for c in $(seq 0 {VCPUS - 1}); do taskset -c $c cut -d' ' -f39 /proc/self/stat; done"
# Lines that two at a time hand over to each other, and as many computing.
WORK = "seq 9000 | sort -r | sort -n | md5sum; seq 9000 | md5sum"

lab(
    *(*DIRECT, "--cores", "1", "--vcpus", str(VCPUS), "--mem", "128", "--node-ram", "256", *TROUBLE),
    *("--guest", "debian", "--hv-append", "console=off vconsole=com2", "--timeout", str(DEBIAN_SECONDS)),
    *("--send", r"guest# =uname -r\n", "--expect", r"^6\.1\.\S+-686\n"),
    *("--send", rf"guest# =nproc; {EACH}\n", "--expect", rf"^{VCPUS}\n" + "".join(rf"{c}\n" for c in range(VCPUS))),
    *("--send", rf"guest# =for c in $(seq {VCPUS}); do ({WORK}) & done | sort -u | wc -l; wait\n", "--expect", r"^1\n"),
    *("--send", r"guest# =tty; seq 3000 | tee /tmp/s; md5sum </tmp/s\n", "--expect", "^/dev/hvc0"),
    # The last line of 13 893 bytes, and the sum that says the guest read its own right.
    *("--expect", "^2999$", "--expect", "^3000$", "--expect", "^ee9762749fc5338b6c9b0948d14219c7  -"),
    *("--send", r"guest# =poweroff -f\n", "--expect-log", "guest: the guest powered off", "--expect-halt"),
)
log = log_of("run")
check("ACPI lists 1 CPU" in log, "the node has more than one CPU")
for cpu in range(VCPUS):
    check(re.search(rf"vCPU {cpu}: [1-9]\d* turns on CPU 0", log), f"vCPU {cpu} took no turn")
check("virtio-console stops" not in log, "the console's driver broke a rule")
seen = log_of("run", "console.log")
check(all(f"] {n}\n" in seen for n in range(1, 3001, 7)), "lines are missing on the console")
