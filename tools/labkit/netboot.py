"""What a node boots: the folder dnsmasq serves, or a disk with an EFI system partition's content."""

import os
import shutil
import subprocess

from labkit import ROOT, SetupError, images, network

MIB = 1 << 20


def hypervisor_args(options, guest):
    """Log on COM1, the guest's console on COM2; what the person gave comes last and wins."""
    words = ["serial=com1", "console=com2", f"nodes={options.nodes}"]
    if options.nodes > 1:
        # Emulated CPUs don't call their TSC invariant, and a busy host stops them for a while.
        words += ["trust-tsc", "lost-after=10000"]
    if options.mem:
        words.append(f"mem={options.mem}M")
    if options.vcpus:
        words.append(f"cpus={options.vcpus}")
    if options.disk:
        words.append("disk=disk")
    if options.aoe:
        words.append(f"disk=aoe:{network.AOE_SHELF}.{network.AOE_SLOT}")
    if guest.kind == "multiboot":
        words.append("debug-exit=on")
    return " ".join(words + [options.hv_append]).strip()


def settings(options, guest):
    """The iPXE script that pxe/boot.ipxe asks for."""
    lines = ["#!ipxe", f"set hv-args {hypervisor_args(options, guest)}"]
    if guest.kernel:
        lines += ["set kernel guest", f"set kernel-args {guest.append}"]
    if guest.initrd:
        lines.append("set initrd initrd")
    if options.disk:
        lines.append("set disk disk")
    return "\n".join(lines) + "\n"


NATIVE = """#!ipxe
kernel guest {append} || shell
{initrd}
boot || shell
"""


def folder(options, guest, work):
    """Fills WORK/netboot; iPXE and UEFI firmware fetch from it over TFTP."""
    path = os.path.join(work, "netboot")
    os.makedirs(path)
    if guest.kernel:
        copy(guest.kernel, path, "guest")
    if guest.initrd:
        copy(guest.initrd, path, "initrd")
    if options.disk:
        copy(options.disk, path, "disk")
    if options.native:
        initrd = "initrd initrd || shell" if guest.initrd else ""
        write(path, "boot.ipxe", NATIVE.format(append=guest.append, initrd=initrd))
        return path
    if options.firmware == "bios":
        copy(images.amalgam_elf(options), path, "amalgam.elf")
    else:
        copy(images.amalgam_efi(options), path, "amalgam.efi")
        copy(images.ipxe_efi(), path, "ipxe.efi")
        write(path, "amalgam.cfg", loader_config(options, guest))
    copy(os.path.join(ROOT, "pxe/boot.ipxe"), path, "boot.ipxe")
    write(path, "settings.ipxe", settings(options, guest))
    return path


def direct(options, guest):
    """What has QEMU load amalgam.elf and what belongs to it from the folder; a comma in a value is doubled."""
    modules = []
    if guest.kernel:
        modules.append(f"netboot/guest {guest.append}".rstrip())
    modules += [f"netboot/{name}" for name, there in (("initrd", guest.initrd), ("disk", options.disk)) if there]
    yield from ("-kernel", "netboot/amalgam.elf", "-append", hypervisor_args(options, guest))
    if modules:
        yield from ("-initrd", ",".join(module.replace(",", ",,") for module in modules))


def loader_config(options, guest):
    """What amalgam.efi reads when no iPXE handed it files: see docs/boot.md."""
    lines = [f"options {hypervisor_args(options, guest)}"]
    if guest.kernel:
        lines.append(f"file guest {guest.append}".rstrip())
    if guest.initrd:
        lines.append("file initrd")
    if options.disk:
        lines.append("file disk")
    return "\n".join(lines) + "\n"


def disk(options, guest, work):
    """What --boot esp starts."""
    path = os.path.join(work, "esp.img")
    if options.boot_image:
        shutil.copyfile(options.boot_image, path)
    else:
        stick(folder(options, guest, work), path)
    return path


def stick(source, path):
    """A FAT disk that UEFI starts by itself: EFI/BOOT/BOOTX64.EFI and the files beside it."""
    names = [name for name in ("amalgam.efi", "amalgam.cfg", "guest", "initrd", "disk")
             if os.path.exists(os.path.join(source, name))]  # fmt: skip
    sizes = sum(os.path.getsize(os.path.join(source, name)) for name in names)
    with open(path, "wb") as file:
        file.truncate(max(40 * MIB, (sizes * 5 // 4 + 4 * MIB) & ~(MIB - 1)))
    mtool("mformat", "-i", path, "-F", "-v", "AMALGAM", "::")
    mtool("mmd", "-i", path, "::/EFI", "::/EFI/BOOT")
    for name in names:
        there = "BOOTX64.EFI" if name == "amalgam.efi" else name
        mtool("mcopy", "-i", path, os.path.join(source, name), f"::/EFI/BOOT/{there}")


def mtool(*command):
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise SetupError(f"'{command[0]}' is missing: `make packages` installs mtools.") from None
    if done.returncode:
        raise SetupError(f"'{' '.join(command)}' failed: {done.stderr.strip()}.")


def copy(source, path, name):
    shutil.copyfile(source, os.path.join(path, name))


def write(path, name, text):
    with open(os.path.join(path, name), "w", encoding="utf-8") as file:
        file.write(text)
