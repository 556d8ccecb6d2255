"""
Bochs: VT-x and EPT entirely in software.

Debian's package has the Bochs debugger in it, so it starts stopped: the command file holds "c". It
has no display-less mode; "rfb" without a viewer comes closest.

A killed Bochs leaves a lock beside its disk image; every run has its own copy in its own folder.
"""

import os
import shutil
import subprocess

from labkit import SetupError, images
from labkit.network import mac_of
from labkit.options import cpu_of

DEFAULT_CPU = "corei7_skylake_x"
BXSHARE = "/usr/share/bochs"

# How time passes. A debugger build executes 65 to 80 million instructions a second here. With
# sync=none a halted CPU costs nothing: the guest's idle time is skipped, which makes one node's boot
# as short as it can be. Two nodes must not skip time past each other, so they get sync=slowdown with
# a rate that Bochs keeps even when the host has two at work and programs of the lab besides: slowdown
# lets a node that fell behind catch up in no time while it is idle, by up to a second. The rate is also
# the guest's TSC frequency. Measured, one node, stock kernel natively to its shell: none 54 s, slowdown
# 64 s at 50 million.
SYNC_ONE, SYNC_MANY = "none", "slowdown"
IPS_ONE, IPS_MANY = 50, 40  # million


class Bochs:
    name = "bochs"

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        if not shutil.which("bochs"):
            raise SetupError("'bochs' is missing: `make packages` installs it.")

    def start(self, node, ports, disk, _guest):
        """ports: where COM1 and COM2 connect to; disk: the boot disk of --boot esp, or None; the guest is netbooted."""
        config = os.path.join(self.folder, f"node{node}.bochsrc")
        with open(config, "w", encoding="utf-8") as file:
            file.write("\n".join(self.config(node, ports, disk)) + "\n")
        commands = self.options.bochs_rc or os.path.join(self.folder, "continue.rc")
        if not self.options.bochs_rc:
            with open(commands, "w", encoding="ascii") as file:
                file.write("c\n")
        command = ["bochs", "-q", "-f", config, "-rc", commands]
        output = os.path.join(self.options.logdir, f"node{node}.emulator.log")
        with open(output, "w", encoding="utf-8") as out:
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def config(self, node, ports, disk):
        options = self.options
        # The debugger never returns to a triple-faulting guest's reset by itself: stop and say so,
        # unless the guest runs natively and may restart that way.
        model = cpu_of(options, node, DEFAULT_CPU)
        default, ips = (SYNC_ONE, IPS_ONE) if options.nodes == 1 else (SYNC_MANY, IPS_MANY)
        ips = (options.ips or ips) * 1000000
        triple = 1 if options.native else 0
        yield "display_library: rfb, options=\"timeout=0\""
        yield f"megs: {options.node_ram}"
        yield f"cpu: model={model}, count={options.cores}, ips={ips}, reset_on_triple_fault={triple}, ignore_bad_msrs=1"
        yield f"clock: sync={options.sync or default}, time0=local"
        yield from self.firmware(disk)
        yield "pci: enabled=1, chipset=i440fx, slot1=e1000"
        yield (
            f"e1000: enabled=1, mac={mac_of(node)}, ethmod=tuntap, ethdev=/dev/net/tun:tap{node},"
            f" script=/bin/true, bootrom={images.e1000_rom()}"
        )
        for number, port in enumerate(ports, 1):
            yield f"com{number}: enabled=1, mode=socket-client, dev=127.0.0.1:{port}"
        yield f"log: {options.logdir}/node{node}.bochs.log"
        yield "logprefix: %t%e%d"
        yield "panic: action=fatal"
        yield "error: action=report"
        yield "info: action=ignore"
        yield "debug: action=ignore"
        yield "mouse: enabled=0"
        yield "speaker: enabled=0"
        yield "sound: waveoutdrv=dummy"

    def firmware(self, disk):
        yield f"vgaromimage: file={BXSHARE}/VGABIOS-lgpl-latest"
        if self.options.firmware == "bios":
            yield f"romimage: file={BXSHARE}/BIOS-bochs-latest"
            yield "boot: network"
            return
        yield f"romimage: file={self.ovmf()}, address=0xffe00000, options=none"
        if disk:
            yield f"ata0-master: type=disk, mode=flat, path={disk}, translation=auto"
            yield "boot: disk"

    def ovmf(self):
        """Variables and code as one ROM, as it would lie in flash."""
        path = os.path.join(self.folder, "ovmf.fd")
        if not os.path.exists(path):
            with open(path, "wb") as out:
                for part in (images.ovmf_vars(), images.ovmf_code()):
                    with open(part, "rb") as file:
                        shutil.copyfileobj(file, out)
        return path
