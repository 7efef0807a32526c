#!/usr/bin/env python3
"""sweep.py [--every] [--options LUCID_OPTIONS] PROGRAM [SYSCALL...]

Runs PROGRAM once for each single call it makes of each system call after it wrote "begin", with
that one call failing (strace -e inject), and demands exit code 0 and no report each time. Without
--every: the first calls of each kind, and some of the others. Prints what was covered.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The failure as the kernel or a filter reports it. brk answers with the break instead of an error.
FAULTS = {
    "brk": "retval=0",
    "mmap": "error=ENOMEM",
    "munmap": "error=ENOMEM",
    "mremap": "error=ENOMEM",
    "mprotect": "error=ENOMEM",
    "madvise": "error=EINVAL",
    "futex": "error=EAGAIN",
    "clone": "error=EAGAIN",
    "clone3": "error=EAGAIN",
    "prctl": "error=EINVAL",
    "rt_sigprocmask": "error=EINVAL",
    "rt_sigaction": "error=EINVAL",
    "sysinfo": "error=EFAULT",
    "prlimit64": "error=EPERM",
    "getrandom": "error=EAGAIN",
}
FIRST_SITES = 8   # of each system call
OTHER_SITES = 8   # and so many of the rest, evenly spread


def trace(program, log, *options):
    return subprocess.run(["strace", "-f", "-o", log, *options, program], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=100, check=False)


def count_calls(program, folder):
    """{system call: (calls before "begin", calls in all)}"""
    log = folder / "all"
    done = trace(program, log)
    if done.returncode != 0 or not log.exists():
        print(f"strace cannot run the program here: {done.stderr.strip()}")
        sys.exit(77)
    counts = {name: [0, 0] for name in FAULTS}
    begun = False
    for line in log.read_text(errors="replace").splitlines():
        begun = begun or '"begin\\n"' in line
        match = re.match(r"\d+\s+(\w+)\(", line)
        if match and match[1] in counts:
            counts[match[1]][1] += 1
            counts[match[1]][0] += not begun
    return counts


def run_one(program, folder, name, number):
    log = folder / f"{name}.{number}"
    done = trace(program, log, "-e", f"trace={name}",
                 "-e", f"inject={name}:{FAULTS[name]}:when={number}")
    reached = "(INJECTED)" in log.read_text(errors="replace")
    log.unlink()
    # That hardened mode cannot begin is a report, too, but no failure.
    reports = [line for line in done.stderr.splitlines()
               if " lucid: " in line and not line.endswith("it stays off")]
    if done.returncode != 0 or reports:
        sys.exit(f"with call {number} of {name} failing: exit code {done.returncode}\n"
                 f"{done.stderr}")
    return reached


def spread(first, last, every):
    """The numbers of the calls that shall fail."""
    if every:
        return [*range(first, last + 1)]
    rest = range(first + FIRST_SITES, last + 1)
    step = max(1, len(rest) // OTHER_SITES)
    return [*range(first, min(last, first + FIRST_SITES - 1) + 1), *rest[::step]]


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--options")
    parser.add_argument("program")
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def main():
    chosen = arguments()
    if shutil.which("strace") is None:
        print("strace is not installed")
        sys.exit(77)
    if chosen.options:
        os.environ["LUCID_OPTIONS"] = chosen.options
    total = 0
    with tempfile.TemporaryDirectory(prefix="lucid-sweep-") as place, ThreadPoolExecutor(2) as pool:
        folder = Path(place)
        counts = count_calls(chosen.program, folder)
        for name in chosen.names or FAULTS:
            before, after = counts[name]
            numbers = spread(before + 1, after, chosen.every)
            reached = sum(pool.map(lambda n, name=name: run_one(chosen.program, folder, name, n),
                                   numbers))
            print(f"{name:15} {reached:3} calls failed one by one, of {after - before}", flush=True)
            total += reached
    print(f"{total} faults in all: refused with ENOMEM or survived")
    if total < 30:
        sys.exit("the workload reaches too little")


main()
