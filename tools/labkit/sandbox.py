"""
A private world for one lab: own network, own process ids. Whatever happens to the lab, the kernel
ends everything that ran in it and takes the network down: process 1 of the world dies with its
parent, and with process 1 die all others.
"""

import ctypes
import fcntl
import glob
import os
import shutil
import signal
import sys
import tempfile
import termios
import time
import traceback

from labkit import EXIT_SETUP, SetupError

CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PREFIX = "amalgam-lab-"

libc = ctypes.CDLL(None, use_errno=True)

REMEDY = "Run it as root (sudo), or allow unprivileged user namespaces on this machine."


def run(inside, keep):
    """Calls inside(folder) in the private world; returns its exit code. `folder` is gone afterwards."""
    remove_stale()
    folder = tempfile.mkdtemp(prefix=PREFIX)
    in_use = os.open(folder, os.O_RDONLY)
    fcntl.flock(in_use, fcntl.LOCK_EX)
    terminal = save_terminal()
    alive, closing = os.pipe()
    try:
        enter()
        child = os.fork()
        if child == 0:
            os.close(closing)
            be_first(alive, inside, folder)
        os.close(alive)
        return wait(child)
    finally:
        restore_terminal(terminal)
        if keep:
            print(f"lab: the working folder is kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(in_use)


def remove_stale():
    """Folders of labs that were killed: nobody holds their lock. Young ones may not have it yet."""
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
        try:
            if time.time() - os.stat(folder).st_mtime < 60:
                continue
            probe = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(probe)


def enter():
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNET | CLONE_NEWPID
    if uid != 0:
        flags |= CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise SetupError(f"No private network namespace could be made: {reason}. {REMEDY}")
    if uid != 0:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"0 {uid} 1")
        write("/proc/self/gid_map", f"0 {gid} 1")


def be_first(alive, inside, folder):
    """Process 1 of the private world; never returns."""
    code = EXIT_SETUP
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before that call took hold: then the pipe is at its end.
    os.set_blocking(alive, False)
    try:
        parent_is_gone = os.read(alive, 1) == b""
    except BlockingIOError:
        parent_is_gone = False
    try:
        if not parent_is_gone:
            code = inside(folder)
    except OSError as error:
        print(f"lab: the system refused something the lab needs: {error}", file=sys.stderr)
    except BaseException:  # pylint: disable=broad-exception-caught # our own mistake; nothing above here would show it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # pylint: disable=protected-access # of a child after fork()


def wait(child):
    """Passes on what asks us to stop, and waits for the private world to end."""

    def forward(number, _frame):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else EXIT_SETUP


def save_terminal():
    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, ValueError, OSError):
        return None


def restore_terminal(saved):
    if saved is None:
        return
    # A background process that sets the terminal is stopped unless it ignores this signal.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, saved)
    signal.signal(signal.SIGTTOU, before)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
