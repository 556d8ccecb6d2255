"""The lab's parts that need no emulator."""

import contextlib
import errno
import io
import os
import tempfile
import time
import types
import unittest

from labkit import SetupError, UsageError, choice, images, netboot, options
from labkit.qemu import Qemu
from labkit.script import Script
from labkit.stream import LineLog, PROMPT_SECONDS, Stream


NESTED_INTEL = choice.Facts(0, {"kvm_intel": True}, qemu=True, bochs=True)
NO_KVM = NESTED_INTEL._replace(kvm_error=errno.ENOENT, nested={})


def parse(*argv, facts=NO_KVM):
    return options.parse(["run", "--build", "/nonexistent", *argv], lambda: facts)


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
                     ["--native", "--nodes", "2"], ["--native", "--status"], ["--boot", "esp"], ["--exp", "x"],
                     ["--emu", "qemu", "--ips", "5"], ["--emu", "bochs", "--boot", "direct"],
                     ["--emu", "qemu", "--firmware", "uefi", "--boot", "direct"], ["--kill", "x=one"],
                     ["--nodes", "2", "--kill", "x=2"]):  # fmt: skip
            self.assertTrue(refused(*argv), argv)

    def test_boot_medium_follows_firmware_and_emulator(self):
        self.assertEqual(parse("--emu", "bochs").boot, "ipxe")
        self.assertEqual(parse("--emu", "bochs", "--firmware", "uefi").boot, "esp")
        self.assertEqual(parse("--emu", "qemu", "--firmware", "uefi").boot, "pxe")


class Choice(unittest.TestCase):
    def auto(self, *argv, facts=NO_KVM):
        asked = parse(*argv, facts=facts)
        return asked.emu, asked.emu_why

    def test_the_fastest_that_works(self):
        amd = NESTED_INTEL._replace(nested={"kvm_amd": True})
        chosen = self.auto(facts=NESTED_INTEL)
        self.assertEqual(chosen, ("kvm", "KVM, the fastest: its guests here have VT-x themselves"))
        self.assertEqual(self.auto(facts=amd), ("kvm", "KVM, the fastest: its guests here have AMD-V themselves"))
        self.assertEqual(self.auto("--firmware", "bios")[0], "qemu")
        self.assertEqual(self.auto("--firmware", "uefi", "--nodes", "2")[0], "qemu")
        self.assertEqual(self.auto("--emu", "auto")[0], "qemu")
        self.assertEqual(self.auto(facts=NO_KVM._replace(qemu=False))[0], "bochs")
        # With neither, the set-up names the package of the faster one.
        self.assertEqual(self.auto(facts=NO_KVM._replace(qemu=False, bochs=False))[0], "qemu")

    def test_it_says_what_stands_in_the_way_of_kvm(self):
        for change, words in (
            ({"kvm_error": errno.ENOENT}, "there is no /dev/kvm (switch virtualization on in the firmware setup"),
            ({"kvm_error": errno.EACCES}, "/dev/kvm is not open to you (join the group"),
            ({"kvm_error": errno.ENODEV}, "/dev/kvm does not open: No such device"),
            ({"nested": {"kvm_intel": False}},
             "no VT-x themselves (as root: modprobe -r kvm_intel; modprobe kvm_intel nested=1)"),
            ({"nested": {"kvm_amd": False}},
             "no AMD-V themselves (as root: modprobe -r kvm_amd; modprobe kvm_amd nested=1)"),
            ({"nested": {}}, "neither kvm_intel nor kvm_amd is loaded"),
        ):
            facts = NESTED_INTEL._replace(**change)
            emulator, why = self.auto(facts=facts)
            self.assertEqual(emulator, "qemu")
            self.assertTrue(why.startswith("QEMU emulates AMD-V; KVM would be faster, but ") and words in why, why)
            with self.assertRaises(SetupError) as refusal:
                parse("--emu", "kvm", facts=facts)
            self.assertIn(words, str(refusal.exception))

    def test_options_of_one_emulator_choose_it(self):
        for argv in (["--ips", "5"], ["--sync", "none"]):
            chosen = self.auto(*argv, facts=NESTED_INTEL)
            self.assertEqual(chosen, ("bochs", f"Bochs emulates VT-x; only it has {argv[0]}"))
        for argv in (["--gdb"], ["--nic", "e1000e"]):
            self.assertEqual(self.auto(*argv, facts=NO_KVM._replace(qemu=False))[0], "qemu")

    def test_a_cpu_model_wants_its_emulator_named(self):
        self.assertIn("--emu", refused("--cpu", "max"))
        self.assertEqual(parse("--emu", "bochs", "--cpu", "corei7_skylake_x").cpu, ["corei7_skylake_x"])

    def test_an_emulator_that_is_named_is_taken_in_silence(self):
        for emulator in ("bochs", "qemu", "kvm"):
            self.assertEqual(self.auto("--emu", emulator, facts=NESTED_INTEL), (emulator, None))

    def test_a_native_guest_needs_no_nesting(self):
        facts = NESTED_INTEL._replace(nested={})
        self.assertEqual(self.auto("--emu", "kvm", "--native", facts=facts)[0], "kvm")
        self.assertEqual(self.auto("--native", facts=facts)[0], "qemu")

    def test_kvm_and_qemu_get_their_accelerator_and_cpu(self):
        for argv, words in (
            (["--emu", "kvm"], ("-accel kvm", "-cpu host")),
            (["--emu", "qemu"], ("-accel tcg,thread=multi", "-cpu max")),
            (["--emu", "kvm", "--cpu", "EPYC,+svm"], ("-accel kvm", "-cpu EPYC,+svm")),
        ):
            asked = parse(*argv, facts=NESTED_INTEL)
            for word in words:
                self.assertIn(word, self.command(asked, 0))

    def test_nodes_can_have_different_cpus(self):
        asked = parse("--emu", "qemu", "--nodes", "2", "--cpu", "max", "--cpu", "max,-avx")
        self.assertIn("-cpu max -d", self.command(asked, 0))
        self.assertIn("-cpu max,-avx -d", self.command(asked, 1))
        asked = parse("--emu", "qemu", "--nodes", "2", "--cpu", "max")
        self.assertIn("-cpu max -d", self.command(asked, 1))
        self.assertIn("3 nodes", refused("--emu", "qemu", "--nodes", "3", "--cpu", "a", "--cpu", "b"))

    @staticmethod
    def command(asked, node):
        qemu = Qemu.__new__(Qemu)  # without its look for the program
        qemu.options, qemu.folder = asked, "/nonexistent"
        return " ".join(qemu.machine(node, [1, 2], None))


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

    def test_each_node_has_to_halt(self):
        script = self.script("--nodes", "2", "--expect", "x", "--expect-halt")
        script.feed(self.stream(), "x")
        script.halted("node1")
        self.assertFalse(script.met())
        self.assertEqual(script.unmet_sentences(), ["node0 never halted"])
        script.halted("node0")
        self.assertTrue(script.met())

    def test_power_is_cut_once(self):
        script = self.script("--nodes", "3", "--kill", "node 0 runs=2", "--kill", "never=1")
        script.feed(self.stream("console"), "node 0 walks\n")
        script.feed(self.stream("log"), "node 0")
        self.assertEqual(script.doomed, [])
        script.feed(self.stream("log"), " runs")
        script.feed(self.stream("log", "node1"), "node 0 runs")
        self.assertEqual(script.doomed, [2])
        script.feed(self.stream("console"), "never")
        self.assertEqual(script.doomed, [2, 1])

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

    def test_a_prompt_is_logged_once_it_has_stood_for_long(self):
        with tempfile.TemporaryDirectory() as folder:
            log = LineLog(os.path.join(folder, "log"), time.monotonic())
            stream = Stream("node7", "console", log)
            stream.to_lines("guest# ")
            stream.flush_prompt()
            self.assertEqual(os.path.getsize(log.name), 0)
            stream.line_began -= 2 * PROMPT_SECONDS
            stream.flush_prompt()
            with open(log.name, encoding="utf-8") as file:
                self.assertIn("guest#", file.read())
            stream.close()
            log.close()

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
        self.assertEqual(
            list(netboot.direct(parse("--emu", "qemu", "--boot", "direct"),
                                images.Guest("k", "bzimage", "i", "a=b,c d"))),  # fmt: skip
            ["-kernel", "netboot/amalgam.elf", "-append", "serial=com1 console=com2 nodes=1"]
            + ["-initrd", "netboot/guest a=b,,c d,netboot/initrd"],
        )


if __name__ == "__main__":
    unittest.main()
