"""Reads the nodes' status consoles while they run."""

import os
import socket
import threading

from labkit import network

PORT = 8023
EVERY = 5.0  # seconds
PATIENCE = 10.0


def read(node):
    """What the node says of itself; empty when it does not answer, as before it has an address."""
    said = bytearray()
    try:
        with socket.create_connection((network.ip_of(node), PORT), PATIENCE) as peer:
            while part := peer.recv(1 << 16):
                said += part
    except OSError:
        return b""
    return bytes(said)


class Watcher:
    """Keeps the last whole text of each node in LOGDIR/nodeN.status, from a thread of its own."""

    def __init__(self, nodes, logdir):
        self.nodes = nodes
        self.logdir = logdir
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending.wait(EVERY):
            for node in range(self.nodes):
                self.keep(node, read(node))

    def keep(self, node, said):
        path = os.path.join(self.logdir, f"node{node}.status")
        if said:
            with open(f"{path}.part", "wb") as file:
                file.write(said)
            os.replace(f"{path}.part", path)

    def stop(self):
        self.ending.set()
        self.thread.join(PATIENCE)
