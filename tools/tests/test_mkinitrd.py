"""The initrd's archive, read back."""

import gzip
import importlib.machinery
import importlib.util
import os
import unittest

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "mkinitrd")
loader = importlib.machinery.SourceFileLoader("mkinitrd", PATH)
mkinitrd = importlib.util.module_from_spec(importlib.util.spec_from_loader("mkinitrd", loader))
loader.exec_module(mkinitrd)


def entries(data):
    """name -> (mode, device minor and major, body), as Documentation/.../buffer-format.rst has it."""
    at, found = 0, {}
    while True:
        field = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_at = at + 110
        name = data[name_at : name_at + field[11] - 1].decode()
        body_at = (name_at + field[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (field[1], (field[9], field[10]), data[body_at : body_at + field[6]])
        at = (body_at + field[6] + 3) & ~3


class Initrd(unittest.TestCase):
    def test_archive(self):
        data = gzip.decompress(mkinitrd.build(b"busybox!", b"#!/bin/sh\n"))
        found = entries(data)
        self.assertEqual(found["bin/busybox"], (0o100755, (0, 0), b"busybox!"))
        self.assertEqual(found["init"][2], b"#!/bin/sh\n")
        self.assertEqual(found["dev/console"][:2], (0o020600, (5, 1)))
        self.assertEqual(found["bin/sh"], (0o120777, (0, 0), b"busybox"))

    def test_modules(self):
        modules = {
            "a": b"\0depends=b,c\0license=GPL\0",
            "b": b"ELF\0depends=c\0",
            "c": b"\0depends=\0",
        }
        found = entries(gzip.decompress(mkinitrd.build(b"b", b"i", "6.1", modules)))
        self.assertEqual(found["lib/modules/6.1/b.ko"], (0o100644, (0, 0), modules["b"]))
        self.assertEqual(found["lib/modules/6.1/modules.dep"][2], b"a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n")
        del modules["c"]
        with self.assertRaisesRegex(SystemExit, "module b needs c"):
            mkinitrd.build(b"b", b"i", "6.1", modules)

    def test_added_program(self):
        programs = [("bin/suite", b"\x7fELF")]
        found = entries(gzip.decompress(mkinitrd.build(b"a", b"b", programs=programs)))
        self.assertEqual(found["bin/suite"], (0o100755, (0, 0), b"\x7fELF"))

    def test_same_input_same_bytes(self):
        self.assertEqual(mkinitrd.build(b"a", b"b"), mkinitrd.build(b"a", b"b"))


if __name__ == "__main__":
    unittest.main()
