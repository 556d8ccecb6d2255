"""The runner of the tests' parts: its table, who runs beside whom, and what ends a run badly."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import re
import sys
import tempfile
import unittest
from unittest import mock

TOOLS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
loader = importlib.machinery.SourceFileLoader("test_parts_tool", os.path.join(TOOLS, "test-parts"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("test_parts_tool", loader))
loader.exec_module(tool)

# What stands for a part's command: its name says what it does.
ACTS = {
    "good": "pass",
    "bad": "print('it broke'); raise SystemExit(1)",
    "slow": "import time; time.sleep(3)",
    "endless": "import time; time.sleep(60)",
    "leftover": "import os; raise SystemExit(os.sched_getscheduler(0) != os.SCHED_IDLE)",
    "busy": "import time\nwhile time.process_time() < 0.3: pass",
}


def act(part):
    return [sys.executable, "-c", ACTS[part.name.split("-")[0]]]


class Table(unittest.TestCase):
    def test_rows(self):
        table = tool.read_table("# a comment\nfast 0 5 -\nwide 2 60 600 # more\n")
        self.assertEqual(list(table), ["fast", "wide"])
        self.assertEqual((table["wide"].slots, table["wide"].seconds), (2, {"test": 60, "long": 600}))
        self.assertEqual([part.name for part in tool.choose(table, "long", [])], ["wide"])
        self.assertEqual([part.name for part in tool.choose(table, "test", ["new", "wide"])], ["fast", "wide", "new"])
        self.assertEqual([part.name for part in tool.choose(table, "long", ["new"])], ["wide"])

    def test_wrong_rows(self):
        for row in ("one 1 5", "one x 5 -", "one 1 - -", "one -1 5 5", "one 1 5 5\none 1 5 5", "one 1 5 5 5"):
            with self.assertRaisesRegex(ValueError, "is wrong"):
                tool.read_table(row)

    def test_the_real_one(self):
        with open(tool.TABLE, encoding="utf-8") as file:
            table = tool.read_table(file.read())
        self.assertEqual(tool.cluster_tests() - set(table), set())


class Order(unittest.TestCase):
    def test_long_ones_first_and_wide_ones_last(self):
        parts = [tool.Part("a", 2, 90), tool.Part("b", 1, 10), tool.Part("c", 1, 50), tool.Part("d", 0, 5)]
        self.assertEqual([part.name for part in tool.in_order(parts, "test")], ["d", "c", "b", "a"])

    def test_room(self):
        none, one, two, many = (tool.Part(str(slots), slots) for slots in (0, 1, 2, 9))
        for part, running, fits in (
            (one, [], True), (one, [one], True), (one, [one, one], False), (two, [one], False),
            (two, [none, none], True), (many, [], True), (many, [one], False),
            (none, [two], True), (none, [none, two], True), (none, [none, none], False),
        ):  # fmt: skip
            self.assertEqual(tool.has_room(part, running, 2), fits, (part, running))


class Runs(unittest.TestCase):
    def run_tool(self, *argv):
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as logs, mock.patch.object(tool, "command", act):
            with mock.patch.object(sys, "argv", ["test-parts", *argv[:-1], logs, *argv[-1].split()]):
                with contextlib.redirect_stdout(said):
                    return tool.main(), said.getvalue()

    def test_goes_on_after_a_failure(self):
        code, said = self.run_tool("bad good-1 good-2")
        self.assertEqual(code, 1)
        self.assertIn("  | it broke\n", said)
        self.assertRegex(said, r"failed: bad\ntest: 2 passed, 1 failed in \d+ min \d+ s; the logs are in ")
        self.assertRegex(said, r"\n2 passed, 1 failed\n$")

    def test_all_well(self):
        code, said = self.run_tool("--name", "mine", "--minutes", "1000", "busy good")
        self.assertEqual(code, 0)
        self.assertRegex(said, r"busy +ok +\d+\.\d s +0\.[3-9] s of CPU")
        self.assertRegex(said, r"\nmine: 2 passed, 0 failed in \d+ min .*\n2 passed, 0 failed\n$")

    def test_a_run_that_takes_too_long_fails(self):
        code, said = self.run_tool("--minutes", "0.005", "--first", "slow-1", "slow-2")
        self.assertEqual(code, 1)
        self.assertIn("TOO LONG: it may take 0 min 0 s", said)
        self.assertRegex(said, r"failed: .*the ledger\n")

    def test_an_endless_part_is_stopped(self):
        code, said = self.run_tool("--minutes", "0.01", "endless")
        self.assertEqual(code, 1)
        self.assertRegex(said, "endless +FAILED(.*\n)*.*it was stopped")
        self.assertIn("0 passed, 2 failed\n", said)

    def test_what_computes_alone_takes_what_others_leave(self):
        code, said = self.run_tool("leftover")
        self.assertEqual(code, 0, said)

    def test_slowest_ten(self):
        _, said = self.run_tool("slow " + " ".join(f"good-{i}" for i in range(11)))
        table = said.split("The 10 slowest of 12 parts:\n")[1].splitlines()
        times = [float(re.search(r" ([\d.]+) min ", row)[1]) for row in table[:10]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertRegex(table[10], "all parts")


if __name__ == "__main__":
    unittest.main()
