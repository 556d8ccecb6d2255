#!/usr/bin/env python3
"""
What a node can't do is said in a sentence, and the node stops: a CPU without what Amalgam needs, a
wrong option, a guest image that is missing or damaged.
"""

import os

from harness import BUILD, LOGS, guest_elf, lab

GUEST = guest_elf("cpuid")


def stops(name, sentence, *args):
    lab(
        *("--emu", "bochs", "--node-ram", "128", "--guest", GUEST, "--timeout", "300", *args),
        *("--expect-log", sentence, "--expect-log", "boot: node halted"),
        logs=name,
    )
    print(f"  {name}: ok", flush=True)


def cut_off(size):
    """A kernel whose download broke off after `size` bytes."""
    path = os.path.join(LOGS, f"cut-{size}")
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(BUILD, "guest/linux"), "rb") as whole, open(path, "wb") as part:
        part.write(whole.read(size))
    return path


stops("no-ept", r"boot: ERROR: this CPU has VT-x without EPT; ", "--cpu", "core2_penryn_t9600")
stops("no-unrestricted-guest", r"boot: ERROR: this CPU has no unrestricted guest", "--cpu", "corei5_lynnfield_750")
stops("no-virtualization",
      r"boot: ERROR: this CPU has neither VT-x .* nor AMD-V .*; switch .* on in the firmware setup",
      "--cpu", "athlon64_venice")  # fmt: skip
stops("wrong-option", r"boot: ERROR: option 'frobnicate' is unknown; the options are ", "--hv-append", "frobnicate=1")
stops("wrong-value", r"boot: ERROR: option 'mem=plenty' is wrong; expected .*memory", "--hv-append", "mem=plenty")
stops("missing-guest", r"boot: ERROR: guest image 'nosuch' is not among the", "--hv-append", "guest=nosuch")
stops("no-guest", r"boot: ERROR: no guest image came with the boot", "--guest", "none")
stops("cut-setup", r"guest: ERROR: stopped: the Linux kernel image has 8192 bytes", "--guest", cut_off(8192))
stops("cut-kernel", r"guest: ERROR: stopped: the Linux kernel image is cut short: 100000 bytes",
      "--guest", cut_off(100000))
stops("too-much-memory", r"boot: ERROR: too little RAM: the guest is to have 4096 MiB", "--mem", "4096")
