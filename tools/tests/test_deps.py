"""Pins and apt's answers, without the network."""

import unittest

from depkit import DepError, apt, lock

SHA = "0123456789abcdef" * 4


class Lock(unittest.TestCase):
    def test_line(self):
        pin = lock.parse_line(f"linux deb linux-image:i386=1:6.1-2 newest=linux-* ./boot/* a.deb {SHA}", "x:1")
        self.assertEqual((pin.package, pin.arch, pin.version), ("linux-image", "i386", "1:6.1-2"))

    def test_mistakes_name_the_line(self):
        good = ["zydis", "source", "zydis=4", "stop", "*", "z.tar.gz", SHA]
        for index, wrong in ((1, "rpm"), (2, "zydis"), (2, "zydis:i386=4"), (3, "guess"), (6, SHA[:-1]), (6, "X" * 64)):
            fields = list(good)
            fields[index] = wrong
            with self.assertRaisesRegex(DepError, "file:7"):
                lock.parse_line(" ".join(fields), "file:7")
        with self.assertRaises(DepError):
            lock.parse_line("zydis source", "file:7")


class Apt(unittest.TestCase):
    def test_uri(self):
        uri = apt.parse_uri(f"'http://mirror/a%2bb.deb' a+b.deb 123 SHA256:{SHA}", "1")
        self.assertEqual((uri.uri, uri.file, uri.sha256), ("http://mirror/a%2bb.deb", "a+b.deb", SHA))

    def test_own_suite_from_any_host_suite(self):
        lines = "".join(apt.source_lines({("http://m/debian", "trixie"), ("http://m/security", "trixie-security")}))
        self.assertIn("deb-src http://m/debian bookworm main\n", lines)
        self.assertIn("deb [arch=amd64,i386] http://m/security bookworm-security main\n", lines)
        self.assertNotIn("trixie", lines)

    def test_abi_numbers_are_compared_as_numbers(self):
        self.assertGreater(apt.natural("linux-image-6.1.0-100-686"), apt.natural("linux-image-6.1.0-99-686"))


if __name__ == "__main__":
    unittest.main()
