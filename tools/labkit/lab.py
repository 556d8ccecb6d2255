"""One run: sets the cluster up, carries the conversation, says how it ended."""

import contextlib
import os
import re
import selectors
import signal
import sys
import time

from labkit import EXIT_INTERRUPTED, EXIT_MET, EXIT_SETUP, EXIT_UNMET, SetupError
from labkit import images, netboot, network, status, terminal
from labkit.bochs import Bochs
from labkit.qemu import Qemu
from labkit.script import Script
from labkit.stream import LineLog, Pipe, Stream

# The hypervisor's last line. A short while after it on every node nothing more can come.
HALTED = re.compile(r"boot: node halted")
GRACE = 1.0


class Interrupted(Exception):
    pass


class Node:
    def __init__(self, index, streams, process):
        self.name = f"node{index}"
        self.streams = streams
        self.process = process
        self.ended = None  # when, and why in words
        self.why = ""

    def end(self, why):
        if self.ended is None:
            self.ended, self.why = time.monotonic(), why


class Lab:
    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.start = time.monotonic()
        self.script = Script(options)
        self.selector = selectors.DefaultSelector()
        self.nodes = []
        self.terminal = terminal.Terminal() if options.interactive else None
        self.left = False
        self.stack = contextlib.ExitStack()

    def run(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.interrupt)
        try:
            with self.stack:
                self.set_up()
                self.converse()
                return self.verdict()
        except SetupError as error:
            print(f"lab: {error}", file=sys.stderr)
            return EXIT_SETUP
        except Interrupted:
            print("lab: interrupted; everything it started is gone", file=sys.stderr)
            return EXIT_INTERRUPTED

    @staticmethod
    def interrupt(_number, _frame):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    # Set-up

    def set_up(self):
        options = self.options
        guest = images.guest(options)
        emulator = Bochs(options, self.work) if options.emu == "bochs" else Qemu(options, self.work)
        os.makedirs(options.logdir, exist_ok=True)
        for name in os.listdir(options.logdir):
            if re.fullmatch(r"(node\d+|console|dnsmasq|switch|vblade|http)\."
                            r"(log|(emulator|bochs|qemu)\.log|gdb|status)", name):
                os.unlink(os.path.join(options.logdir, name))
        disk = self.boot_medium(guest)
        echo = self.echo_log if options.interactive else (print if options.verbose else None)
        console = self.log_file("console.log", None if options.interactive else echo)
        for index in range(options.nodes):
            self.start_node(index, emulator, disk, guest, console, echo)
        if options.status:
            status.watch(options.nodes, options.logdir)
        if options.interactive:
            self.say("Ctrl-A X leaves, Ctrl-A H helps; the logs are in")
            self.sit_down()

    def sit_down(self):
        try:
            self.selector.register(self.terminal.fd, selectors.EVENT_READ, "person")
            self.terminal.raw()
        except PermissionError:
            pass  # standard input is a file or /dev/null: nobody is going to type

    def boot_medium(self, guest):
        """Makes the network and what the nodes boot from; the disk of --boot esp, or None."""
        options = self.options
        network.loopback()
        if options.native and options.emu != "bochs":
            return None
        switched = bool(options.faults or options.capture)
        network.build(options.nodes, switched)
        if switched:
            self.start_switch()
        if options.aoe:
            self.start_helper("vblade", network.aoe_target(options.aoe))
        if options.boot == "esp":
            return netboot.disk(options, guest, self.work)
        served = netboot.folder(options, guest, self.work)
        dnsmasq = network.Dnsmasq(self.work, served, options.nodes, options.boot)
        self.stack.callback(stop, dnsmasq.process)
        pipe = Pipe("dnsmasq", dnsmasq.output, self.log_file("dnsmasq.log", None))
        self.selector.register(dnsmasq.output, selectors.EVENT_READ, pipe)
        if options.http:
            self.start_helper("http", network.http_server(served))
        return None

    def start_helper(self, name, process):
        """A server beside dnsmasq; what it says is kept."""
        self.stack.callback(stop, process)
        pipe = Pipe(name, process.stdout, self.log_file(f"{name}.log", None))
        self.selector.register(process.stdout, selectors.EVENT_READ, pipe)

    def start_switch(self):
        switch = network.switch(self.options)
        self.stack.callback(network.stop_switch, switch)
        pipe = Pipe("switch", switch.stdout, self.log_file("switch.log", None))
        self.selector.register(switch.stdout, selectors.EVENT_READ, pipe)

    def log_file(self, name, echo):
        log = LineLog(os.path.join(self.options.logdir, name), self.start, echo)
        self.stack.callback(log.close)
        return log

    def start_node(self, index, emulator, disk, guest, console, echo):
        name = f"node{index}"
        log = Stream(name, "log", self.log_file(f"{name}.log", echo))
        talk = Stream(name, "console", console)
        # Natively the guest has COM1 to itself.
        streams = [talk, log] if self.options.native else [log, talk]
        for stream in streams:
            self.selector.register(stream.listener, selectors.EVENT_READ, stream)
            self.stack.callback(stream.close)
        ports = [stream.port for stream in streams]
        own_disk = private_copy(disk, self.work, name)
        process = emulator.start(index, ports, own_disk, guest)
        self.stack.callback(stop, process)
        self.nodes.append(Node(index, streams, process))

    # Conversation

    def converse(self):
        deadline = self.start + self.options.timeout
        while not self.over(deadline):
            for key, _ in self.selector.select(0.25):
                if key.data == "person":
                    self.person()
                elif isinstance(key.data, Pipe):
                    self.helper(key)
                elif key.data.socket is None:
                    self.connect(key.data)
                else:
                    self.hear(key.data)
            for node in self.nodes:
                for stream in node.streams:
                    stream.flush_prompt()
                if node.process.poll() is not None and not node.ended:
                    self.check_start(node)
                    node.end(f"the emulator ended with code {node.process.returncode}")

    def check_start(self, node):
        """An emulator that fails before its machine says a word did not like what it was given, or is broken."""
        code = node.process.returncode
        if code == 0 or any(stream.seen for stream in node.streams):
            return
        path = os.path.join(self.options.logdir, f"{node.name}.emulator.log")
        with open(path, encoding="utf-8", errors="replace") as file:
            said = file.read().strip().splitlines()[-1:]
        reason = said[0] if said else "it gave no reason"
        if code < 0:
            reason = f"it died of {signal.Signals(-code).name}"
        raise SetupError(f"The emulator of {node.name} ended at once: {reason} ({path}).")

    def over(self, deadline):
        now = time.monotonic()
        ended = all(node.ended and now - node.ended > GRACE for node in self.nodes)
        return self.left or self.script.met() or self.script.failure or ended or now > deadline

    def helper(self, key):
        """A program that all nodes need must not end before they do."""
        if not key.data.read():
            raise SetupError(f"{key.data.name} ended during the run: see {key.data.log.name}.")

    def connect(self, stream):
        self.selector.unregister(stream.listener)
        stream.accept()
        self.selector.register(stream.socket, selectors.EVENT_READ, stream)

    def hear(self, stream):
        raw, text = stream.read()
        if raw == b"":
            self.selector.unregister(stream.socket)
            return
        if raw and self.terminal and stream.kind == "console" and stream is self.console():
            terminal.show(raw)
        for typed in self.script.feed(stream, text):
            stream.send(typed.encode())
        while self.script.doomed:
            self.cut_power(self.nodes[self.script.doomed.pop()])
        if stream.kind == "log" and HALTED.search("\n".join([*stream.last[-3:], stream.line])):
            self.nodes[int(stream.node[4:])].end("the hypervisor halted the node")
            self.script.halted(stream.node)

    def cut_power(self, node):
        node.process.kill()
        node.process.wait()
        node.end("its power was cut")

    def console(self):
        """The console the person sees: that of the first node on which the guest has spoken."""
        talks = [s for node in self.nodes for s in node.streams if s.kind == "console"]
        return next((stream for stream in talks if stream.seen), talks[0])

    def person(self):
        typed, commands = self.terminal.read()
        if typed is None:
            self.selector.unregister(self.terminal.fd)
            return
        if typed:
            self.console().send(typed)
        for command in commands:
            if command == "x":
                self.left = True
            elif command == "l":
                self.show_last(20)
            else:
                print(terminal.HELP, flush=True)

    def echo_log(self, line):
        """Before the guest speaks, the person sees what the hypervisor does."""
        if self.terminal and not self.console().seen:
            print(line, flush=True)

    # Verdict

    def verdict(self):
        took = time.monotonic() - self.start
        self.drain()
        unmet = self.script.unmet_sentences()
        if self.left:
            print("\nlab: left; the emulated machines are off")
            return EXIT_MET
        if self.script.failure or unmet:
            for sentence in [self.script.failure, *unmet]:
                if sentence:
                    print(f"lab: after {took:.0f} s: {sentence}")
            self.show_last(15)
            return EXIT_UNMET
        for node in self.nodes:
            if node.why and not self.script.asked:
                print(f"lab: {node.name}: {node.why}")
        self.say(f"{'every expectation was met' if self.script.asked else 'ended'} after {took:.1f} s")
        return EXIT_MET

    def drain(self):
        """What is already under way still belongs into the logs."""
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            for key, _ in self.selector.select(0.1):
                if isinstance(key.data, Stream) and key.data.socket:
                    self.hear(key.data)

    def show_last(self, count):
        for node in self.nodes:
            if node.why:
                print(f"lab: {node.name}: {node.why}")
            for stream in node.streams:
                if not stream.last and not stream.line:
                    print(f"-- {node.name} {stream.kind}: nothing came")
                    continue
                print(f"-- {node.name} {stream.kind}, last lines:")
                for line in (stream.last + [stream.line] if stream.line else stream.last)[-count:]:
                    print(f"   {line.rstrip()}")
        self.say("the whole story")

    def say(self, text):
        print(f"lab: {text}: {os.path.relpath(self.options.logdir)}", flush=True)


def private_copy(disk, work, name):
    if not disk:
        return None
    path = os.path.join(work, f"{name}.img")
    if name == "node0":
        os.link(disk, path)
    else:
        netboot.copy(disk, work, f"{name}.img")
    return path


def stop(process):
    """The machines hold nothing worth saving."""
    process.kill()
    process.wait()
