"""Debian's packages and sources, fetched into a folder for tests that need more than is installed.

apt works here with lists, a cache and a state of its own below that folder, so the machine's own
packages are neither looked at nor changed. The mirror and the release are the machine's.
"""

import os
import re
import subprocess
from pathlib import Path

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
UNUSED = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/zoneinfo",
          "./lib/modules", "./usr/lib/modules")


class Missing(Exception):
    """Why something cannot be had, in a sentence."""


def say(*command, cwd=None):
    try:
        done = subprocess.run([str(word) for word in command], cwd=cwd, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=600)
    except FileNotFoundError as wrong:
        raise Missing(f"{command[0]} is not here, and so no package of Debian") from wrong
    except subprocess.TimeoutExpired as wrong:
        raise Missing(f"{command[0]} {command[-1]} does not end") from wrong
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith("E:")]
        raise Missing(f"Debian's packages cannot be had: "
                      f"{(lines or done.stdout.splitlines() or ['?'])[-1]}")
    return done.stdout


def mirror():
    """(address, name of the release) of the machine's own first list."""
    targets = say("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN)",
                  "Created-By: Packages", "Component: main").splitlines()
    ours = [line.split() for line in targets if re.fullmatch(r"\S+ [a-z]+ Debian", line)]
    if not ours:
        raise Missing("apt knows no mirror of Debian here; apt-get update may help")
    return ours[0][:2]


class Debian:
    def __init__(self, folder, architecture):
        self.folder, self.architecture = Path(folder).resolve(), architecture
        self.release = None

    def apt(self, program, *words, cwd=None):
        place = self.folder / "apt"
        named = {"Dir::State": place, "Dir::State::Lists": place / "lists",
                 "Dir::State::status": place / "status", "Dir::Cache": place / "cache",
                 "Dir::Etc::sourcelist": place / "sources.list",
                 "Dir::Etc::sourceparts": "/dev/null",
                 "APT::Architecture": self.architecture, "APT::Architectures": self.architecture,
                 "APT::Sandbox::User": "root", "Acquire::Retries": 2}
        options = [word for name, value in named.items() for word in ("-o", f"{name}={value}")]
        return say(program, *options, *words, cwd=cwd)

    def begin(self):
        """Fetches the lists, once."""
        if self.release is not None:
            return
        if os.environ.get("LUCID_NO_INSTALL") == "1":
            raise Missing("LUCID_NO_INSTALL=1 forbids to fetch packages of Debian")
        address, release = mirror()
        place = self.folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (place / name).mkdir(parents=True, exist_ok=True)
        (place / "status").touch()
        kinds = ((f"deb [arch={self.architecture} signed-by={KEYS}]", release),
                 (f"deb [arch={self.architecture} signed-by={KEYS}]", f"{release}-backports"),
                 (f"deb-src [signed-by={KEYS}]", release))
        (place / "sources.list").write_text(
            "".join(f"{kind} {address} {suite} main\n" for kind, suite in kinds), encoding="ascii")
        self.apt("apt-get", "update")
        self.release = release

    def download(self, into, *names):
        self.begin()
        into.mkdir(parents=True, exist_ok=True)
        self.apt("apt-get", "download", *names, cwd=into)
        return sorted(into.glob("*.deb"))

    def download_with_all(self, *names):
        """These packages and all that they depend on."""
        self.begin()
        self.apt("apt-get", "-y", "--download-only", "--no-install-recommends", "install", *names)
        return sorted((self.folder / "apt/cache/archives").glob("*.deb"))

    def unpack(self, packages, into):
        into.mkdir(parents=True, exist_ok=True)
        for package in packages:
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package],
                                  stdout=subprocess.PIPE) as archive:
                subprocess.run(["tar", "-x", "-C", into, *(f"--exclude={name}" for name in UNUSED)],
                               stdin=archive.stdout, check=True)

    def source(self, name):
        """The folder with a package's sources as they came to Debian; fetched once."""
        place = self.folder / f"source-{name}"
        if not place.is_dir():
            self.begin()
            growing = self.folder / f"source-{name}.growing"
            growing.mkdir(parents=True, exist_ok=True)
            self.apt("apt-get", "source", "--download-only", name, cwd=growing)
            for archive in growing.glob("*.orig.tar.*"):
                if not archive.name.endswith(".asc"):
                    say("tar", "-x", "-C", growing, "-f", archive)
            growing.rename(place)
        return next(path for path in sorted(place.iterdir()) if path.is_dir())
