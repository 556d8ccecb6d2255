"""The lab's parts that need no emulator."""

import contextlib
import io
import os
import tempfile
import time
import types
import unittest

from labkit import UsageError, images, netboot, options
from labkit.script import Script
from labkit.stream import LineLog, Stream


def parse(*argv):
    return options.parse(["run", "--build", "/nonexistent", *argv])


def refused(*argv):
    """The lab's own parser ends the program with code 2; other mistakes raise."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            parse(*argv)
        except SystemExit as error:
            return error.code == 2 and said.getvalue()
        except UsageError as error:
            return str(error)
    return None


class Options(unittest.TestCase):
    def test_expect_and_send_keep_their_order(self):
        steps = parse("--expect", "one", "--send", r"# =a\n", "--expect", "two").steps
        self.assertEqual([(s.pattern.pattern, s.text) for s in steps], [("one", None), ("# ", "a\n"), ("two", None)])

    def test_send_splits_at_the_first_bare_equals_sign(self):
        step = parse("--send", r"a\=b=c=d\x41\\n").steps[0]
        self.assertEqual((step.pattern.pattern, step.text), ("a=b", r"c=dA\n"))

    def test_mistakes_are_refused(self):
        for argv in (["--nodes", "0"], ["--nodes", "65"], ["--expect", "("], ["--send", "x"], ["--emu", "vax"],
                     ["--native", "--nodes", "2"], ["--boot", "esp"], ["--exp", "x"],
                     ["--emu", "qemu", "--ips", "5"], ["--kill", "x=one"], ["--nodes", "2", "--kill", "x=2"]):  # fmt: skip
            self.assertTrue(refused(*argv), argv)

    def test_boot_medium_follows_firmware_and_emulator(self):
        self.assertEqual(parse("--emu", "bochs").boot, "ipxe")
        self.assertEqual(parse("--emu", "bochs", "--firmware", "uefi").boot, "esp")
        self.assertEqual(parse("--emu", "qemu", "--firmware", "uefi").boot, "pxe")


class Conversation(unittest.TestCase):
    def script(self, *argv):
        return Script(parse(*argv))

    @staticmethod
    def stream(kind="console", node="node0"):
        return types.SimpleNamespace(kind=kind, node=node)

    def test_steps_are_met_in_order_and_across_pieces(self):
        script = self.script("--expect", "abc", "--send", "def=typed", "--expect", "ghi")
        self.assertEqual(script.feed(self.stream(), "xdef ab"), [])
        self.assertEqual(script.feed(self.stream(), "c de"), [])
        self.assertEqual(script.feed(self.stream(), "f gh"), ["typed"])
        self.assertFalse(script.met())
        script.feed(self.stream(), "i")
        self.assertTrue(script.met())

    def test_a_match_is_used_once(self):
        script = self.script("--expect", "x", "--expect", "x")
        script.feed(self.stream(), "x")
        self.assertFalse(script.met())
        self.assertIn("expectation 2 of 2", script.unmet_sentences()[0])

    def test_console_and_log_are_awaited_side_by_side(self):
        script = self.script("--expect", "shell", "--expect-log", "passed")
        script.feed(self.stream("log", "node1"), "passed")
        self.assertFalse(script.met())
        script.feed(self.stream("log"), "shell")
        self.assertFalse(script.met())
        script.feed(self.stream(), "shell")
        self.assertTrue(script.met())

    def test_power_is_cut_once(self):
        script = self.script("--nodes", "3", "--kill", "node 0 runs=2", "--kill", "never=1")
        script.feed(self.stream("console"), "node 0 runs\n")
        self.assertEqual(script.doomed, [])
        script.feed(self.stream("log"), "node 0")
        script.feed(self.stream("log"), " runs")
        script.feed(self.stream("log", "node1"), "node 0 runs")
        self.assertEqual(script.doomed, [2])

    def test_failure_is_found_across_pieces(self):
        script = self.script("--expect", "x", "--fail", "Kernel panic")
        script.feed(self.stream(), "Kernel p")
        self.assertIsNone(script.failure)
        script.feed(self.stream(), "anic")
        self.assertIn("Kernel panic", script.failure)

    def test_nothing_asked_is_never_met(self):
        self.assertFalse(self.script().met())


class Lines(unittest.TestCase):
    def read(self, *pieces):
        with tempfile.TemporaryDirectory() as folder:
            log = LineLog(os.path.join(folder, "log"), time.monotonic())
            stream = Stream("node7", "log", log)
            for piece in pieces:
                stream.to_lines(stream.plain(piece))
            stream.close()
            log.close()
            with open(log.name, encoding="utf-8") as file:
                return file.read().splitlines()

    def test_each_line_has_time_and_node(self):
        lines = self.read(b"one\r\ntw", b"o\r\nthree")
        self.assertEqual([line.split("] ", 1)[1] for line in lines], ["one", "two", "three"])
        for line in lines:
            self.assertRegex(line, r"^\[ +\d+\.\d{3} node7\] ")

    def test_terminal_control_is_left_out_even_when_cut(self):
        lines = self.read(b"a\x1b[2", b"Jb\x1b[0mc\n")
        self.assertEqual(lines[0].split("] ", 1)[1], "abc")

    def test_a_painted_screen_becomes_lines(self):
        lines = self.read(b"\x1b[1;1H\x1b[2;1Htop\x1b[3;", b"7Hbottom\x1b[1;1H", b"top")
        self.assertEqual([line.split("] ", 1)[1] for line in lines], ["top", "bottom", "top"])


class Images(unittest.TestCase):
    def kind(self, content):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            return images.kind_of(file.name)

    def test_kind_is_told_by_content(self):
        self.assertEqual(self.kind(bytes(0x202) + b"HdrS" + bytes(100)), "bzimage")
        self.assertEqual(self.kind(b"\x7fELF" + bytes(4092) + b"\x02\xb0\xad\x1b"), "multiboot")

    def test_others_are_refused(self):
        for content in (b"", b"\x7fELF" + bytes(9000), b"HdrS", b"\x7fELF" + bytes(8188) + b"\x02\xb0\xad\x1b"):
            with self.assertRaises(UsageError):
                self.kind(content)


class Netboot(unittest.TestCase):
    def test_arguments_reach_loader_and_script(self):
        asked = parse("--mem", "64", "--hv-append", "log=debug")
        guest = images.Guest("k", "bzimage", "i", "console=ttyS0 quiet")
        config = netboot.loader_config(asked, guest)
        self.assertEqual(
            config,
            "options serial=com1 console=com2 nodes=1 mem=64M log=debug\nfile guest console=ttyS0 quiet\nfile initrd\n",
        )
        script = netboot.settings(asked, guest)
        for line in ("set hv-args serial=com1", "set kernel-args console=ttyS0 quiet", "set initrd initrd"):
            self.assertIn(line, script)


if __name__ == "__main__":
    unittest.main()
