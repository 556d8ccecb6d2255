"""Which files are booted: guest images by name or content, Amalgam's own, firmware."""

import os
import struct

from labkit import SetupError, UsageError

BZIMAGE_MAGIC = b"HdrS"  # Documentation/arch/x86/boot.rst: at 0x202
MULTIBOOT_MAGIC = 0x1BADB002  # Multiboot 0.6.96, 3.1.1: in the first 8 KiB, 4-byte aligned

# The two after the console spare an emulated CPU the self-tests of the kernel's ciphers (40 s on
# Bochs) and the search for ISA plug-and-play cards (up to 20 s).
DEBIAN_APPEND = "console=ttyS0,115200 cryptomgr.notests noisapnp"
MEMTEST_APPEND = "console=ttyS0,115200"


class Guest:
    """What the hypervisor (or, natively, the emulator) boots."""

    def __init__(self, kernel, kind, initrd, append):
        self.kernel = kernel
        self.kind = kind  # "bzimage", "multiboot" or "none"
        self.initrd = initrd
        self.append = append


def kind_of(path):
    with open(path, "rb") as file:
        head = file.read(8192)
    if head[0x202:0x206] == BZIMAGE_MAGIC:
        return "bzimage"
    if head[:4] == b"\x7fELF":
        for (word,) in struct.iter_unpack("<I", head[: len(head) & ~3]):
            if word == MULTIBOOT_MAGIC:
                return "multiboot"
        raise UsageError(f"{path} is an ELF file without a Multiboot 1 header in its first 8 KiB.")
    raise UsageError(f"{path} is neither a bzImage (no HdrS at 0x202) nor a Multiboot 1 ELF.")


def built(options, *parts):
    path = os.path.join(options.build, *parts)
    if not os.path.isfile(path):
        raise SetupError(f"{os.path.relpath(path)} is missing: run `make all guest-images` first.")
    return path


def guest(options):
    if options.guest == "debian":
        initrd = options.initrd or built(options, "guest/initrd.gz")
        append = DEBIAN_APPEND if options.append is None else options.append
        return Guest(built(options, "guest/linux"), "bzimage", initrd, append)
    if options.guest == "memtest":
        append = MEMTEST_APPEND if options.append is None else options.append
        return Guest(built(options, "guest/memtest"), "bzimage", options.initrd, append)
    if options.guest == "none" and not options.native:
        return Guest(None, "none", None, "")
    if not os.path.isfile(options.guest):
        raise UsageError(f"There is no guest file {options.guest} (expected debian, memtest, none or a file).")
    return Guest(options.guest, kind_of(options.guest), options.initrd, options.append or "")


def amalgam_elf(options):
    return built(options, "boot/amalgam.elf")


def amalgam_efi(options):
    return built(options, "boot/amalgam.efi")


def packaged(path, package):
    if not os.path.isfile(path):
        raise SetupError(f"{path} is missing: package {package} has it; `make packages` installs it.")
    return path


def ovmf_code():
    return packaged("/usr/share/OVMF/OVMF_CODE.fd", "ovmf")


def ovmf_vars():
    return packaged("/usr/share/OVMF/OVMF_VARS.fd", "ovmf")


def e1000_rom():
    """The BIOS one: an iPXE that takes its script over TFTP."""
    return packaged("/usr/lib/ipxe/qemu/pxe-e1000.rom", "ipxe-qemu")


def ipxe_efi():
    return packaged("/boot/ipxe.efi", "ipxe")
