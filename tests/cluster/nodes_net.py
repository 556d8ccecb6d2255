#!/usr/bin/env python3
"""The guest's network card at the head, used by CPUs of two nodes."""

from harness import use_net

use_net("--nodes", "2", "--cores", "1", "--firmware", "uefi")
