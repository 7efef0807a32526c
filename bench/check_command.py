#!/usr/bin/python3
"""Tests `lucid bench`: exit codes, the refusals, and that its JSON holds what it promises.

usage: check_command.py LUCID
"""
import json
import os
import re
import subprocess
import sys
import tempfile

LUCID = sys.argv[1]
FAILURES = []


def bench(*words, **more):
    return subprocess.run([LUCID, "bench", *words], capture_output=True, text=True, check=False,
                          **more)


def expect(what, holds, done):
    if not holds:
        FAILURES.append(what)
        print(f"FAILED: {what}\n  exit {done.returncode}\n  {done.stdout!r}\n  {done.stderr!r}")


def check_json():
    done = bench("--rounds", "2", "--peers", "", "--json", "--", "sh", "-c", "echo noise; exit 3")
    report = json.loads(done.stdout)
    names = [member["name"] for member in report["allocators"]]
    expect("JSON names its schema", report["schema"] == "lucid.bench/1", done)
    expect("lucid and glibc run, and no peer", names == ["lucid", "glibc"], done)
    for member in report["allocators"]:
        for key in ("exit", "wall_ns", "cpu_ns", "peak_bytes", "faults"):
            expect(f"{key} has a figure for each round", len(member[key]) == 2, done)
        expect("the exit code is the program's", member["exit"] == [3, 3], done)
        expect("the peak is a process's, not the command's",
               500e3 < min(member["peak_bytes"]) < 4e6, done)
    expect("equal exit codes are no finding", done.returncode == 0, done)
    expect("but a failure of all is named", "every run ended with exit code 3" in done.stderr, done)


def check_endings():
    differs = 'case "$LD_PRELOAD" in *lucid*) exit 5;; esac'
    done = bench("--rounds", "1", "--peers", "", "--", "sh", "-c", differs)
    expect("different exit codes are a finding", done.returncode == 1, done)
    expect("and are named", "exit code 5 under lucid in 1 of 1 run" in done.stderr, done)
    expect("and what is fine is not", "glibc" not in done.stderr, done)
    differs = 'case "$LD_PRELOAD" in *lucid*) ;; *) kill -9 $$;; esac'
    done = bench("--rounds", "2", "--peers", "", "--", "sh", "-c", differs)
    expect("a failure under the C library is a finding", done.returncode == 1, done)
    expect("and is named", "signal 9 (Killed) under glibc in 2 of 2 runs" in done.stderr, done)
    counts = "echo >> '%s'; test $(wc -l < '%s') != 4"
    with tempfile.NamedTemporaryFile() as file:
        done = bench("--rounds", "2", "--peers", "", "--", "sh", "-c",
                     counts % (file.name, file.name))
    expect("one failure of four is a finding", done.returncode == 1, done)
    expect("and is the only one named", re.fullmatch(
        r"lucid bench: warning: it ended with exit code 1 under (lucid|glibc) in 1 of 2 runs; .*\n",
        done.stderr), done)


def check_failures():
    done = bench("--rounds", "1", "--peers", "", "--", "false")
    expect("a program that always fails is no finding", done.returncode == 0, done)
    expect("but is named", "every run ended with exit code 1, under every allocator"
           in done.stderr, done)
    done = bench("--rounds", "1", "--peers", "", "--", "sh", "-c", "kill -9 $$")
    expect("nor is one that is always killed", done.returncode == 0, done)
    expect("with its signal", "every run ended with signal 9 (Killed)" in done.stderr, done)
    done = bench("--rounds", "1", "--peers", "", "--", "true")
    expect("a program that works is not talked about", done.stderr == "", done)


def check_refusals():
    done = bench("--", "/no/such/program")
    expect("a missing program cannot be run", done.returncode == 2, done)
    done = bench("--rounds", "none", "--", "true")
    expect("a wrong number of rounds is wrong usage", done.returncode == 64, done)
    done = bench("--peers", "nobody", "--", "true")
    expect("an unknown peer is wrong usage", done.returncode == 64, done)
    done = bench("--", "true", env=dict(os.environ, PEERS="wrong=/etc/passwd"))
    expect("a peer that is no library is refused", done.returncode == 2, done)
    expect("without a program it is wrong usage", bench().returncode == 64, done)


def check_input():
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("three short lines\n" * 3)
        file.flush()
        with open(file.name, encoding="ascii") as stdin:
            done = bench("--rounds", "2", "--peers", "", "--show-output", "--", "wc", "-l",
                         stdin=stdin)
    lines = [line for line in done.stdout.splitlines() if line.strip() == "3"]
    expect("each shown run reads the input from its start", len(lines) == 4, done)


check_json()
check_endings()
check_failures()
check_refusals()
check_input()
print("lucid bench: " + (f"{len(FAILURES)} failures" if FAILURES else "fine"))
sys.exit(1 if FAILURES else 0)
