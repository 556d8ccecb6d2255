"""
A private view of the Debian archive: the host's own mirror and keys, our own lists and architectures,
so that the host's configuration stays as it is.
"""

import collections
import os
import re
import subprocess
import time

from depkit import DepError

SUITE = "bookworm"
# Names under which an archive line is recognised as Debian's own.
DEBIAN_SUITES = re.compile(r"(bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable)(-.*)?$")
LISTS_MAX_AGE = 24 * 3600

Uri = collections.namedtuple("Uri", "uri file sha256 version")

NO_MIRROR = (
    "This machine's apt sources name no Debian archive, so there is nowhere to take the sources and"
    " the guest kernel from. Set AMALGAM_DEBIAN_MIRROR=URL (and install debian-archive-keyring if"
    " this is not Debian), then run it again."
)


class Apt:
    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.config = os.path.join(self.folder, "apt.conf")
        self.updated = set()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run(self, *command, check=True):
        """Runs one of apt's programs with the private configuration; its standard output."""
        env = dict(os.environ, APT_CONFIG=self.config, LC_ALL="C.UTF-8")
        try:
            done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
        except FileNotFoundError:
            raise DepError(
                f"'{command[0]}' is missing: downloads go through apt, so this needs a Debian or"
                " Ubuntu machine."
            ) from None
        if check and done.returncode:
            raise DepError(f"'{' '.join(command)}' failed: {last_error(done.stderr)}")
        return done

    def setup(self):
        """Writes the private configuration; keeps lists that are there already."""
        for sub in ("state/lists/partial", "cache/archives/partial", "preferences.d"):
            os.makedirs(self.path(sub), exist_ok=True)
        open(self.path("state/status"), "a", encoding="ascii").close()
        lines = [
            f'Dir::State "{self.path("state")}";',
            f'Dir::State::status "{self.path("state/status")}";',
            f'Dir::Cache "{self.path("cache")}";',
            f'Dir::Etc::sourcelist "{self.path("sources.list")}";',
            'Dir::Etc::sourceparts "-";',
            'Dir::Etc::preferences "-";',
            f'Dir::Etc::preferencesparts "{self.path("preferences.d")}";',
            'APT::Architecture "amd64";',
            "#clear APT::Architectures;",
            'APT::Architectures { "amd64"; "i386"; };',
            'APT::Sandbox::User "";',
            "#clear APT::Update::Post-Invoke;",
            "#clear APT::Update::Post-Invoke-Success;",
            'Acquire::Languages "none";',
            'Acquire::Retries "2";',
        ]
        write(self.config, "\n".join(lines) + "\n")
        write(self.path("sources.list"), "".join(source_lines(host_sites())))

    def update(self, force=False):
        """Refreshes the private lists. One index that fails is a warning: another may do. Once is enough."""
        if force in self.updated:
            return
        self.updated.add(force)
        self.setup()
        stamp = self.path("state/updated")
        if not force and age(stamp) < LISTS_MAX_AGE:
            return
        print("deps: reading the Debian archive's package lists", flush=True)
        done = self.run("apt-get", "update", check=False)
        if done.returncode:
            print(f"deps: some lists did not come: {last_error(done.stderr)}", flush=True)
        # What a missing list would have told is asked for again when a package is not found.
        write(stamp, "")

    def uri(self, pin):
        """Where the pinned file is in the archive now, or None when it is gone."""
        if pin.kind == "source":
            command = ["apt-get", "source", "--download-only", "--print-uris", "--only-source"]
            command.append(f"{pin.package}={pin.version}")
        else:
            command = ["apt-get", "download", "--print-uris"]
            command.append(f"{pin.package}:{pin.arch}={pin.version}")
        done = self.run(*command, check=False)
        uris = [parse_uri(line, pin.version) for line in done.stdout.splitlines() if line[:1] == "'"]
        uris = [uri for uri in uris if uri.sha256 == pin.sha256]
        return uris[0] if uris else None

    def newest(self, pin):
        """The newest package that fits the pin's pattern, or None."""
        pattern = pin.if_gone.partition("=")[2]
        shape = re.compile(re.escape(pattern).replace(r"\*", "[0-9]+"))
        names = self.run("apt-cache", "pkgnames", pattern.split("*")[0]).stdout.split()
        best = None
        for name in filter(shape.fullmatch, names):
            version = self.candidate(name, pin.arch)
            if version and (not best or self.is_newer((version, name), best)):
                best = (version, name)
        if not best:
            return None
        version, name = best
        done = self.run("apt-get", "download", "--print-uris", f"{name}:{pin.arch}={version}")
        uris = [parse_uri(line, version) for line in done.stdout.splitlines() if line[:1] == "'"]
        return uris[0] if uris else None

    def candidate(self, name, arch):
        done = self.run("apt-cache", "policy", f"{name}:{arch}", check=False)
        found = re.search(r"^  Candidate: (\S+)$", done.stdout, re.M)
        return found.group(1) if found and found.group(1) != "(none)" else None

    def is_newer(self, one, other):
        if one[0] == other[0]:
            return natural(one[1]) > natural(other[1])
        done = self.run("dpkg", "--compare-versions", one[0], "gt", other[0], check=False)
        return done.returncode == 0

    def download(self, uri, target, sha256):
        """Through apt, with the host's proxies; a partial file from last time is continued."""
        done = self.run(
            "/usr/lib/apt/apt-helper", "download-file", uri, target, f"SHA256:{sha256}", check=False
        )
        if done.returncode:
            raise DepError(
                f"The download of {uri} failed: {last_error(done.stderr)}. Run the same command"
                " again when the network is there; it goes on where it stopped."
            )


def host_sites():
    """(site, suite) of every Debian archive among the host's own apt sources."""
    asked = os.environ.get("AMALGAM_DEBIAN_MIRROR")
    if asked:
        return {(asked.rstrip("/"), SUITE)}
    command = ["apt-get", "indextargets", "--no-release-info", "--format"]
    command += ["$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    sites = set()
    for line in done.stdout.splitlines():
        site, suite, component = (line.split() + ["", "", ""])[:3]
        if component == "main" and DEBIAN_SUITES.match(suite):
            sites.add((site.rstrip("/"), suite))
    if not sites:
        raise DepError(NO_MIRROR)
    return sites


def source_lines(sites):
    """Our own sources: one fixed suite, whatever suite the host itself runs."""
    wanted = set()
    for site, suite in sites:
        if suite.endswith("-security"):
            wanted.add((site, f"{SUITE}-security"))
        elif suite.endswith(("-backports", "-proposed-updates")):
            continue
        else:
            wanted.add((site, SUITE))
            wanted.add((site, f"{SUITE}-updates"))
    for site, suite in sorted(wanted):
        yield f"deb [arch=amd64,i386] {site} {suite} main\n"
        yield f"deb-src {site} {suite} main\n"


def parse_uri(line, version):
    """apt's --print-uris: 'URI' FILE SIZE SHA256:HEX"""
    found = re.match(r"'([^']+)' (\S+) \d+ SHA256:([0-9a-f]{64})", line)
    if not found:
        raise DepError(f"apt printed '{line}' where a URI with a SHA-256 was expected.")
    return Uri(found.group(1), found.group(2), found.group(3), version)


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def last_error(stderr):
    lines = [line[3:] for line in stderr.splitlines() if line.startswith("E: ")]
    return (lines or stderr.strip().splitlines() or ["no reason given"])[0].rstrip(".")


def age(path):
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return float("inf")


def write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
