#!/usr/bin/python3
"""Tests what bench/run tells beside times: start-up in both forms, and what a burst leaves; and
that bench/figures asks it for what it knows.

usage: check_probes.py LIBLUCID
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run")
FAILURES = []


def bench(work, *words):
    return subprocess.run([RUN, "--quick", "--rounds", "1", "--peers", "glibc", "--work", work,
                           *words], capture_output=True, text=True, check=False,
                          env=dict(os.environ, LUCID=sys.argv[1]))


def expect(what, holds, done):
    if not holds:
        FAILURES.append(what)
        print(f"FAILED: {what}\n  exit {done.returncode}\n  {done.stdout}\n  {done.stderr}")


def check_start(work):
    done = bench(work, "--only", "once*")
    expect("start-up runs", done.returncode == 0, done)
    for name in ("lucid", "lucid.o", "glibc"):
        expect(f"faults of the start-up with {name}",
               re.search(rf"^  {re.escape(name)} +\d+ faults", done.stdout, re.M), done)
        exact = re.search(rf"^  {re.escape(name)} +(\d+) KiB, exact", done.stdout, re.M)
        expect(f"resident memory of the start-up with {name}",
               exact and 500 < int(exact[1]) < 10000, done)


def check_after(work):
    done = bench(work, "--only", "aftermath")
    expect("the burst runs", done.returncode == 0, done)
    told = dict(re.findall(r"^  ([\w-]+) .* (\d+\.\d+) times the live", done.stdout, re.M))
    expect("what the burst leaves is told", {"lucid", "glibc"} <= set(told), done)
    # Nearly ten times the live bytes were freed: with most of it kept this would be 10.
    expect("lucid gives back what the burst took", float(told.get("lucid", 99)) < 5, done)


def check_selection(work):
    done = bench(work, "--list")
    expect("--quick leaves out what rests", "aftermath" not in done.stdout, done)
    done = bench(work, "--huge-pages", "sometimes", "--only", "once")
    expect("an unknown mode of huge pages is refused", done.returncode == 2, done)


def check_figures(work):
    """bench/figures with a bench/run that only tells how it was called."""
    fake = os.path.join(work, "run")
    with open(fake, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\necho "$@"\n')
    os.chmod(fake, 0o755)
    script = os.path.join(work, "figures")
    shutil.copy(os.path.join(os.path.dirname(RUN), "figures"), script)
    done = subprocess.run([script, os.path.join(work, "tables")], capture_output=True, text=True,
                          check=False)
    expect("all tables are made", done.returncode == 0, done)
    for name in sorted(os.listdir(os.path.join(work, "tables"))):
        with open(os.path.join(work, "tables", name), encoding="ascii") as file:
            words = file.read().split()
        done = subprocess.run([RUN, *words, "--list"], capture_output=True, text=True, check=False)
        expect(f"bench/run knows what the table {name} asks for", done.returncode == 0, done)
    done = subprocess.run([script, "two", "folders"], capture_output=True, text=True, check=False)
    expect("two folders are wrong usage", done.returncode == 64, done)


with tempfile.TemporaryDirectory(prefix="lucid-probes-") as folder:
    check_start(folder)
    check_after(folder)
    check_selection(folder)
    check_figures(folder)
print("bench probes: " + (f"{len(FAILURES)} failures" if FAILURES else "fine"))
sys.exit(1 if FAILURES else 0)
