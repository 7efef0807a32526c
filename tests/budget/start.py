#!/usr/bin/python3
"""Counts what a program that allocates once pays for lucid: page faults and system calls more than
under the C library's malloc, linked with lucid and with it preloaded.

usage: start.py --library LIB --plain PROGRAM --linked PROGRAM

A fault more or less depends on where the loader puts things, so that the means of many runs are
compared. Exit code 1: more than docs/performance.md promises.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

RUNS = 60
MOST_FAULTS = 15
MOST_CALLS = {"linked": 3, "preloaded": 13}


def faults(program, env):
    child = os.posix_spawn(program, [program], env)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit(f"start.py: {program} ended with status {status}")
    return usage.ru_minflt


def mean_faults(forms):
    """Of each form, run in turns."""
    sums = dict.fromkeys(forms, 0)
    for _ in range(RUNS):
        for name, (program, env) in forms.items():
            sums[name] += faults(program, env)
    return {name: total / RUNS for name, total in sums.items()}


def calls(program, env):
    """How many system calls; None where nobody may be traced."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "trace")
        words = [f"--env={name}={value}" for name, value in env.items()]
        done = subprocess.run(["strace", "-o", out, *words, program], check=False,
                              env={"PATH": os.environ.get("PATH", "")},
                              stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            return None
        with open(out, encoding="utf-8", errors="replace") as file:
            # Where the loader looked for a linked library is a matter of the build's folders.
            lines = [line for line in file if re.match(r"\w+\(", line)]
            return len([line for line in lines if "ENOENT" not in line or "/etc/" in line])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--library", "--plain", "--linked"):
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    forms = {"plain": (options.plain, {}), "linked": (options.linked, {}),
             "preloaded": (options.plain, {"LD_PRELOAD": options.library})}
    fine = True
    means = mean_faults(forms)
    for name in ("linked", "preloaded"):
        more = means[name] - means["plain"]
        fine = fine and more <= MOST_FAULTS
        print(f"{name:10} {means[name]:.1f} faults, {more:.1f} more than {means['plain']:.1f};"
              f" at most {MOST_FAULTS}")
    counts = {}
    if shutil.which("strace") is not None:
        counts = {name: calls(*form) for name, form in forms.items()}
    if not counts or None in counts.values():
        print("system calls cannot be counted here: no strace, or no tracing")
        return 0 if fine else 1
    for name, most in MOST_CALLS.items():
        more = counts[name] - counts["plain"]
        fine = fine and more <= most
        print(f"{name:10} {counts[name]} system calls, {more} more than {counts['plain']};"
              f" at most {most}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
