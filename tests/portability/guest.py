"""Boots a real aarch64 kernel in qemu with the tests of a build in its initial RAM disk.

Everything in the guest lies where it lies here, so the commands that ctest knows run there as they
are. It has no disk and no network; what it says goes through its serial line.
"""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

INSIDE = Path(__file__).resolve().parent / "inside.py"
SECONDS = 2400
# Rounds: an emulated processor is slow, its forks above all.
FEWER = {"100000": "5000", "10000": "500", "5000": "1000", "2000": "200", "1000": "100",
         "200": "20", "150": "15", "70": "10"}
# Tests that compare resident memory know of no huge pages that nobody asked for. A kernel that
# gives them to everybody sometimes adds one of 2 MiB to a heap of 3 MiB.
HUGE_PAGES = "madvise"
QEMU = ["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on", "-smp", "2", "-m", "6G",
        "-nographic", "-no-reboot", "-nic", "none"]
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox ln -s /proc/self/fd /dev/fd
/bin/busybox ln -s /proc/self/fd/1 /dev/stdout
/bin/busybox ip link set lo up
/bin/busybox dmesg -n 1
/bin/busybox echo {huge_pages} > /sys/kernel/mm/transparent_hugepage/enabled
/bin/busybox --install -s /bin 2>/dev/null
/bin/busybox ln -s /bin/* /usr/bin 2>/dev/null
/usr/bin/python3 -B {inside} /jobs.json
/bin/busybox poweroff -f
"""


class Archive:
    """A RAM disk as the kernel reads it: cpio, "newc"."""

    def __init__(self, path):
        self.file = open(path, "wb")  # pylint: disable=consider-using-with
        self.count, self.folders = 0, set()

    def entry(self, name, mode, content):
        self.count += 1
        numbers = [self.count, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        for part in (head, content):
            self.file.write(part + bytes(-len(part) % 4))

    def folder(self, name):
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.entry(name, stat.S_IFDIR | (0o1777 if name == "tmp" else 0o755), b"")

    def add(self, name, path):
        """A file, link or folder (not what is in it) of this machine, under that name."""
        name = str(name).lstrip("/")
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            self.folder(name)
            return
        self.folder(os.path.dirname(name))
        if stat.S_ISLNK(mode):
            self.entry(name, mode, os.readlink(path).encode())
        elif stat.S_ISREG(mode):
            self.entry(name, mode, Path(path).read_bytes())

    def write(self, name, mode, text):
        self.entry(name, stat.S_IFREG | mode, text.encode())

    def close(self):
        self.entry("TRAILER!!!", 0, b"")
        self.file.close()


def walk(top):
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name not in ("CMakeFiles", "__pycache__"))
        yield from (Path(folder, name) for name in sorted(names + files))


def is_wanted(path):
    """Programs, libraries, and what tests look up in a build."""
    return path.name == "CMakeCache.txt" or ".so" in path.name or \
        (os.access(path, os.X_OK) and not path.is_dir())


def ram_disk(path, root, source, build, jobs):
    archive = Archive(path)
    archive.folder("")
    for one in walk(root):
        archive.add(one.relative_to(root), one)
    for name in ("src", "include", "tests"):
        for one in walk(source / name):
            archive.add(one, one)
    for one in walk(build):
        if is_wanted(one):
            archive.add(one, one)
    for name in ("tmp", "proc", "sys", "dev", "root"):
        archive.folder(name)
    archive.write("init", 0o755, INIT.format(inside=INSIDE, huge_pages=HUGE_PAGES))
    archive.write("jobs.json", 0o644, json.dumps(jobs))
    archive.close()


def jobs_of(build, chosen, but):
    """The tests of a build whose names match, as ctest writes them."""
    said = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    tests = [test for test in json.loads(said)["tests"]
             if re.search(chosen, test["name"]) and not re.search(but, test["name"])]
    for test in tests:
        test["command"] = [FEWER.get(word, word) for word in test["command"]]
    return tests


class Answer:
    """What the guest said."""

    def __init__(self, text):
        lines = text.replace("\r", "").splitlines()
        self.lines = lines
        self.kernel = next((line for line in lines if line.startswith("guest: pages of")), "")
        self.whole = "guest: done" in lines
        self.names = {ended: [line.split()[2] for line in lines
                              if line.startswith(f"guest: {ended} ")]
                      for ended in ("passed", "failed", "skipped")}

    def all_well(self, jobs):
        return self.whole and not self.names["failed"] and \
            sum(map(len, self.names.values())) == len(jobs)

    def complaint(self):
        """The tests that failed with what they said; all of it if the guest did not end well."""
        if not self.whole:
            return "the guest did not end by itself\n" + "\n".join(self.lines[-40:])
        told, telling = [], False
        for line in self.lines:
            if line.startswith("guest: "):
                telling = line.startswith("guest: failed ")
            if telling:
                told.append(line)
        return "\n".join(told) or "some did not run"


def boot(kernel, disk, log):
    """What the guest says, from its first line to its end."""
    with open(log, "wb") as output:
        try:
            subprocess.run([*QEMU, "-kernel", kernel, "-initrd", disk, "-append",
                            "console=ttyAMA0 quiet panic=-1"], stdin=subprocess.DEVNULL,
                           stdout=output, stderr=subprocess.STDOUT, check=False, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            pass
    return Answer(Path(log).read_text(encoding="utf-8", errors="replace"))
