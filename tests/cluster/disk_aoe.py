#!/usr/bin/env python3
"""
The same on a vblade: the hypervisor's own AoE initiator finds it, and what the guest wrote is in the
target's file, with a file system that is whole.
"""

from harness import check, check_files, disk_image, log_of, use_disk

image = disk_image()
use_disk("--aoe", image)
check("AoE target 1.2" in log_of("run"), "the hypervisor did not find the target")
check_files(image)
