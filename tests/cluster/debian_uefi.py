#!/usr/bin/env python3
"""UEFI: amalgam.efi is started from an EFI system partition and the stock kernel runs to a shell."""

from harness import boot_debian

boot_debian(1, "--emu", "bochs", "--firmware", "uefi", "--node-ram", "512")
