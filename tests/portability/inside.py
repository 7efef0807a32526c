"""Runs in the guest, as inside.py JOBS.json: each job in turn, one line for each.

A job is a test as `ctest --show-only=json-v1` writes it, or a list of pairs (program and how it
ends). The lines that begin with "guest:" are for the host.
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time

SLOW = 6  # an emulated processor beside a real one
# What a test says that needs a program which is not in the guest.
TOOL_MISSING = r"No such file or directory: '(cc|nm|strip|objcopy|readelf|gdb|gcore|valgrind)'"
lines = threading.Lock()


def tell(text):
    with lines:
        print(text, flush=True)


def properties(test):
    return {row["name"]: row["value"] for row in test.get("properties", [])}


def environment(given):
    words = dict(word.split("=", 1) for word in given)
    return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LC_ALL": "C.UTF-8",
            "TERM": "dumb", **words}


def run(test):
    """(how it ended, what it said)"""
    facts = properties(test)
    try:
        done = subprocess.run(test["command"], env=environment(facts.get("ENVIRONMENT", [])),
                              cwd=facts.get("WORKING_DIRECTORY"), check=False, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=facts.get("TIMEOUT", 100) * SLOW)
    except subprocess.TimeoutExpired as late:
        return "failed", f"{late}\n{late.stdout}"
    except OSError as wrong:
        return "failed", str(wrong)
    if done.returncode == facts.get("SKIP_RETURN_CODE"):
        return "skipped", done.stdout
    missing = re.search(TOOL_MISSING, done.stdout)
    if missing is not None:
        return "skipped", f"{missing[1]} is not here"
    if done.returncode != 0:
        return "failed", f"exit code {done.returncode}\n{done.stdout}"
    return "passed", done.stdout


def work(tests):
    while True:
        try:
            test = tests.get_nowait()
        except queue.Empty:
            return
        begin = time.monotonic()
        ended, said = run(test)
        tell(f"guest: {ended} {test['name']} {time.monotonic() - begin:.1f} s")
        if ended != "passed":
            tell("\n".join("guest|  " + line for line in said[-3000:].splitlines()))


def main(path):
    with open(path, encoding="utf-8") as file:
        tests = queue.SimpleQueue()
        for test in json.load(file):
            tests.put(test)
    tell(f"guest: pages of {os.sysconf('SC_PAGESIZE')} bytes, Linux {os.uname().release}")
    workers = [threading.Thread(target=work, args=(tests,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tell("guest: done")


main(sys.argv[1])
