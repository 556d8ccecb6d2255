#!/usr/bin/env python3
"""Writes the seed inputs of the guest's fuzzers to tests/fuzz/corpus/: small, valid images and port
programs that random changes start from."""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def patch(image, *fields):
    """Each field: offset, struct format, value."""
    for offset, fmt, value in fields:
        struct.pack_into("<" + fmt, image, offset, value)
    return bytes(image)


def bzimage(version=0x20C, relocatable=0, code=40):
    image = bytearray(2 * 512) + b"\x90" * code
    image[0x202:0x206] = b"HdrS"
    return patch(
        image, (0x1F1, "B", 1), (0x1F4, "I", (code + 15) // 16), (0x1FE, "H", 0xAA55),
        (0x200, "H", 0x66EB), (0x206, "H", version), (0x211, "B", 1), (0x214, "I", 0x100000),
        (0x22C, "I", 0x37FFFFFF), (0x230, "I", 0x1000), (0x234, "B", relocatable),
        (0x238, "I", 255), (0x258, "Q", 0x100000), (0x260, "I", 0x20000))


def multiboot_header(flags, *rest):
    magic = 0x1BADB002
    return struct.pack("<3I", magic, flags, -(magic + flags) & 0xFFFFFFFF) + \
        struct.pack(f"<{len(rest)}I", *rest)


def multiboot_elf(segments=1):
    head = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, 0x100004, 52, 0, 0, 52,
                       32, segments, 0, 0, 0)
    phdrs = b"".join(struct.pack("<8I", 1, 0xC0, 0xC0100000 + i * 4096, 0x100000 + i * 4096, 16,
                                 32, 5, 4096) for i in range(segments))
    image = head + phdrs
    image += bytes(-len(image) % 4) + multiboot_header(3)
    return image + bytes(0xC0 - len(image)) + b"\xf4" * 16


def multiboot_flat():
    return multiboot_header(0x10003, 0x100000, 0x100000, 0, 0x101000, 0x100020) + b"\xf4" * 32


def port_program(*steps):
    """Each step: what, low and high byte of the port, value, time, as in fuzz_pc.c."""
    return b"".join(bytes(step) for step in steps)


def driver_program(device, *steps):
    """Each step: up to eight bytes, as in fuzz_virtio.c."""
    return bytes([device]) + b"".join(bytes(step) + bytes(8 - len(step)) for step in steps)


def driver_desc(index, flags, following, length, gpa, what=0):
    return (what, index, flags, following, length & 255, length >> 8, gpa >> 5 & 255, gpa >> 13)


def wire_program(*steps):
    """Each step: what, then its bytes, as in fuzz_aoe.c."""
    return b"".join(struct.pack("<BH", what, len(data)) + data for what, data in steps)


# An AoE frame whose header the fuzzer fills in: configuration, identification, an ATA answer.
AOE_CONFIG = bytes(24) + struct.pack(">HHBBH", 16, 1, 2, 0x10, 0) + bytes(28)
AOE_ID = bytes(36 + 120) + struct.pack("<I", 1000) + bytes(42) + struct.pack("<H", 0x1400) + bytes(32) \
    + struct.pack("<Q", 1000) + bytes(304)
AOE_FOUND = ((5, AOE_CONFIG), (5, AOE_ID))


def segment(connection, flags, window=8192, length=0, shift=0, far=False):
    """One TCP segment, as in fuzz_console.c."""
    return struct.pack("<BHBbB", connection << 4 | (7 if far else 6 if shift else 5), window, flags, shift, length // 2)


def connect(connection, window=8192):
    return struct.pack("<BH", connection << 4, window)


def read(connection, window=8192, turns=100):
    return struct.pack("<BHB", connection << 4 | 2, window, turns)


def wait(ms):
    return struct.pack("<BH", 3, ms)


FIN, SYN, RST, ACK = 1, 2, 4, 16
CONSOLE = {
    "read": connect(0) + read(0) + segment(0, ACK | FIN),
    "slow": connect(1, 10) + (segment(1, ACK, 10) + wait(400)) * 40,
    "many": b"".join(connect(i, 100) for i in range(8)) + wait(11000) + connect(9) + read(9),
    "reset": (connect(2, 10) + wait(1000) + segment(2, RST)) * 6,
    "talks": connect(3) + segment(3, ACK, 8192, 500) * 20 + segment(3, ACK | FIN) + read(3),
    "beside": connect(4) + segment(4, ACK, 8192, 100, 5) + segment(4, ACK | SYN, 0, 0, -3, True) + read(4),
    "half": segment(5, SYN) * 9 + wait(30000),
}


def station_program(*steps):
    """Each step: operation and its two bytes, as in fuzz_station.c."""
    return b"".join(bytes(step) + bytes(3 - len(step)) for step in steps)


TALK = ((10, 200), (7, 0, 9), (7, 2, 200), (7, 31, 255), (10, 20))
STATION = {
    "talk": station_program(*TALK),
    "doubled": station_program((10, 200), (7, 0, 9), (1,), (2,), (3, 0), (3, 0), (4, 0), (10, 9)),
    "late": station_program((10, 200), (7, 30, 255), (7, 28, 255), (1,), (2,), (4, 3), (4, 1), (4, 0), (10, 99)),
    "changed": station_program((10, 200), (7, 1, 60), (1,), (2,), (0x85, 99, 15), (4, 0), (0x85, 2, 40), (4, 0),
                               (10, 50)),
    "restart": station_program(*TALK, (9, 1, 0), *TALK),
    "stop": station_program(*TALK, (9, 2), (10, 20)),
    "silent": station_program((10, 200), (0, 255, 24), (8, 0), (8, 1), (10, 9)),
}


def tcp(flags, ack=0, follow=True, scale=False, payload=b""):
    """A segment for fuzz_ip.c, on the connection that was spoken of last: `ack` bytes on (146 times as many)."""
    how = 8 | (4 if follow else 0) | (0x10 if scale else 0)
    return 7, bytes([0, how]) + struct.pack(">HHIB3xBBHHH", 4321, 0, 1, ack, 0x50, flags, 8192, 0, 0) + payload


def dhcp(kind, *options):
    """An answer to what was asked by DHCP, which gives 192.0.2.99."""
    head = bytearray(8 + 240)
    head[8 + 16:8 + 20] = bytes([192, 0, 2, 99])
    return 6, bytes([0, 2]) + bytes(head) + bytes([53, 1, kind, 54, 4, 192, 0, 2, 1]) + b"".join(options) + b"\xff"


TCP_OPEN = (tcp(2, follow=False), tcp(0x10, 1))
DHCP_LEASE = (b"\x01\x04\xff\xff\xff\x00", b"\x03\x04\xc0\x00\x02\x01", b"\x33\x04\x00\x00\x0e\x10")


def emulated(code, exit_kind=0, mode=3, dpl=0, port_size=0, tss_limit=0x267, races=(0, 0, 0, 0)):
    """fuzz_emulate.c's struct state: pointers to device and data in the registers, all pages present."""
    gprs = [4, 4, 15, 1, 4, 5, 4, 1] + [1, 4] * 4
    head = bytes([mode, exit_kind, port_size] + [0x67] * 6 + [1, 0, dpl << 3])
    return head + struct.pack("<4H", 0, 0x13 | 7 << 8, 0xFFFF, tss_limit) + \
        b"".join(bytes([base, 16]) for base in gprs) + bytes([0, 200]) + \
        struct.pack("<BBHH", *races) + code.ljust(24, b"\x90")


def emulator_seeds():
    """Instructions on memory in every mode, and those of the other kinds of exit."""
    memory = {"store": b"\x89\x03", "load": b"\x8b\x03", "movs": b"\xf3\xa5", "cmps": b"\xf3\xa6",
              "cmpxchg": b"\xf0\x0f\xb1\x0b", "push": b"\xff\x33", "pop": b"\x8f\x03",
              "bts": b"\x0f\xab\x0b", "cmov": b"\x0f\x44\x03", "imul": b"\xf7\x2b",
              "movsd": b"\xf2\x0f\x10\x03", "shift": b"\xd3\x23", "sreg": b"\x8c\x1b"}
    made = {f"{what}-{mode}": emulated(code, mode=mode, dpl=mode % 2 * 3)
            for mode in range(7) for what, code in list(memory.items())[mode % 2::2]}
    for i, code in enumerate((b"\x6e", b"\x66\x6f", b"\x6f", b"", b"\xf3\x6c", b"\x66\x6d", b"\x6d")):
        if code:
            for mode in (1, 3, 4, 6):
                made[f"port-{mode}-{i}"] = emulated(code, 3, mode, 3, i)
    for what, code in {"mov": b"\x0f\x22\xc0", "read": b"\x0f\x20\xe0", "clts": b"\x0f\x06",
                       "invlpg": b"\x0f\x01\x3b", "lmsw": b"\x0f\x01\x33",
                       "smsw": b"\x0f\x01\x23"}.items():
        made["control-" + what] = emulated(code, 4, 4, len(what) % 2 * 3)
    lengths = (b"\x0f\xa2", b"\xf3\x90", b"\xf4", b"\x0f\x32", b"\x0f\x01\xd1", b"\x0f\x01\xd9",
               b"\x0f\x09")
    for i, code in enumerate(lengths):
        made[f"length-{i}"] = emulated(code, 5 + i, i)
    made["race-code"] = emulated(b"\x89\x03", 0, 4, 3, races=(1, 0, 0xFFF - 200, 0xE7))
    made["race-walks"] = emulated(b"\x89\x03", 0, 6, 3, races=(0, 1, 0, 0))
    return made


# Device to read: flag 1 chains, flag 2 is for the device to write, 4 an indirect table.
SEEDS = {
    "emulate": emulator_seeds(),
    "aoe": {
        "read": wire_program(*AOE_FOUND, (0, bytes([0, 0, 3, 1])), (5, bytes(36 + 1024))),
        "write": wire_program(*AOE_FOUND, (0, bytes([1, 1, 3, 1])), (2, b""), (5, bytes(60))),
        "flush": wire_program(*AOE_FOUND, (0, bytes([2, 2])), (5, bytes(60)), (4, bytes(9))),
        "lost": wire_program(*AOE_FOUND, (0, bytes([0, 0, 9, 30])), *[(2, b"")] * 20, (5, AOE_CONFIG)),
        "refused": wire_program(*AOE_FOUND, (0, bytes([0, 0, 9, 30])), (5, bytes(14) + b"\4" + bytes(45))),
    },
    "ip": {
        "console": wire_program(*TCP_OPEN, *[tcp(0x10, 10, scale=True)] * 8, tcp(0x11, 10, scale=True), (0, b"\x0f")),
        "console-data": wire_program(*TCP_OPEN, tcp(0x18, 10, scale=True, payload=b"GET / HTTP/1.0\r\n\r\n"), tcp(4)),
        "console-slow": wire_program(*TCP_OPEN, *[(0, b"\x0a")] * 30),
        "many": wire_program(*[tcp(2, follow=False)] * 20),
        "dhcp": wire_program((0, b"\x0a"), dhcp(2, *DHCP_LEASE), (0, b"\x05"), dhcp(5, *DHCP_LEASE), (0, b"\x0f")),
        "ping": wire_program((4, bytes([0, 0, 8]) + bytes(39))),
        "arp": wire_program((0x38, bytes(12) + b"\x08\x06\0\1\x08\0\6\4\0\1" + bytes(20))),
        "udp": wire_program((5, bytes([0, 2]) + struct.pack(">HHHH", 68, 67, 0, 0) + bytes(20))),
    },
    "virtio": {
        "blk": driver_program(0, driver_desc(0, 1, 1, 16, 0x20000), driver_desc(1, 3, 2, 1024, 0x30000),
                              driver_desc(2, 2, 0, 1, 0x40000), (4, 0), (6,), (8, 0, 1), (14,)),
        "blk-write": driver_program(0xC0, (13, 0, 0, 1, 1), driver_desc(0, 1, 1, 16, 0x10000),
                                    driver_desc(1, 1, 2, 512, 0x30000), driver_desc(2, 2, 0, 1, 0x40000),
                                    (4, 0), (6,), (8, 0, 1), (14,)),
        "net": driver_program(1, driver_desc(0, 0, 0, 72, 0x20000, 128), (132, 0), (134,),
                              driver_desc(0, 2, 0, 1530, 0x20000), (4, 0), (8, 0, 0, 60), (8, 0, 1, 0)),
        "console": driver_program(2, driver_desc(0, 0, 0, 600, 0x20000, 128), (132, 0), (134,), (8, 0, 255, 1),
                                  driver_desc(0, 2, 0, 64, 0x20000), (4, 0), (8, 0, 0, 60)),
        "indirect": driver_program(0x40, driver_desc(0, 4, 0x40, 48, 0), driver_desc(0, 1, 1, 16, 0x20000, 3),
                                   driver_desc(1, 3, 2, 512, 0x30000, 3), driver_desc(2, 2, 0, 1, 0x40000, 3),
                                   (4, 0), (6,), (8, 0, 1)),
        "registers": driver_program(0, (10, 20, 0), (15, 3, 1), (10, 22, 1),
                                    (11, 0x10, 0, 0, 1, 0xD0), (12, 0, 0, 0, 99)),
    },
    "console": CONSOLE,
    "station": STATION,
    "bzimage": {"plain": bzimage(), "relocatable": bzimage(0x20F, 1), "old": bzimage(0x209)},
    "multiboot": {"elf": multiboot_elf(), "elf2": multiboot_elf(2), "flat": multiboot_flat()},
    "pc": {
        "pic": port_program((0, 0, 1, 0x11, 0), (0, 1, 1, 0x30, 0), (0, 1, 1, 4, 0),
                            (0, 1, 1, 1, 0), (0, 1, 1, 0, 0), (11, 0, 0, 0, 1)),
        "pit": port_program((0, 3, 2, 0x34, 0), (0, 0, 2, 0x10, 0), (0, 0, 2, 0x10, 1),
                            (15, 0, 0, 0, 0x95), (6, 0, 2, 0, 1), (0, 1, 3, 1, 1)),
        "rtc": port_program((0, 0, 4, 0x0B, 0), (0, 1, 4, 0x72, 1), (15, 0, 0, 0, 0x9E),
                            (0, 0, 4, 0x0C, 0), (6, 1, 4, 0, 1)),
        "uart": port_program((0, 4, 8, 0x0B, 0), (0, 2, 8, 0xC1, 0), (0, 1, 8, 0x0F, 0),
                             (10, 0, 0, 0, 1), (6, 2, 8, 0, 0), (6, 0, 8, 0, 0)),
        "pm": port_program((0, 2, 10, 1, 1), (0x26, 0, 11, 0, 0xA8), (0x10, 4, 10, 0x34, 0)),
        "pci": port_program((0x20, 0, 12, 0x80, 0), (0x26, 0, 13, 0, 0), (0x20, 4, 14, 1, 0),
                            (0x2C, 0, 0, 3, 0), (0x2D, 4, 0, 0, 0)),
    },
}


def node_message(sender, kind, body, page_at=0, form=0, page=b"", mend=True):
    """A record of fuzz_nodemsg.c: struct node_head, the body of its kind, a page's parcel."""
    record = struct.pack("<BBBBIQ", kind, page_at, form, 0, 0, 0) + body + page
    return bytes([12 if mend else 4, sender]) + struct.pack("<H", len(record)) + record


def dsm_message(kind, flags, requester, acks, gfn, version):
    """dsm/dsm_msg.h on the wire."""
    return struct.pack("<BBHHHIIQ", kind, flags, requester, acks, 0, gfn & 0xFFFFFFFF, gfn >> 32, version)


CONFIG, READY, STOPPED, DSM, IPI, UNHALT, DEST, DEST_OK, EOI, IO, IO_DONE = range(11)
HEAD, MEMBER = bytes([0x40]), bytes([0x41])  # a machine that runs: node 0, the head; node 1
SEEDS["nodemsg"] = {
    "life": HEAD + node_message(1, READY, b"\0") + node_message(2, STOPPED, bytes([2, 0]) + bytes(206)),
    "config": bytes([0x81]) + node_message(0, CONFIG, struct.pack("<QQ", 0x40000000, 1000000000)),
    "ipi": b"".join((
        HEAD, node_message(1, IPI, struct.pack("<HBBBBH", 1, 0, 0x41, 0, 0, 0)),
        node_message(2, UNHALT, struct.pack("<H", 1)), node_message(2, EOI, b"\x41"))),
    "dest": b"".join((
        HEAD, node_message(1, DEST, struct.pack("<QHHHH", 0x1234, 2, 0, 0, 0)), bytes([0, 0, 2, 0]),
        node_message(1, DEST_OK, struct.pack("<QHHHH", 0, 0, 0, 0, 0)))),
    "io": HEAD + node_message(1, IO, struct.pack("<QQHBB4x", 0x60, 0, 2, 1, 0)) + bytes([0, 0, 4, 0]),
    "io-done": MEMBER + bytes([0, 0, 3, 0]) + node_message(0, IO_DONE, struct.pack("<QQHBB4x", 0x60, 7, 2, 1, 0)),
    "dsm": b"".join((
        MEMBER, bytes([0, 0, 0x80, 3]),
        node_message(0, DSM, dsm_message(7, 2, 1, 0, 3, 1), 24, 0, bytes(range(256)) * 16),
        node_message(0, DSM, dsm_message(1, 0, 0, 0, 3, 1)))),
    "request": b"".join((
        HEAD, node_message(1, DSM, dsm_message(0, 0, 1, 0, 3, 0)),
        node_message(2, DSM, dsm_message(1, 0, 2, 0, 3, 0)))),
    "delta": MEMBER + node_message(0, DSM, dsm_message(6, 2, 1, 0, 3, 1), 24, 2, struct.pack("<HHQ", 5, 1, 99)),
}

SEEDS["image"] = {
    # 3405 bytes; RUNNING, RFLAGS and CR0 as after RESET, all else 0.
    "zero": patch(bytearray(3405), (0, "4s", b"VCPU"), (4, "H", 1), (8, "I", 3405), (16, "B", 2),
                  (164, "Q", 2), (172, "Q", 0x60000010)),
}

for fuzzer, seeds in SEEDS.items():
    folder = CORPUS / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)
