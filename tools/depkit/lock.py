"""The pins: tools/deps.lock."""

import collections
import os

from depkit import DepError

Pin = collections.namedtuple("Pin", "name kind package arch version if_gone take file sha256")


def parse_line(line, where):
    fields = line.split()
    if len(fields) != 7:
        raise DepError(f"{where}: {len(fields)} fields where 7 were expected.")
    name, kind, spec, if_gone, take, file, sha256 = fields
    if kind not in ("source", "deb"):
        raise DepError(f"{where}: kind '{kind}', expected 'source' or 'deb'.")
    if if_gone != "stop" and not if_gone.startswith("newest="):
        raise DepError(f"{where}: if-gone '{if_gone}', expected 'stop' or 'newest=NAME'.")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise DepError(f"{where}: '{sha256}' is not a SHA-256 in lower-case hex.")
    package, _, version = spec.partition("=")
    package, _, arch = package.partition(":")
    if not version or (kind == "deb") != bool(arch):
        raise DepError(f"{where}: '{spec}', expected PACKAGE=VERSION or PACKAGE:ARCH=VERSION.")
    return Pin(name, kind, package, arch, version, if_gone, take, os.path.basename(file), sha256)


def load(path):
    pins = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            pin = parse_line(line, f"{path}:{number}")
            if pin.name in pins:
                raise DepError(f"{path}:{number}: '{pin.name}' is pinned twice.")
            pins[pin.name] = pin
    return pins
