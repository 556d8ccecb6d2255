"""QEMU: fast, with AMD-V in software (its `max` CPU has it), UEFI netboot and many network cards."""

import os
import shutil
import subprocess

from labkit import SetupError, images, netboot
from labkit.network import mac_of
from labkit.options import cpu_of


class Qemu:
    name = "qemu"

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.program = "qemu-system-x86_64"
        if not shutil.which(self.program):
            raise SetupError(f"'{self.program}' is missing: `make packages` installs it.")

    def start(self, node, ports, disk, guest):
        """As Bochs.start; natively or with --boot direct, QEMU loads what it boots itself."""
        command = [self.program, *self.machine(node, ports, disk)]
        if self.options.boot == "direct":
            command += netboot.direct(self.options, guest)
        elif self.options.native:
            command += self.native(guest)
        output = os.path.join(self.options.logdir, f"node{node}.emulator.log")
        with open(output, "w", encoding="utf-8") as out:
            out.write(" ".join(command) + "\n")
            out.flush()
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def machine(self, node, ports, disk):
        options = self.options
        kvm = options.emu == "kvm"
        yield from ("-nodefaults", "-display", "none", "-vga", "std", "-no-reboot")
        yield from ("-name", f"node{node}", "-m", str(options.node_ram), "-smp", str(options.cores))
        yield from ("-accel", "kvm" if kvm else "tcg,thread=multi")
        yield from ("-cpu", cpu_of(options, node, "host" if kvm else "max"))
        # A CPU that triple-faults takes its registers along, but for this log.
        yield from ("-d", "cpu_reset", "-D", os.path.join(options.logdir, f"node{node}.qemu.log"))
        for number, port in enumerate(ports, 1):
            yield from ("-chardev", f"socket,id=com{number},host=127.0.0.1,port={port}")
            yield from ("-serial", f"chardev:com{number}")
        yield from self.firmware(node)
        if disk:
            yield from ("-drive", f"file={disk},format=raw,if=none,id=esp")
            yield from ("-device", "ide-hd,drive=esp,bootindex=1")
        if not options.native:
            yield from ("-netdev", f"tap,id=net,ifname=tap{node},script=no,downscript=no")
            yield from ("-device", f"{self.nic()},netdev=net,mac={mac_of(node)},bootindex=2")
        if options.gdb:
            path = os.path.join(options.logdir, f"node{node}.gdb")
            yield from ("-chardev", f"socket,id=gdb,path={path},server=on,wait=off")
            yield from ("-gdb", "chardev:gdb", "-S")

    def nic(self):
        """The e1000's ROM is iPXE itself. Without iPXE it is a card that OVMF knows, too."""
        models = {"e1000": "e1000", "e1000e": "e1000e", "virtio-net": "virtio-net-pci"}
        no_ipxe = self.options.boot in ("pxe", "direct")
        model = models[self.options.nic or ("virtio-net" if no_ipxe else "e1000")]
        return model + (",romfile=" if no_ipxe else "")

    def firmware(self, node):
        if self.options.firmware == "bios":
            return
        variables = os.path.join(self.folder, f"node{node}.vars.fd")
        shutil.copyfile(images.ovmf_vars(), variables)
        yield from ("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={images.ovmf_code()}")
        yield from ("-drive", f"if=pflash,format=raw,unit=1,file={variables}")

    @staticmethod
    def native(guest):
        """The debug exit port is where Amalgam has it; QEMU then exits with code 2 * N + 1."""
        yield from ("-kernel", guest.kernel, "-append", guest.append)
        if guest.initrd:
            yield from ("-initrd", guest.initrd)
        yield from ("-device", "isa-debug-exit,iobase=0xf4,iosize=1")
