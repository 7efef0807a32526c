#!/usr/bin/python3
"""Tests that bench/run refuses what cannot work with one sentence, before it builds or runs.

usage: check_refusals.py LIBLUCID
"""
import os
import subprocess
import sys
import tempfile

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run")
FAILURES = []


def check(work, what, says, *words):
    done = subprocess.run([RUN, "--only", "once", "--rounds", "1", "--no-curves",
                           "--peers", "glibc", "--work", work, *words],
                          capture_output=True, text=True, check=False,
                          env=dict(os.environ, LUCID=sys.argv[1]))
    lines = done.stderr.splitlines()
    holds = (done.returncode == 2 and done.stdout == "" and lines and says in lines[-1]
             and "Traceback" not in done.stderr and "round 1" not in done.stderr
             and not os.path.exists(os.path.join(work, "bin")))
    if not holds:
        FAILURES.append(what)
        print(f"FAILED: {what}\n  exit {done.returncode}\n  {done.stdout}\n  {done.stderr}")


with tempfile.TemporaryDirectory(prefix="lucid-bench-") as folder:
    for option in ("--csv", "--svg", "--png"):
        name = f"/nonexistent/x.{option[2:]}"
        check(folder, f"{option} in a folder that is not there",
              f"bench/run: {name} cannot be written (No such file or directory)", option, name)
    check(folder, "--csv is a folder", f"bench/run: {folder} cannot be written", "--csv", folder)
    check(folder, "--timeout 0", "--timeout must be at least 1 second", "--timeout", "0")
    if os.listdir(folder):
        FAILURES.append("something was left behind")
        print(f"FAILED: left behind: {os.listdir(folder)}")
check("/proc/x", "--work where no folder can be made", "bench/run: --work /proc/x is no folder")
check("/proc", "--work where nothing can be written", "bench/run: --work /proc is no folder")
check("/dev/null", "--work that is a file", "bench/run: --work /dev/null is no folder")
print("bench/run: " + (f"{len(FAILURES)} failures" if FAILURES else "fine"))
sys.exit(1 if FAILURES else 0)
