#!/usr/bin/env python3
"""
Two nodes with VT-x netboot into one machine: the stock Debian 686 kernel has a CPU on each, both work,
and power off ends both nodes in good order.
"""

from harness import boot_nodes

boot_nodes(2, 1, "--emu", "bochs", "--firmware", "bios")
