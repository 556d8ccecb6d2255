#!/usr/bin/env python3
"""The guest's disk, an image at the head, used by CPUs of two nodes; and a reset of both in between."""

from harness import disk_image, use_disk

use_disk("--disk", disk_image(), "--nodes", "2", "--cores", "1")
