"""The lab's command line."""

import argparse
import os
import re
import time

from labkit import ROOT, UsageError, choice

USAGE = """lab run [OPTION]...

Runs an emulated cluster that netboots Amalgam and a guest, and talks to the guest's console.
Exit code: 0 every expectation was met, 1 one was not, 2 wrong usage, 3 the set-up failed."""

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "e": "\x1b", "\\": "\\"}


class Step:
    """One step of the conversation: a pattern to wait for, and what to type then."""

    def __init__(self, pattern, text=None):
        self.pattern = pattern
        self.text = text

    def __str__(self):
        return f"/{self.pattern.pattern}/"


def regex(text):
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a regular expression: {error}") from None


def unescape(text):
    def one(found):
        what = found.group(1)
        return chr(int(what[1:], 16)) if what[0] == "x" else ESCAPES.get(what, what)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", one, text)


def expect_step(text):
    return Step(regex(text))


def send_step(text):
    parts = re.split(r"(?<!\\)=", text, maxsplit=1)
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"'{text}', expected REGEX=TEXT (write \\= for a = in REGEX)")
    return Step(regex(parts[0].replace(r"\=", "=")), unescape(parts[1]))


def kill_step(text):
    step = send_step(text)
    if not step.text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}', expected REGEX=NODE, NODE a number")
    return step


def number(low, high):
    def convert(text):
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}', expected a number from {low} to {high}")
        return int(text)

    return convert


def machine_options(parser):
    group = parser.add_argument_group("the machines")
    group.add_argument("--nodes", type=number(1, 64), default=1, metavar="N", help="default 1")
    group.add_argument(
        "--cores", type=number(1, 32), default=1, metavar="C", help="CPUs of each node, default 1"
    )
    group.add_argument(
        "--node-ram", type=number(16, 65536), default=512, metavar="MB", help="of each, default 512"
    )
    group.add_argument(
        "--emu",
        choices=["bochs", "qemu", "kvm", "auto"],
        default="auto",
        help="bochs: VT-x in software; qemu: AMD-V in software; kvm: the host's own, nested; auto: the"
        " fastest that works here (default)",
    )
    group.add_argument(
        "--cpu",
        action="append",
        default=[],
        metavar="MODEL",
        help="as the emulator calls it, once for all nodes or for each from node 0 on; default: one with"
        " VT-x or AMD-V",
    )
    group.add_argument("--firmware", choices=["bios", "uefi"], default="bios")
    group.add_argument(
        "--boot",
        choices=["pxe", "ipxe", "esp", "direct"],
        help="pxe: the firmware loads amalgam.efi itself; ipxe: through iPXE; esp: from a disk; direct: QEMU"
        " loads amalgam.elf itself, which is quick"
        " (default: ipxe with BIOS, pxe with UEFI, esp with UEFI on Bochs)",
    )
    group.add_argument("--boot-image", metavar="FILE",
                       help="--boot esp: a disk with all that is booted, instead of the lab's own")  # fmt: skip


def network_options(parser):
    group = parser.add_argument_group("the network")
    group.add_argument("--nic", choices=["e1000", "e1000e", "virtio-net"],
                       help="QEMU; default: one the way of booting knows")  # fmt: skip
    group.add_argument("--faults", metavar="SPEC",
                       help="what befalls frames between nodes: drop=,dup=,reorder=,corrupt= in percent, "
                       "delay= in us, partition=NODE:START:LENGTH in seconds")  # fmt: skip
    group.add_argument("--faults-seed", type=number(0, 1 << 32), default=1, metavar="N")
    group.add_argument("--capture", metavar="FILE", help="what the nodes send, for tshark (pcap)")


def guest_options(parser):
    group = parser.add_argument_group("the guest")
    group.add_argument(
        "--guest",
        default="debian",
        metavar="debian|memtest|none|FILE",
        help="FILE is a bzImage or a Multiboot 1 ELF; none: the hypervisor alone; default debian",
    )
    group.add_argument("--initrd", metavar="FILE", help="default for debian: a shell")
    group.add_argument("--disk", metavar="FILE", help="an image, loaded at boot: the guest's /dev/vda")
    group.add_argument("--aoe", metavar="FILE",
                       help="an image that a vblade on the lab's network serves: the guest's /dev/vda")  # fmt: skip
    group.add_argument("--http", action="store_true",
                       help="serve what is netbooted by HTTP as well, for a guest with net=on")  # fmt: skip
    group.add_argument("--append", metavar="STRING", help="the guest's command line")
    group.add_argument("--hv-append", default="", metavar="STRING", help="more hypervisor options")
    group.add_argument(
        "--mem", type=number(1, 1 << 20), metavar="MB", help="of the guest; default: the hypervisor's"
    )
    group.add_argument(
        "--vcpus", type=number(1, 64), metavar="N", help="of the guest, on each node; default: one per CPU"
    )
    group.add_argument(
        "--native", action="store_true", help="boot the guest on the emulator itself, as the reference"
    )


def talk_options(parser):
    group = parser.add_argument_group("the conversation, in the order given")
    group.add_argument("--expect", dest="steps", action="append", type=expect_step, metavar="REGEX",
                       help="wait for it on the guest's console")  # fmt: skip
    group.add_argument("--send", dest="steps", action="append", type=send_step, metavar="REGEX=TEXT",
                       help=r"wait for it there, then type TEXT (\n, \t, \e, \xNN)")  # fmt: skip
    group.add_argument("--expect-log", dest="log_steps", action="append", type=expect_step,
                       metavar="REGEX", help="wait for it on the nodes' hypervisor logs")  # fmt: skip
    group.add_argument("--expect-halt", action="store_true",
                       help="then wait until every node has halted in good order")  # fmt: skip
    group.add_argument("--fail", action="append", type=regex, default=[], metavar="REGEX",
                       help="give up when it shows up on console or log")  # fmt: skip
    group.add_argument("--kill", action="append", type=kill_step, default=[], metavar="REGEX=NODE",
                       help="cut that node's power when console or log shows REGEX")  # fmt: skip
    group.add_argument("--timeout", type=number(1, 1 << 20), metavar="SECONDS",
                       help="default 600, none with --interactive")  # fmt: skip
    group.add_argument("--interactive", action="store_true",
                       help="sit at the guest's console; Ctrl-A X leaves, Ctrl-A H helps")  # fmt: skip


def other_options(parser):
    group = parser.add_argument_group("traces")
    group.add_argument("--logdir", metavar="DIR", help="default build/lab/TIME")
    group.add_argument("-v", "--verbose", action="store_true", help="show every line as it comes")
    group.add_argument("--keep", action="store_true", help="keep the working folder (disks, netboot)")
    group.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR", help="default build")
    group.add_argument("--status", action="store_true",
                       help="keep what the nodes' status consoles say in LOGDIR/nodeN.status")  # fmt: skip
    group.add_argument("--gdb", action="store_true",
                       help="QEMU: wait for gdb at LOGDIR/nodeN.gdb (target remote FILE)")  # fmt: skip
    group.add_argument("--bochs-rc", metavar="FILE", help="Bochs: debugger commands instead of 'c'")
    group.add_argument("--ips", type=number(1, 10000), metavar="M",
                       help="Bochs: million instructions per simulated second")  # fmt: skip
    group.add_argument("--sync", choices=["none", "slowdown", "realtime", "both"],
                       help="Bochs: how simulated time follows real time")  # fmt: skip


def parse(argv, look=choice.look):
    """`look` finds out what this machine has."""
    parser = argparse.ArgumentParser(prog="lab", usage=USAGE, allow_abbrev=False)
    parser.add_argument("verb", choices=["run"], help=argparse.SUPPRESS)
    machine_options(parser)
    network_options(parser)
    guest_options(parser)
    talk_options(parser)
    other_options(parser)
    options = parser.parse_args(argv)
    options.steps = options.steps or []
    options.log_steps = options.log_steps or []
    choice.settle(options, look())
    settle(options)
    return options


def cpu_of(options, node, default):
    return options.cpu[node % len(options.cpu)] if options.cpu else default


def settle(options):
    """Fills in what depends on other options and refuses what can't go together."""
    if any(int(step.text) >= options.nodes for step in options.kill):
        raise UsageError(f"--kill names a node beyond the last, {options.nodes - 1}.")
    if len(options.cpu) > 1 and len(options.cpu) != options.nodes:
        times = len(options.cpu)
        raise UsageError(f"--cpu is there {times} times: give it once, or for each of the {options.nodes} nodes.")
    if options.emu == "bochs" and options.gdb:
        raise UsageError("--gdb works with QEMU only; for Bochs's own debugger see --bochs-rc.")
    if options.emu != "bochs" and (options.bochs_rc or options.ips or options.sync):
        raise UsageError("--bochs-rc, --ips and --sync mean nothing to QEMU.")
    if options.native and options.status:
        raise UsageError("--status asks the hypervisor: leave out --native.")
    if options.native and (options.disk or options.aoe):
        raise UsageError("--disk and --aoe are devices of the hypervisor's: leave out --native.")
    if options.disk and options.aoe:
        raise UsageError("--disk and --aoe are both the guest's one disk: leave out one of them.")
    if options.native and (options.firmware != "bios" or options.nodes != 1):
        raise UsageError("--native boots one BIOS machine: leave out --nodes and --firmware.")
    if options.boot in ("pxe", "esp") and options.firmware == "bios":
        raise UsageError(f"--boot {options.boot} needs --firmware uefi: a BIOS starts Amalgam through iPXE.")
    if options.boot == "direct" and (options.emu == "bochs" or options.firmware == "uefi" or options.native):
        raise UsageError("--boot direct is QEMU's way of loading amalgam.elf: "
                         "it needs --emu qemu or kvm and --firmware bios.")
    if not options.boot:
        options.boot = "ipxe" if options.firmware == "bios" else "pxe"
        if options.firmware == "uefi" and options.emu == "bochs":
            options.boot = "esp"
        elif options.nic in ("e1000", "e1000e"):
            options.boot = "ipxe"  # OVMF has no driver of its own for these
    if options.boot_image and options.boot != "esp":
        raise UsageError("--boot-image is a disk: it needs --boot esp.")
    for path in (options.initrd, options.disk, options.aoe, options.bochs_rc, options.boot_image):
        if path and not os.path.isfile(path):
            raise UsageError(f"There is no file {path}.")
    if options.timeout is None:
        options.timeout = float("inf") if options.interactive else 600
    if options.logdir is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        options.logdir = os.path.join(options.build, "lab", f"{stamp}-{os.getpid()}")
    options.logdir = os.path.abspath(options.logdir)
