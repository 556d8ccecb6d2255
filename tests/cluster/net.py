#!/usr/bin/env python3
"""The guest's network card, on one node of two CPUs."""

from harness import use_net

use_net()
