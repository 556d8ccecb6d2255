#!/usr/bin/env python3
"""
Every bare-metal test guest once more, on AMD-V: QEMU's software CPU has it, and Bochs's here has VT-x.

cpu=tcg tells the guests what this CPU does otherwise than the manual says, as it does without a hypervisor:
it keeps reserved bits of CR0, checks no segment limits on some paths, has no general detect. A hardware task
switch does not exit from it, though the hypervisor asks for that: the CPU performs it, so task_switch finishes.

Two of them then live through images: every third time that a vCPU looks at its events it is taken out of the CPU, made
bytes, and put back from them.
"""

from harness import DIRECT, run_guests, run_images

run_guests(*DIRECT, words="cpu=tcg", finishing=("task_switch",))
STATES = ("event queued", "NMIs blocked", "halted", "timer armed", "interrupt requested", "interrupt in service")
run_images(("exception", "lapic"), STATES, *DIRECT, words="cpu=tcg")
