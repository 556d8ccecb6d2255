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


def damaged():
    """A kernel whose download broke off: the first 8 KiB are as they should be."""
    path = os.path.join(LOGS, "damaged")
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(BUILD, "guest/linux"), "rb") as whole, open(path, "wb") as part:
        part.write(whole.read(8192))
    return path


stops("no-ept", r"boot: .*EPT.*", "--cpu", "core2_penryn_t9600")
stops("no-unrestricted-guest", r"boot: .*unrestricted guest.*", "--cpu", "corei5_lynnfield_750")
stops("no-vt-x", r"boot: .*VT-x.*", "--cpu", "athlon64_venice")
stops("wrong-option", r"boot: option 'frobnicate' is unknown; the options are ", "--hv-append", "frobnicate=1")
stops("wrong-value", r"boot: option 'mem=plenty' is wrong; expected .*memory", "--hv-append", "mem=plenty")
stops("missing-guest", r"boot: guest image 'nosuch' is not among the", "--hv-append", "guest=nosuch")
stops("no-guest", r"boot: no guest image came with the boot", "--guest", "none")
stops("damaged-guest", r"boot: .*(damaged|cut|larger|longer|short|incomplete)", "--guest", damaged())
stops("too-much-memory", r"boot: too little RAM: the guest is to have 4096 MiB", "--mem", "4096")
