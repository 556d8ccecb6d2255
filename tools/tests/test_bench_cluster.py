"""What the cluster's benchmark reads out of the logs, and what it does not let pass."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import re
import unittest

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "bench-cluster")
loader = importlib.machinery.SourceFileLoader("bench_cluster", PATH)
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_cluster", loader))
loader.exec_module(bench)

LOG = "[    8.250 node0] [    0.278653] n0.c0 guest: the guest has 2 CPUs and 128 MiB\n"
CONSOLE = """\
[   20.750 node0] guest# suite iters=5 timeout=9 bench.ep
[   21.000 node0] bench.ep ok 3 ms, us=4000000 shortest_us=3000000 longest_us=3100000 points=60 inside=47
[   22.000 node0] bench.processes ok 8 ms, us=5000000 processes=7
[   23.000 node0] bench.pingpong ok 8 ms, us=600000 handovers=9
[   24.000 node0] bench.stream ok 8 ms, first_us=70000 again_us=8000 mib=8 cpu=1
"""
# Of one node of two.
COUNTS = """\
[   46.6 node0] [   38.0] n0.c0 vcpu:   nested page fault        111265
[   46.6 node0] [   38.0] n0.c0 dsm: faults: 10 read, 200 write, 3000 execute; 40000 answered here, 5 upgrades, \
6 zero pages; 500000 pages sent, 7 kicks, 8 deferred
[   46.6 node0] [   38.1] n0.c0 net: node 1: 14 frames out, 13 in, resent 1, timeouts 2, doubled 1; round trip \
p50 1048 p99 4194 us; clock offset 0 us, error 9 us; 70 messages out, 71 in; 9000 bytes out, 8000 in
"""


class Reading(unittest.TestCase):
    def refused(self, sentence, function, *args):
        with self.assertRaisesRegex(SystemExit, sentence):
            function(*args)

    def test_times(self):
        found = bench.times(LOG, CONSOLE, 2)
        self.assertEqual(found["boot"], {"us": 12500000})
        wanted = {"us": 4000000, "shortest_us": 3000000, "longest_us": 3100000, "points": 60, "inside": 47}
        self.assertEqual(found["ep"], wanted)
        self.assertEqual(found["stream"]["again_us"], 8000)

    def test_a_workload_must_have_finished(self):
        self.refused("did not reach its shell on 1 node$", bench.times, LOG, "", 1)
        self.refused("did not reach its shell", bench.times, "", CONSOLE, 1)
        for name in bench.WORKLOADS:
            lines = [line for line in CONSOLE.splitlines(True) if f" bench.{name} " not in line or "guest#" in line]
            self.refused(f"{name} did not finish on 2 nodes", bench.times, LOG, "".join(lines), 2)
        failed = re.sub("ep ok .*", "ep FAILED it was not done after 9 s", CONSOLE)
        self.refused("ep went wrong on 2 nodes: it was not done", bench.times, LOG, failed, 2)
        self.refused("stream did not tell its first_us", bench.times, LOG, CONSOLE.replace("first_us", "us"), 2)

    def test_counters_of_all_nodes_are_added_up(self):
        found = bench.counters([COUNTS, COUNTS])
        self.assertEqual(list(found.values()), [222530, 6420, 80000, 1000000, 140, 28, 18000])

    def test_a_counter_must_be_there(self):
        for line in COUNTS.splitlines(True):
            self.refused("the log of node 1 of 2 has no counter", bench.counters, [COUNTS, COUNTS.replace(line, "")])

    def test_a_lone_node_has_no_wire(self):
        found = bench.counters([COUNTS.splitlines()[0]])
        self.assertEqual(found, {"nested page faults": 111265})
        self.refused("no counter of nested page faults", bench.counters, [""])


class Arguments(unittest.TestCase):
    def test_the_fastest_emulator_unless_another_is_named(self):
        def emu(*words, kvm_error=2, qemu=True):
            facts = bench.choice.Facts(kvm_error, {"kvm_amd": True}, qemu=qemu, bochs=True)
            return bench.arguments(words, lambda: facts).emu

        self.assertEqual(emu(), "qemu")
        self.assertEqual(emu(kvm_error=0), "kvm")
        self.assertEqual(emu(qemu=False), "bochs")
        self.assertEqual(emu("--emu", "bochs"), "bochs")


class Report(unittest.TestCase):
    def report(self, boot, ep):
        def side(boot_us, ep_us):
            found = bench.times(LOG, CONSOLE, 2)
            found["boot"]["us"], found["ep"]["us"] = boot_us, ep_us
            found["sieve"] = {"us": 8 * ep_us, "megabytes": 100, "evictions": 77}
            return found, {"nested page faults": 5}

        with contextlib.redirect_stdout(io.StringIO()) as said:
            missed = bench.report(side(1000000, 1000000), side(boot, ep), 512000, 2, "qemu")
        return missed, said.getvalue()

    def test_aims(self):
        self.assertEqual(self.report(1500000, 526000)[0], [])
        self.assertEqual(self.report(1510000, 530000)[0], ["boot", "ep"])
        self.assertEqual(self.report(1500000, 1110000)[0], ["ep", "sieve"])

    def test_table(self):
        said = self.report(3000000, 500000)[1]
        self.assertRegex(said, r"boot to shell +1\.000 +3\.000 +3\.00 +at most 1\.5: missed\n")
        self.assertRegex(said, r"EP\S* .* +1\.000 +0\.500 +0\.50 +.*: met\n")
        self.assertRegex(said, r"what the host allows \* +0\.512 +0\.51\n")
        self.assertRegex(said, r"ping-pong: 9 hand-overs +0\.600 +0\.600 +1\.00\n")
        self.assertRegex(said, r"sieve: 100 MB, one thread +8\.000 +4\.000 +0\.50 +at most 1\.1: met\n- evictions")
        self.assertRegex(said, r"- evictions +77\n")
        self.assertRegex(said, r"nested page faults +5 +5\n")
        self.assertRegex(said, r"messages +- +-\n")


if __name__ == "__main__":
    unittest.main()
