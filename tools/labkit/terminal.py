"""The person's terminal: raw, so that every key reaches the guest; Ctrl-A is for us."""

import os
import sys
import termios
import tty

CTRL_A = 0x01

HELP = """
Ctrl-A X  leave: the emulated machines are switched off
Ctrl-A L  the hypervisor log's last lines
Ctrl-A A  sends Ctrl-A to the guest
Ctrl-A H  this help
"""


class Terminal:
    def __init__(self):
        self.fd = sys.stdin.fileno()
        self.prefix = False
        self.is_tty = os.isatty(self.fd)

    def raw(self):
        if self.is_tty:
            tty.setraw(self.fd, termios.TCSADRAIN)
            # Output is still ours too: keep "\n" starting a new line.
            mode = termios.tcgetattr(self.fd)
            mode[1] |= termios.OPOST | termios.ONLCR
            termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)

    def read(self):
        """(bytes for the guest, commands for us); None for the bytes at the end of input."""
        data = os.read(self.fd, 4096)
        if not data:
            return None, ""
        typed, commands = bytearray(), ""
        for byte in data:
            if self.prefix:
                self.prefix = False
                if byte in (CTRL_A, ord("a"), ord("A")):
                    typed.append(CTRL_A)
                else:
                    commands += chr(byte).lower()
            elif byte == CTRL_A:
                self.prefix = True
            else:
                typed.append(byte)
        return bytes(typed), commands


def show(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
