"""The rooms as tools/check-includes knows them, for the tools that measure or describe them."""

import importlib.machinery
import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def rules():
    """check-includes as a module: RULES, EXTERNAL, PORTABLE, room_of()."""
    sys.dont_write_bytecode = True
    path = os.path.join(ROOT, "tools", "check-includes")
    loader = importlib.machinery.SourceFileLoader("check_includes", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_includes", loader))
    loader.exec_module(module)
    return module


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def exists(path):
    return os.path.exists(os.path.join(ROOT, path))


def files():
    """Text files of the tree, from its root, in order."""
    for folder, subs, names in os.walk(ROOT):
        subs[:] = sorted(sub for sub in subs if sub not in ("build", ".git", "corpus"))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            with open(os.path.join(ROOT, path), "rb") as file:
                if b"\0" not in file.read(4096):
                    yield path
