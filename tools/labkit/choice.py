"""Which emulator `--emu auto` means, and why: decided from facts about this machine, so that any can be tested."""

import errno
import os
import shutil
from typing import NamedTuple

from labkit import SetupError, UsageError

KVM_DEVICE = "/dev/kvm"
# KVM's modules for each vendor, and what their guests have with `nested` on.
MODULES = {"kvm_intel": "VT-x", "kvm_amd": "AMD-V"}
BOCHS_ONLY, QEMU_ONLY = ("bochs_rc", "ips", "sync"), ("gdb", "nic")


class Facts(NamedTuple):
    kvm_error: int  # errno of opening /dev/kvm for reading and writing, 0 when it opens
    nested: dict  # module of MODULES that is loaded -> do its guests have virtualization themselves?
    qemu: bool  # installed
    bochs: bool


def look():
    return Facts(kvm_error(), nested(), bool(shutil.which("qemu-system-x86_64")), bool(shutil.which("bochs")))


def kvm_error():
    try:
        os.close(os.open(KVM_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno
    return 0


def nested():
    found = {}
    for module in MODULES:
        try:
            with open(f"/sys/module/{module}/parameters/nested", encoding="ascii") as file:
                found[module] = file.read().strip() in ("Y", "1")
        except OSError:
            pass
    return found


def kvm_lacks(facts, native=False):
    """Why KVM can't run Amalgam here (or, natively, a guest), with the remedy; None when it can."""
    if facts.kvm_error == errno.ENOENT:
        return (
            f"there is no {KVM_DEVICE} (switch virtualization on in the firmware setup; on a virtual machine, "
            "nested virtualization on its host)"
        )
    if facts.kvm_error in (errno.EACCES, errno.EPERM):
        return f"{KVM_DEVICE} is not open to you (join the group that owns it, kvm, or run as root)"
    if facts.kvm_error:
        return f"{KVM_DEVICE} does not open: {os.strerror(facts.kvm_error)}"
    if native or any(facts.nested.values()):
        return None
    for module in facts.nested:
        return (
            f"its guests have no {MODULES[module]} themselves (as root: modprobe -r {module}; "
            f"modprobe {module} nested=1)"
        )
    return "neither kvm_intel nor kvm_amd is loaded, so its guests have no VT-x and no AMD-V"


def given(options, names):
    return next((f"--{name.replace('_', '-')}" for name in names if getattr(options, name)), None)


def fastest(facts, qemu_only=None):
    """(emulator, the reason in words): KVM, else QEMU, else Bochs. `qemu_only`: an option that Bochs does not have."""
    if not facts.qemu and facts.bochs and not qemu_only:
        return "bochs", "Bochs emulates VT-x; QEMU would be faster, but is not installed (`make packages`)"
    lacks = kvm_lacks(facts)
    if lacks:
        return "qemu", f"QEMU emulates AMD-V; KVM would be faster, but {lacks}"
    vendor = next(MODULES[module] for module, on in facts.nested.items() if on)
    return "kvm", f"KVM, the fastest: its guests here have {vendor} themselves"


def fitting(options, facts):
    """The same for `--emu auto`, of those that have what the other options ask for."""
    if options.cpu:
        raise UsageError("--cpu names a model as one emulator calls it: say with --emu which one.")
    bochs_only = given(options, BOCHS_ONLY)
    if bochs_only:
        return "bochs", f"Bochs emulates VT-x; only it has {bochs_only}"
    return fastest(facts, given(options, QEMU_ONLY))


def settle(options, facts):
    """Makes `auto` an emulator and says why in options.emu_why; refuses KVM where it can't work."""
    options.emu_why = None
    if options.emu == "auto":
        options.emu, options.emu_why = fitting(options, facts)
    elif options.emu == "kvm":
        lacks = kvm_lacks(facts, options.native)
        if lacks:
            raise SetupError(f"--emu kvm does not work here: {lacks}. --emu qemu needs no KVM.")
