"""Reads the nodes' status consoles while they run."""

import os
import socket
import threading
import time

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


def keep(path, said):
    with open(f"{path}.part", "wb") as file:
        file.write(said)
    os.replace(f"{path}.part", path)


def watch(nodes, logdir):
    """Keeps the last whole text of each node in LOGDIR/nodeN.status, from a thread that ends with the program."""

    def run():
        while True:
            time.sleep(EVERY)
            for node in range(nodes):
                said = read(node)
                if said:
                    keep(os.path.join(logdir, f"node{node}.status"), said)

    threading.Thread(target=run, daemon=True).start()
