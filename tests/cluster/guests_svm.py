#!/usr/bin/env python3
"""Every bare-metal test guest once more, on AMD-V: QEMU's software CPU has it, and Bochs's here has VT-x."""

from harness import run_guests

run_guests("--emu", "qemu", words="cpu=tcg")
