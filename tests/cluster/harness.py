"""What the acceptance tests share: calling tools/lab and judging how it ended."""

import collections
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
LAB = os.path.join(ROOT, "tools/lab")
BUILD = os.environ.get("AMALGAM_BUILD", os.path.join(ROOT, "build"))
NAME = os.path.splitext(os.path.basename(sys.argv[0]))[0]
LOGS = os.path.join(BUILD, "test-cluster", NAME)
DEBIAN_SECONDS = 900  # a boot of the stock kernel takes 70 s on an idle host, several times that on a busy one

# `make test-long` runs tests whole which `make test` runs in short: more messages, rounds and configurations.
LONG = bool(os.environ.get("TEST_LONG"))
# Quick, where how a node is booted is not the matter: QEMU loads Amalgam itself.
DIRECT = ("--emu", "qemu", "--boot", "direct")

# The stock kernel on the serial console, without the self-tests that take an emulated CPU long.
QUICK_BOOT = "console=ttyS0,115200 cryptomgr.notests noisapnp"

# A run that shows one of these can't end well any more.
TROUBLE = ("--fail", "Kernel panic", "--fail", r"guest: .*stopped:", "--fail", "PANIC")


class Failed(SystemExit):
    """Ends the test; the text is printed and the exit code is 1."""


def check(true, sentence):
    if not true:
        raise Failed(f"{NAME}: {sentence}")


def built(name, target):
    """The path of what `make target` builds."""
    path = os.path.join(BUILD, name)
    check(os.path.isfile(path), f"{path} is missing: make {target}")
    return path


def guest_elf(name):
    return built(f"guests/{name}.elf", "guests")


def start(*args, logs="run"):
    """A lab under way; its log folder is in .logs."""
    command = [LAB, "run", "--build", BUILD, "--logdir", os.path.join(LOGS, logs), *args]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.logs = os.path.join(LOGS, logs)
    return process


def finish(process, code=0):
    """Waits for it and checks its exit code; what it printed."""
    said, _ = process.communicate()
    if process.returncode != code:
        print(said)
        raise Failed(f"{NAME}: lab ended with code {process.returncode}, expected {code}: {process.args}")
    return said


def lab(*args, code=0, logs="run"):
    return finish(start(*args, logs=logs), code)


def log_of(logs, name="node0.log"):
    with open(os.path.join(LOGS, logs, name), encoding="utf-8") as file:
        return file.read()


def boot_debian(cores, *args, logs="run"):
    """The main job: netboot to a shell, count the CPUs, switch off; the node ends in good order."""
    lab(
        *("--cores", str(cores), "--mem", "192", "--node-ram", "384", "--guest", "debian", *TROUBLE),
        *("--expect", r"guest: Linux 6\.1\.\S+-686 "),
        *("--send", r"guest# =nproc\n", "--expect", rf"^{cores}\n"),
        *("--send", r"guest# =poweroff -f\n", "--expect", "Power down"),
        *("--expect-log", "guest: the guest powered off", "--expect-log", "exit counters"),
        *("--expect-log", r"CPUID +[1-9]\d*$", "--expect-halt"),
        *("--timeout", str(DEBIAN_SECONDS), *args),
        logs=logs,
    )


def boot_nodes(nodes, cores, *args, also=(), kernel="686", logs="run"):
    """
    Several nodes become one machine: a shell that counts all CPUs, each node's in the hypervisor's table.
    `also`: more that is sent to the shell, and expected of it. `kernel`: the end of its release's name.
    """
    cpus = nodes * cores
    lab(
        *("--nodes", str(nodes), "--cores", str(cores), "--mem", "128", "--node-ram", "384", "--status"),
        *("--guest", "debian", *TROUBLE, *args, "--expect", rf"guest: Linux 6\.1\.\S+-{kernel} "),
        *("--send", r"guest# =nproc; grep -c ^processor /proc/cpuinfo\n", "--expect", rf"^{cpus}\n{cpus}\n"),
        # Something for every CPU to do, which tells where it ran: field 39, proc(5).
        *("--send", rf"guest# =for c in $(seq 0 {cpus - 1}); do taskset -c $c cut -d' ' -f39 /proc/self/stat; done\n"),
        *("--expect", "^" + "".join(rf"{cpu}\n" for cpu in range(cpus))),
        *also,
        *("--send", r"guest# =poweroff -f\n", "--expect", "Power down", "--timeout", str(2 * DEBIAN_SECONDS)),
        *("--expect-log", "guest: the guest powered off", "--expect-halt"),
        logs=logs,
    )
    for node in range(nodes):
        log = log_of(logs, f"node{node}.log")
        for cpu in range(cpus):
            check(f"vCPU {cpu} is on node {cpu // cores}" in log, f"node {node} does not tell where vCPU {cpu} is")
        check("guest: the guest powered off" in log, f"node {node} did not hear of the power off")
        check("boot: node halted" in log, f"node {node} did not halt")
        said = log_of(logs, f"node{node}.status")
        for what in (r"running, \d of \d nodes", r"nested page fault +[1-9]", r"write faults by time in us: .*<\d+ \d",
                     "hot page: gfn"):
            check(re.search(what, said), f"node {node}'s status console does not show /{what}/")


def check_wire(logs, nodes, messages):
    """Every node printed the same membership, and has got all messages from all others."""
    passed = f"net: wire self-test passed: {messages} messages each way with each of {nodes - 1} nodes "
    memberships = []
    for node in range(nodes):
        log = log_of(logs, f"node{node}.log")
        memberships.append(re.findall(r"cluster: member (node .*)", log))
        check(len(memberships[-1]) == nodes, f"node {node} does not list {nodes} members ({logs})")
        check(passed in log, f"node {node} does not say '{passed}' ({logs})")
        check("ERROR" not in log, f"node {node} met an error ({logs})")
    check(all(members == memberships[0] for members in memberships), f"the memberships differ: {memberships}")


def check_clocks(logs, nodes):
    """What two nodes say of each other's clock must agree within the error bounds they promise, in us."""
    said = {}
    for node in range(nodes):
        log = log_of(logs, f"node{node}.log")
        me = int(re.search(r"this is node (\d+)", log)[1])
        for other, offset, error in re.findall(r"net: node (\d+): .* clock offset (-?\d+) us, error (\d+) us", log):
            said[me, int(other)] = int(offset), int(error)
    for (me, other), (offset, error) in said.items():
        back, back_error = said[other, me]
        # They are told up to some 100 ms apart, in which the clocks drift, and in whole us.
        apart = abs(offset + back)
        check(apart <= error + back_error + 50, f"nodes {me} and {other} differ by {apart} us on their clocks ({logs})")


def run_wire(nodes, *args, lossy=(), timeout=900, clocks=True):
    """
    The hypervisor's self-test of the wire, without a guest: once on a good network, once with 5% loss and the
    options `lossy`. More nodes than the host has CPUs are silent now and then.
    """
    messages = int(os.environ.get("WIRE_MESSAGES", 1000000 if LONG else 20000))
    for logs, more in (("good", args), ("loss", ("--faults", "drop=5", *(lossy or args)))):
        lab(
            *("--nodes", str(nodes), "--guest", "none", "--node-ram", "128", *more),
            *("--hv-append", f"lost-after=60000 test-wire={messages}", "--fail", "ERROR", "--fail", "PANIC"),
            *("--timeout", os.environ.get("WIRE_SECONDS", str(timeout))),
            logs=logs,
        )
        check_wire(logs, nodes, messages)
        if clocks:
            check_clocks(logs, nodes)


def run_suite(words, *args, logs="run"):
    """The in-guest suite on the stock kernel, with `words` as in docs/suite.md; what it printed."""
    lab(
        *("--guest", "debian", "--initrd", built("guest/suite.gz", "suite"), "--append", f"{QUICK_BOOT} {words}"),
        *TROUBLE,
        *("--fail", r"^suite: \d+ passed, [1-9]", "--expect", r"^suite: [1-9]\d* passed, 0 failed"),
        *("--expect", "^suite: exit code 0", "--expect", "Power down"),
        *("--expect-log", "guest: the guest powered off", "--expect-halt"),
        *args,
        logs=logs,
    )
    return log_of(logs, "console.log")


def suite_over_nodes(nodes, words, *args, logs="run"):
    """The same with a CPU of the guest's on each of several nodes."""
    cluster = ("--cores", "1", "--mem", "160", "--node-ram", "384")
    said = run_suite(words, *DIRECT, *cluster, "--nodes", str(nodes), "--status", "--timeout", "1800", *args, logs=logs)
    check(f"CPUs {' '.join(map(str, range(nodes)))}," in said, f"the guest has not {nodes} CPUs")


GIVEN = bytes(i * i >> 3 & 255 for i in range(1 << 20))
MOUNT = "mkdir /mnt; mount -t ext4 /dev/vda /mnt; cd /mnt"
# Each CPU writes a file of its own and keeps the sum beside it.
WRITE = (
    "for c in 0 1; do taskset -c $c sh -c"
    " 'dd if=/dev/urandom of=f'$c' bs=64k count=32 2>&-; md5sum f'$c' >s'$c & done; wait"
)


def disk_image():
    """An ext4 made from a folder; no root and no mount needed."""
    folder, path = os.path.join(LOGS, "files"), os.path.join(LOGS, "disk.img")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "given"), "wb") as file:
        file.write(GIVEN)
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(
        ["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, path], capture_output=True, text=True, check=False
    )
    check(made.returncode == 0, f"mke2fs failed: {made.stderr}")
    return path


def use_disk(*args, also=()):
    """
    The stock kernel on two CPUs reads what is on its disk, writes, and finds it after a reboot.
    `also`: more that is sent to the shell then, and expected of it.
    """
    lab(
        *(*DIRECT, "--cores", "2", "--mem", "128", "--node-ram", "384", *TROUBLE, "--fail", "I/O error"),
        *("--timeout", str(DEBIAN_SECONDS), *args),
        *("--send", f"guest# ={MOUNT}; md5sum given\\n", "--expect", f"^{hashlib.md5(GIVEN).hexdigest()}  given"),
        *("--send", f"guest# ={WRITE}; cd /; umount /mnt && reboot -f\\n"),
        *("--send", f"guest# ={MOUNT}; cat s0 s1 | md5sum -c\\n", "--expect", "^f0: OK", "--expect", "^f1: OK"),
        *also,
        *("--send", r"guest# =cd /; umount /mnt; grep virtio /proc/interrupts; poweroff -f\n"),
        *("--expect", r"PCI-MSI.*virtio0-req", "--expect-log", "guest: the guest powered off"),
        "--expect-halt",
    )
    check("virtio-blk stops" not in log_of("run"), "the disk's driver broke a rule")


def check_files(image):
    """What the guest left on the target is a file system without a fault."""
    after = subprocess.run(["/sbin/e2fsck", "-fn", image], capture_output=True, text=True, check=False)
    check(after.returncode == 0, f"the target's file system is damaged: {after.stdout}")


def file_of(image, path):
    return subprocess.run(["/sbin/debugfs", "-R", f"cat {path}", image], capture_output=True, check=True).stdout


def use_root(*args):
    """
    A Debian of debootstrap's on a disk of a vblade's boots with its own init to a login; files that two CPUs
    write in parallel are right, also when the target's file system is looked at afterwards.
    """
    image = os.path.join(LOGS, "root.img")
    os.makedirs(LOGS, exist_ok=True)
    shutil.copyfile(built("guest/debian-root.img", "debian-root"), image)
    lab(
        *("--guest", "debian", "--append", f"{QUICK_BOOT} root=/dev/vda", "--aoe", image, *TROUBLE),
        *("--fail", "I/O error", "--timeout", str(2 * DEBIAN_SECONDS), *args),
        *("--expect", "INIT: version", "--send", r"guest login: =root\n"),
        *("--send", f"root@guest:~# ={WRITE}; cat s0 s1 | md5sum -c\\n", "--expect", "^f0: OK", "--expect", "^f1: OK"),
        *("--send", r"root@guest:~# =poweroff\n", "--expect", "Power down", "--expect-halt"),
    )
    check_files(image)
    written, said = (file_of(image, f"/root/{name}") for name in ("f1", "s1"))
    there = said.split()[0].decode() if written else None
    check(written and there == hashlib.md5(written).hexdigest(), "the target has another file than the guest wrote")


NET = ("--http", "--hv-append", "net=on")


def try_net(name, data, cpus="0 1"):
    """
    What is sent to the shell and expected of it: with NET the stock kernel's virtio_net gets an address from the
    lab's DHCP server, under a MAC address of its own, and fetches the served file `name`, which holds `data`, by HTTP
    on each of `cpus` at once; the sums are right.
    """
    fetch = f"for c in {cpus}; do taskset -c $c wget -qO- http://10.77.0.1/{name} | md5sum & done; wait"
    right = ("--expect", f"^{hashlib.md5(data).hexdigest()}  -")
    return (
        *("--send", r"guest# =ifconfig eth0\n", "--expect", "HWaddr 06:41:4D:47:00:00"),
        *("--expect", r"addr:10\.77\.0\.1"),
        *("--send", f"guest# ={fetch}\\n", *(right * len(cpus.split()))),
        *("--send", r"guest# =ping -c 3 10.77.0.1\n", "--expect", " 0% packet loss"),
    )


def use_net(*args, cpus="0 1"):
    """It fetches 10 MiB on each of `cpus`."""
    path, data = os.path.join(LOGS, "data"), os.urandom(10 << 20)
    os.makedirs(LOGS, exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    # The lab serves the disk's image, too.
    lab(
        *(*DIRECT, "--cores", "2", "--mem", "128", "--node-ram", "384", "--disk", path, *TROUBLE),
        *(*NET, "--timeout", str(DEBIAN_SECONDS), *args, *try_net("disk", data, cpus)),
        *("--send", r"guest# =poweroff -f\n", "--expect-halt"),
    )
    check("virtio-net stops" not in log_of("run"), "the card's driver broke a rule")


def endings():
    """Test guests that end the machine: name -> the other fields of its row in tests/guest/endings."""
    with open(os.path.join(ROOT, "tests/guest/endings"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return {row[0]: row[1:] for row in rows}


def guest_said(logs):
    """What a test guest under the hypervisor wrote on its console."""
    return re.sub(r"^\[ *[\d.]+ node\d+\] ", "", log_of(logs, "console.log"), flags=re.M)


def tell_guest(name, good, seconds, said):
    passed, skipped = (len(re.findall(f"^{word} ", said, re.M)) for word in ("PASS", "SKIP"))
    verdict = "ok" if good else "FAILED"
    print(f"  {name:12} {verdict:7} {seconds:5.1f} s {passed:3} passed {skipped:2} skipped", flush=True)


def run_guest(path, ending, words, args, logs=None, tell=True, hv=""):
    """True when all its checks pass, or it ends the machine as `ending` says, what the log must show in order."""
    name = os.path.splitext(os.path.basename(path))[0]
    began = time.monotonic()
    if ending:
        expect = [word for sentence in ending for word in ("--expect-log", sentence)]
    else:
        expect = ["--expect", r"^DONE [1-9]\d* passed, 0 failed",
                  "--expect-log", "guest: debug exit with code 0", *TROUBLE, "--expect-halt"]  # fmt: skip
    good = True
    try:
        lab(
            *("--cores", "2", "--guest", path, "--mem", "64", "--node-ram", "256", *args),
            *("--append", f"expect=amalgam {words}".strip(), "--hv-append", f"on-reset=stop {hv}".strip()),
            *("--fail", r"^DONE \d+ passed, [1-9]", "--fail", "PANIC", "--timeout", "400", *expect),
            logs=logs or name,
        )
    except Failed:
        good = False
    if tell:
        tell_guest(logs or name, good, time.monotonic() - began, guest_said(logs or name))
    return good


def run_guests(*args, words="", finishing=(), without=()):
    """
    Those named on the command line, or all but those in `without`; `words` go to their command lines. Those in
    `finishing` run to their end here and pass, though they end the machine elsewhere.
    """
    if not LONG:
        words = f"rounds=2000 {words}".strip()
    wanted = sys.argv[1:]
    names = sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(BUILD, "guests/*.elf")))
    names = [name for name in names if name in wanted or not wanted and name not in without]
    check(names, "there are no test guests: make guests")
    ends = {name: row[2:] for name, row in endings().items() if name not in finishing}
    bad = []
    for name in names:
        if not run_guest(os.path.join(BUILD, f"guests/{name}.elf"), ends.get(name), words, args):
            bad.append(name)
    check(not bad, f"{len(bad)} of {len(names)} guests failed: {' '.join(bad)}")


def run_images(names, states, *args, words=""):
    """
    Test guests whose vCPUs are made bytes, wiped out and put back at every third exit, and notice nothing. Among
    all those images each of `states` was met.
    """
    met = collections.Counter()
    for name in names:
        logs = f"image-{name}"
        check(run_guest(guest_elf(name), None, words, args, logs, hv="test-image=3"), f"{name} noticed its images")
        for state, times in re.findall(r"test-image: (\S.*?) +(\d+)$", log_of(logs), re.M):
            met[state] += int(times)
    never = [state for state in states if not met[state]]
    check(not never, f"no image was of a vCPU in these states: {', '.join(never)}; met were {dict(met)}")
