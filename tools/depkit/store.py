"""Downloads kept in the cache folder, checked on every use, and what is unpacked from them."""

import fcntl
import hashlib
import os
import shutil
import subprocess

from depkit import DepError
from depkit.apt import Apt


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class Store:
    def __init__(self, cache, deps):
        self.cache = os.path.abspath(cache)
        self.deps = os.path.abspath(deps)
        self.apt = Apt(os.path.join(self.cache, "apt"))
        os.makedirs(self.cache, exist_ok=True)
        os.makedirs(self.deps, exist_ok=True)

    def lock(self):
        """Held until the returned file is closed: several makes may share one cache."""
        file = open(os.path.join(self.cache, ".lock"), "w", encoding="ascii")
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def get(self, pin):
        """Downloads (when needed) and unpacks (when needed) into deps/NAME."""
        stamp = os.path.join(self.deps, pin.name, ".stamp")
        if read(stamp).split("\n")[0] == repr(pin):
            os.utime(stamp)
            return
        archive = self.fetch(pin)
        self.unpack(pin, archive)

    def fetch(self, pin):
        path = os.path.join(self.cache, pin.file)
        if os.path.exists(path) and sha256_of(path) == pin.sha256:
            return path
        self.apt.update()
        uri = self.apt.uri(pin)
        if not uri:
            self.apt.update(force=True)
            uri = self.apt.uri(pin)
        if not uri and pin.if_gone != "stop":
            uri = self.apt.newest(pin)
            if uri:
                print(
                    f"deps: the archive no longer has {pin.package} {pin.version} as pinned;"
                    f" taking {uri.file} instead (signed by the archive, but not what was tested)"
                )
                path = os.path.join(self.cache, os.path.basename(uri.file))
        if not uri:
            raise DepError(
                f"The Debian archive has no {pin.package} {pin.version} with the pinned SHA-256"
                f" ({pin.file}). Put that file into {self.cache} by hand, or move the pin in"
                " tools/deps.lock to a version it has."
            )
        return self.download(uri, path)

    def download(self, uri, path):
        partial = path + ".part"
        if os.path.exists(path) and sha256_of(path) == uri.sha256:
            return path
        print(f"deps: downloading {os.path.basename(path)}", flush=True)
        self.apt.download(uri.uri, partial, uri.sha256)
        found = sha256_of(partial)
        if found != uri.sha256:
            os.unlink(partial)
            raise DepError(
                f"{os.path.basename(path)} arrived damaged (SHA-256 {found}, expected"
                f" {uri.sha256}) and was removed. Run the same command again."
            )
        os.replace(partial, path)
        return path

    def unpack(self, pin, archive):
        target = os.path.join(self.deps, pin.name)
        fresh = target + ".new"
        shutil.rmtree(fresh, ignore_errors=True)
        os.makedirs(fresh)
        if pin.kind == "deb":
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as data:
                tar(["--wildcards", *pin.take.split(",")], fresh, data.stdout)
        else:
            with open(archive, "rb") as data:
                kind = "-J" if archive.endswith(".xz") else "-z"
                tar([kind, "--strip-components=1"], fresh, data)
        with open(os.path.join(fresh, ".stamp"), "w", encoding="utf-8") as stamp:
            stamp.write(f"{pin!r}\n{os.path.basename(archive)}\n")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(fresh, target)


def tar(options, folder, data):
    command = ["tar", "-x", "-C", folder, "--no-same-owner", *options]
    if subprocess.run(command, stdin=data, check=False).returncode:
        raise DepError(f"'{' '.join(command)}' failed, see above.")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
