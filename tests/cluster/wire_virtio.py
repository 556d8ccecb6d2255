#!/usr/bin/env python3
"""The same with virtio-net cards, which the firmware itself boots from."""

from harness import DIRECT, run_wire

run_wire(4, "--emu", "qemu", "--firmware", "uefi", "--nic", "virtio-net", lossy=(*DIRECT, "--nic", "virtio-net"))
