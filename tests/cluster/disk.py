#!/usr/bin/env python3
"""
The guest's disk, an image that came with the boot: the stock kernel's virtio_blk mounts the ext4 on it,
reads what was put there, two CPUs write files in parallel, and both are right after a reboot.
"""

from harness import disk_image, use_disk

use_disk("--disk", disk_image())
