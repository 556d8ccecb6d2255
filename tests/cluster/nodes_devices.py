#!/usr/bin/env python3
"""
The guest's disk, an image at the head, used by CPUs of two nodes, with a reset of both in between. Then its network
card at the head, used by the other node's CPU.
"""

from harness import NET, built, check, disk_image, log_of, try_net, use_disk

with open(built("guest/initrd.gz", "guest-images"), "rb") as file:
    net = try_net("initrd", file.read(), cpus="1")
use_disk("--disk", disk_image(), "--nodes", "2", "--cores", "1", *NET, also=net)
check("virtio-net stops" not in log_of("run"), "the card's driver broke a rule")
