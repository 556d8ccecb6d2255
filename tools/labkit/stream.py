"""What the nodes' serial ports say: sockets the emulators connect to, and the log files."""

import os
import re
import socket
import time

# A program that paints a screen begins a new line by moving there.
PLACE = re.compile(r"\x1b\[[0-9;]*[Hf]")
# Cursor movement and colours: firmware's text console sends them (ECMA-48, 5.4).
ANSI = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][0-9A-B]|\x1b[78=>cDEHM]")
ANSI_PART = re.compile(r"\x1b(\[[0-9;?=]*|[()])?$")

PROMPT_SECONDS = 5


class LineLog:
    """A file in which each line has its time and node."""

    def __init__(self, path, start, echo=None):
        self.file = open(path, "a", encoding="utf-8", buffering=1)
        self.name = path
        self.start = start
        self.echo = echo

    def write(self, node, when, text):
        line = f"[{when - self.start:9.3f} {node}] {text}"
        self.file.write(line + "\n")
        if self.echo:
            self.echo(line)

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()


class Stream:
    """One serial port of one node. The lab listens; the emulator connects."""

    def __init__(self, node, kind, log):
        self.node = node
        self.kind = kind  # "log" or "console"
        self.log = log
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.socket = None
        self.line = ""
        self.line_began = None
        self.escape = ""
        self.last = []  # for the report of a failure
        self.seen = False

    def accept(self):
        self.socket, _ = self.listener.accept()
        self.listener.close()
        self.socket.setblocking(False)

    def read(self):
        """(raw bytes, text without terminal control) that came; (b"", "") at the end."""
        try:
            raw = self.socket.recv(65536)
        except BlockingIOError:
            return None, ""
        except OSError:
            raw = b""
        if not raw:
            return b"", ""
        self.seen = True
        text = self.plain(raw)
        self.to_lines(text)
        return raw, text.replace("\v", "\n")

    def plain(self, raw):
        text = self.escape + raw.decode("utf-8", "replace").replace("\r", "").replace("\0", "")
        text = PLACE.sub("\v", text)
        cut = ANSI_PART.search(text)
        self.escape = cut.group(0) if cut else ""
        return ANSI.sub("", text[: cut.start()] if cut else text)

    def to_lines(self, text):
        for piece in re.findall(r"[^\n\v]*[\n\v]|[^\n\v]+", text):
            if piece == "\v" and not self.line:
                continue
            if self.line_began is None:
                self.line_began = time.monotonic()
            self.line += piece
            if piece[-1] in "\n\v":
                self.flush()

    def flush(self):
        if self.line_began is None:
            return
        text = self.line.rstrip("\n\v")
        self.log.write(self.node, self.line_began, text)
        if text.strip():
            self.last = self.last[-19:] + [text]
        self.line, self.line_began = "", None

    def flush_prompt(self):
        """A line that nothing ends for long, a prompt, is logged as it is."""
        if self.line_began is not None and time.monotonic() - self.line_began > PROMPT_SECONDS:
            self.flush()

    def send(self, data):
        """Types at the console; a person is slower than the socket's buffer."""
        if self.socket:
            self.socket.setblocking(True)
            self.socket.sendall(data)
            self.socket.setblocking(False)

    def close(self):
        self.flush()
        self.listener.close()
        if self.socket:
            self.socket.close()


class Pipe:
    """Output of a program of ours, to its log with the time of each line."""

    def __init__(self, name, pipe, log):
        self.name = name
        self.pipe = pipe
        self.log = log
        self.rest = b""

    def read(self):
        """False at the end."""
        data = os.read(self.pipe.fileno(), 65536)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.log.write(self.name, time.monotonic(), line.decode("utf-8", "replace"))
        return bool(data)
