#!/usr/bin/env python3
"""
What a node can't do is said in a sentence, and the node stops: a CPU without what Amalgam needs, a
wrong option, a guest image that is missing or damaged. The host tests have each sentence of options and images; in
short one of each kind shows that it reaches the log.
"""

import os

from harness import BUILD, DIRECT, LOGS, LONG, guest_elf, lab

GUEST = guest_elf("cpuid")


def stops(name, sentence, *args):
    lab(
        *("--node-ram", "128", "--guest", GUEST, "--timeout", "300", *args),
        *("--expect-log", sentence, "--expect-halt"),
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


def old_cpu(name, sentence, model):
    stops(name, f"boot: ERROR: this CPU has {sentence}", "--emu", "bochs", "--cpu", model)


old_cpu("no-ept", r"VT-x without EPT; ", "core2_penryn_t9600")
old_cpu("no-unrestricted-guest", r"no unrestricted guest", "corei5_lynnfield_750")
old_cpu("no-virtualization", r"neither VT-x .* nor AMD-V .*; switch .* on in the firmware setup", "athlon64_venice")


def direct(name, sentence, *args):
    stops(name, sentence, *DIRECT, *args)


BOOT, GUEST_STOPS = "boot: ERROR: ", "guest: ERROR: stopped: the Linux kernel image "
direct("wrong-option", BOOT + "option 'frobnicate' is unknown; the options are ", "--hv-append", "frobnicate=1")
direct("no-guest", BOOT + "no guest image came with the boot", "--guest", "none")
direct("cut-kernel", GUEST_STOPS + "is cut short: 100000 bytes", "--guest", cut_off(100000))
direct("too-much-memory", BOOT + "too little RAM: the guest is to have 4096 MiB", "--mem", "4096")
if LONG:
    direct("wrong-value", BOOT + "option 'mem=plenty' is wrong; expected .*memory", "--hv-append", "mem=plenty")
    direct("missing-guest", BOOT + "guest image 'nosuch' is not among the", "--hv-append", "guest=nosuch")
    direct("cut-setup", GUEST_STOPS + "has 8192 bytes", "--guest", cut_off(8192))
