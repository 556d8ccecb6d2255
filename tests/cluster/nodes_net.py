#!/usr/bin/env python3
"""The guest's network card at the head, used by the other node's CPU for 10 MiB."""

from harness import use_net

use_net("--nodes", "2", "--cores", "1", cpus="1")
