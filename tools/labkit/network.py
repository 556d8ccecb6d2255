"""The lab's network: a bridge with one tap for each node, and dnsmasq for DHCP and TFTP."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

from labkit import SetupError

SERVER = "10.77.0.1"
PREFIX6 = "fd41:4d47::"
BRIDGE = "br0"
UPLINK = "up0"
AOE_SHELF, AOE_SLOT = 1, 2
# linux/sockios.h, linux/ethtool.h
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


def mac_of(node):
    """Locally administered; the last two bytes number the node."""
    return f"02:41:4d:47:{node >> 8:02x}:{node & 255:02x}"


def ip_of(node):
    return f"10.77.0.{10 + node}"


def tool(*command):
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise SetupError(f"'{command[0]}' is missing: `make packages` installs it.") from None
    if done.returncode:
        raise SetupError(f"'{' '.join(command)}' failed: {done.stderr.strip() or done.stdout.strip()}.")


def ipv6_at_once():
    """No check for duplicate addresses: it would keep the router from answering for a second."""
    for scope in ("all", "default"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad", "w", encoding="ascii") as file:
                file.write("0")
        except OSError:
            pass  # no IPv6 on this machine: iPXE only waits longer


def loopback():
    """Over which the emulators' serial ports reach the lab."""
    tool("ip", "link", "set", "lo", "up")


def checksums_in_software(interface):
    """A virtual cable leaves them to a card that is not there, and firmware drops such packets."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def build(nodes, switched=False):
    """
    Makes bridge and taps in the private namespace that we are in; they go away with it. With `switched`
    no bridge but a cable: the user-space switch joins its end and the taps.
    """
    ipv6_at_once()
    if switched:
        tool("ip", "link", "add", BRIDGE, "type", "veth", "peer", "name", UPLINK)
        checksums_in_software(BRIDGE)
        tool("ip", "link", "set", UPLINK, "up")
    else:
        tool("ip", "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
    tool("ip", "address", "add", f"{SERVER}/24", "dev", BRIDGE)
    tool("ip", "link", "set", BRIDGE, "up")
    if os.path.exists("/proc/net/if_inet6"):
        tool("ip", "address", "add", f"{PREFIX6}1/64", "dev", BRIDGE, "nodad")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise SetupError(
            "This user may not open /dev/net/tun, which the nodes' network cards need: run it as"
            " root (sudo)."
        )
    for node in range(nodes):
        tool("ip", "tuntap", "add", f"tap{node}", "mode", "tap")
        tool("ip", "link", "set", f"tap{node}", *([] if switched else ["master", BRIDGE]), "up")


def switch(options):
    """The user-space switch with its faults and its capture; see tools/switch/switch.c."""
    command = [os.path.join(options.build, "net", "switch"), "--seed", str(options.faults_seed)]
    if options.faults:
        command += ["--faults", options.faults]
    if options.capture:
        command += ["--pcap", options.capture]
    command += [*(f"tap{node}" for node in range(options.nodes)), UPLINK]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except FileNotFoundError:
        raise SetupError(f"'{command[0]}' is missing: `make wire-tools` builds it.") from None
    if not process.stdout.readline().startswith(b"switch: "):
        said = process.communicate()[0].decode("utf-8", "replace").strip()
        raise SetupError(f"the switch did not start: {said or 'it gave no reason'}.")
    return process


def aoe_target(image):
    """A vblade, which writes to the image; its output says what it serves."""
    command = ["vblade", str(AOE_SHELF), str(AOE_SLOT), BRIDGE, image]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except FileNotFoundError:
        raise SetupError("'vblade' is missing: `make packages` installs it.") from None


def http_server(folder):
    command = [sys.executable, "-u", "-m", "http.server", "80", "--bind", SERVER, "--directory", folder]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def stop_switch(process):
    """It closes its capture and says what it did to how many frames."""
    process.terminate()
    print("lab:", process.communicate()[0].decode("utf-8", "replace").strip())


class Dnsmasq:
    """One server for the whole cluster; its log comes out of `output`."""

    def __init__(self, folder, netboot, nodes, boot):
        config = os.path.join(folder, "dnsmasq.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write("\n".join(self.config(folder, netboot, nodes, boot)) + "\n")
        command = ["dnsmasq", "--keep-in-foreground", f"--conf-file={config}"]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except FileNotFoundError:
            raise SetupError("'dnsmasq' is missing: `make packages` installs it.") from None
        self.output = self.process.stdout
        self.check(folder)

    @staticmethod
    def config(folder, netboot, nodes, boot):
        yield "port=0"
        yield f"interface={BRIDGE}"
        yield "bind-interfaces"
        # In a user namespace there is no other user to become.
        yield "user=root"
        yield "group=root"
        yield "dhcp-authoritative"
        yield "no-ping"
        yield "dhcp-range=10.77.0.100,10.77.0.250,255.255.255.0,12h"
        yield f"dhcp-leasefile={folder}/leases"
        yield f"pid-file={folder}/dnsmasq.pid"
        for node in range(nodes):
            yield f"dhcp-host={mac_of(node)},{ip_of(node)},node{node}"
        # iPXE says so with option 175; UEFI firmware by its architecture (RFC 4578 2.1).
        yield "dhcp-match=set:ipxe,175"
        yield "dhcp-match=set:uefi,option:client-arch,7"
        yield "dhcp-match=set:uefi,option:client-arch,9"
        first = "ipxe.efi" if boot == "ipxe" else "amalgam.efi"
        yield "dhcp-boot=tag:ipxe,boot.ipxe"
        yield f"dhcp-boot=tag:!ipxe,tag:uefi,{first}"
        yield "dhcp-boot=tag:!ipxe,tag:!uefi,undionly.kpxe"
        # Option 176 of iPXE's own: no other server will name a boot file, so it does not wait for one.
        yield "dhcp-option=tag:ipxe,encap:175,176,1b"
        # iPXE would wait 10 s and more for an IPv6 router before it goes on with IPv4.
        yield "enable-ra"
        yield f"dhcp-range={PREFIX6},ra-only"
        yield "enable-tftp"
        yield f"tftp-root={netboot}"
        yield "log-dhcp"
        yield "log-facility=-"

    def check(self, folder):
        """Waits until it serves, which its pid file tells."""
        deadline = time.monotonic() + 10
        while not os.path.exists(os.path.join(folder, "dnsmasq.pid")):
            if self.process.poll() is not None:
                said = self.output.read().decode("utf-8", "replace").strip()
                raise SetupError(f"dnsmasq did not start: {said or 'it gave no reason'}.")
            if time.monotonic() > deadline:
                raise SetupError("dnsmasq did not start within 10 s.")
            time.sleep(0.02)
