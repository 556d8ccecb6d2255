#!/usr/bin/env python3
"""The guest's network card at the head, used by the other node's CPU."""

from harness import LONG, use_net

use_net("--nodes", "2", "--cores", "1", cpus="1", mib=10 if LONG else 2)
