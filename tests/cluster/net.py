#!/usr/bin/env python3
"""
The guest's network card: the stock kernel's virtio_net gets an address from the lab's DHCP server, under a
MAC address of its own, and fetches 10 MB by HTTP on each CPU at once; the sums are right.
"""

import hashlib
import os

from harness import DEBIAN_SECONDS, LOGS, TROUBLE, check, lab, log_of

PATH = os.path.join(LOGS, "data")
DATA = os.urandom(10 << 20)
SUM = hashlib.md5(DATA).hexdigest()

os.makedirs(LOGS, exist_ok=True)
with open(PATH, "wb") as file:
    file.write(DATA)

# The lab serves the disk's image, too.
FETCH = "for c in 0 1; do taskset -c $c wget -qO- http://10.77.0.1/disk | md5sum & done; wait"
lab(
    *("--emu", "qemu", "--cores", "2", "--mem", "128", "--node-ram", "384", "--disk", PATH, *TROUBLE),
    *("--http", "--hv-append", "net=on", "--timeout", str(DEBIAN_SECONDS)),
    *("--send", r"guest# =ifconfig eth0\n", "--expect", "HWaddr 06:41:4D:47:00:00", "--expect", r"addr:10\.77\.0\.1"),
    *("--send", f"guest# ={FETCH}\\n", "--expect", f"^{SUM}", "--expect", f"^{SUM}"),
    *("--send", r"guest# =ping -c 3 10.77.0.1\n", "--expect", " 0% packet loss"),
    *("--send", r"guest# =poweroff -f\n", "--expect-log", "boot: node halted"),
)
check("virtio-net stops" not in log_of("run"), "the card's driver broke a rule")
