#!/usr/bin/env python3
"""The lab's own manners: exit codes, last log lines, and nothing left behind however it ends."""

import glob
import os
import shutil
import signal
import subprocess
import time

from harness import LAB, LOGS, NAME, check, finish, lab, start

QUICK = ("--native", "--emu", "qemu", "--timeout", "60")


def leftovers():
    """Programs of ours that are still there: all mention our log folder or the lab's work folder."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], text=True, capture_output=True, check=True).stdout
    return [line for line in listed.splitlines() if LOGS in line and "qemu-system" in line]


def usage_errors_exit_2():
    for args in (
        ("--nodes", "0"),
        ("--nodes", "many"),
        ("--emu", "vax"),
        ("--frobnicate",),
        ("--expect", "("),
        ("--send", "no text"),
        ("--guest", "/nonexistent"),
        ("--guest", LAB),
        ("--initrd", "/nonexistent"),
        ("--emu", "bochs", "--gdb"),
        ("--firmware", "bios", "--boot", "esp"),
    ):
        said = lab(*args, code=2)
        check(len(said.strip()) > 20, f"{args}: no sentence, only '{said}'")
    check(subprocess.run([LAB], capture_output=True, check=False).returncode == 2, "no verb: not 2")


def setup_failures_exit_3():
    empty = os.path.join(LOGS, "empty-build")
    os.makedirs(empty, exist_ok=True)
    said = lab("--build", empty, "--emu", "qemu", code=3)
    check("is missing" in said and "make" in said, f"no remedy in '{said}'")
    said = lab(*QUICK, "--cpu", "z80", code=3)
    check("emulator" in said, f"the emulator's refusal is not told: '{said}'")


def unmet_expectations_exit_1():
    said = lab(*QUICK[:-1], "20", "--expect", "Linux version", "--expect", "no such line", code=1)
    check("/no such line/" in said and "expectation 2 of 2" in said, f"not told what was awaited: '{said}'")
    check("last lines" in said and "guest#" in said, "the last lines of the console are not shown")
    said = lab(*QUICK, "--fail", "Linux version", "--expect", "no such line", code=1)
    check("showed /Linux version/" in said, f"not told what ended it: '{said}'")


def native_boot_talks():
    lab(*QUICK, "--cores", "2", "--send", r"guest# =nproc\n", "--expect", "^2\n",
        "--send", r"guest# =poweroff -f\n", "--expect", "Power down")  # fmt: skip


def interrupted(number):
    process = start(*QUICK, "--expect", "no such line", logs="interrupted")
    deadline = time.monotonic() + 20
    while not leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    check(leftovers(), "the emulator did not start")
    process.send_signal(number)
    finish(process, -number if number == signal.SIGKILL else 130)
    deadline = time.monotonic() + 5
    while leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    check(not leftovers(), f"after {number!r} there are left: {leftovers()}")


def killed_emulator_is_noticed(logs, ready, code, sentence):
    """`ready` tells when to kill it."""
    process = start(*QUICK, "--expect", "no such line", logs=logs)
    deadline = time.monotonic() + 20
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.1)
    for line in leftovers():
        os.kill(int(line.split()[0]), signal.SIGKILL)
    said = finish(process, code)
    check(sentence in said, f"not told that the emulator died: '{said}'")


def console_talks():
    path = os.path.join(LOGS, "killed-later", "console.log")
    return os.path.isfile(path) and os.path.getsize(path) > 0


def stale_folder_is_removed():
    """The killed lab's folder goes with the next start, once it is a minute old."""
    folders = glob.glob(os.path.join(TEMP, "amalgam-lab-*"))
    check(len(folders) == 1, f"expected one folder, that of the killed lab: {folders}")
    os.utime(folders[0], (0, 0))
    native_boot_talks()
    check(not glob.glob(os.path.join(TEMP, "amalgam-lab-*")), "working folders are left behind")


TEMP = os.path.join(LOGS, "tmp")
shutil.rmtree(TEMP, ignore_errors=True)
os.makedirs(TEMP)
os.environ["TMPDIR"] = TEMP

usage_errors_exit_2()
setup_failures_exit_3()
unmet_expectations_exit_1()
for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
    interrupted(ending)
stale_folder_is_removed()
killed_emulator_is_noticed("killed-at-once", leftovers, 3, "ended at once: it died of SIGKILL")
killed_emulator_is_noticed("killed-later", console_talks, 1, "the emulator ended with code -9")
print(f"  {NAME}: all held")
