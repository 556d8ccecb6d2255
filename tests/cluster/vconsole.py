#!/usr/bin/env python3
"""The stock kernel's virtio_console: a shell on /dev/hvc0, bytes both ways, more than its buffers hold."""

from harness import DEBIAN_SECONDS, DIRECT, TROUBLE, check, lab, log_of

lab(
    *(*DIRECT, "--mem", "128", "--node-ram", "384", *TROUBLE, "--timeout", str(DEBIAN_SECONDS)),
    *("--hv-append", "console=off vconsole=com2"),
    *("--send", r"guest# =tty; seq 10000 | tee /tmp/s; md5sum </tmp/s\n", "--expect", "^/dev/hvc0"),
    # the last line of 48 894 bytes, and the sum that says the guest read its own right
    *("--expect", "^9999$", "--expect", "^10000$", "--expect", "^72d4ff27a28afbc066d5804999d5a504  -"),
    *("--send", r"guest# =poweroff -f\n", "--expect-halt"),
)
check("virtio-console stops" not in log_of("run"), "the console's driver broke a rule")
seen = log_of("run", "console.log")
check(all(f"] {n}\n" in seen for n in range(1, 10001, 7)), "lines are missing on the console")
