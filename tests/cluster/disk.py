#!/usr/bin/env python3
"""
The guest's disk, an image that came with the boot: the stock kernel's virtio_blk mounts the ext4 on it,
reads what was put there, two CPUs write files in parallel, and both are right after a reboot.
"""

import hashlib
import os
import subprocess

from harness import DEBIAN_SECONDS, LOGS, TROUBLE, check, lab, log_of

GIVEN = os.urandom(1 << 20)
MOUNT = "mount -t ext4 /dev/vda /mnt"
# Each CPU writes a file of its own and keeps the sum beside it.
WRITE = "for c in 0 1; do taskset -c $c sh -c 'dd if=/dev/urandom of=f'$c' bs=64k count=32 2>&-; md5sum f'$c' >s'$c & done; wait"


def image():
    """A file system made from a folder; no root and no mount needed."""
    folder, path = os.path.join(LOGS, "files"), os.path.join(LOGS, "disk.img")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "given"), "wb") as file:
        file.write(GIVEN)
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(
        ["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, path], capture_output=True, text=True, check=False
    )
    check(made.returncode == 0, f"mke2fs failed: {made.stderr}")
    return path


def main():
    lab(
        *("--emu", "qemu", "--cores", "2", "--mem", "128", "--node-ram", "384", *TROUBLE, "--fail", "I/O error"),
        *("--disk", image(), "--timeout", str(DEBIAN_SECONDS)),
        *("--send", rf"guest# =mkdir /mnt; {MOUNT} \&\& cd /mnt \&\& md5sum given\n".replace(r"\&", "&")),
        *("--expect", rf"^{hashlib.md5(GIVEN).hexdigest()}  given"),
        *("--send", f"guest# ={WRITE}; cd /; umount /mnt && reboot -f\\n"),
        *("--send", rf"guest# =mkdir /mnt; {MOUNT}; cd /mnt; cat s0 s1 | md5sum -c\n"),
        *("--expect", "^f0: OK", "--expect", "^f1: OK"),
        *("--send", r"guest# =cd /; umount /mnt; grep virtio /proc/interrupts; poweroff -f\n"),
        *("--expect", r"PCI-MSI.*virtio0-req", "--expect-log", "guest: the guest powered off"),
        *("--expect-log", "boot: node halted"),
    )
    check("virtio-blk stops" not in log_of("run"), "the disk's driver broke a rule")


main()
