#!/usr/bin/env python3
"""A Debian of debootstrap's, on a disk that a vblade serves, used by CPUs of two nodes."""

from harness import DIRECT, use_root

use_root("--nodes", "2", *DIRECT, "--cores", "1", "--mem", "128", "--node-ram", "384")
