#!/usr/bin/env python3
"""reading.py COMMAND PROGRAM [LIBRARY]: the lucid command reads the heap of such a process.

PROGRAM is made of program.c; it waits for its input to end. It is started with LIBRARY preloaded,
or with none. With one, `lucid tour` also stops it at its calls of malloc and free. Exit code 0, 1
for an answer that is not as it should be.
"""

import os
import re
import subprocess
import sys


def ask(command, *words):
    done = subprocess.run([command, *map(str, words)], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(f"lucid {words} says {done.returncode}: {done.stdout}")
    return done.stdout


def main(command, program, library=None):
    env = {**os.environ, **({"LD_PRELOAD": library} if library else {})}
    with subprocess.Popen([program, "lucid", "wait"], stdin=subprocess.PIPE, env=env,
                          stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "all well\n":
            sys.exit(f"{program} ends with {process.wait()}")
        for word in ("heap", "bins", "arena", "map", "stats", "check"):
            ask(command, word, process.pid)
        if "in use" not in ask(command, "verify", process.pid):
            sys.exit(f"lucid verify does not know {program}")
        process.stdin.close()
    if library is not None:
        said = ask(command, "tour", program, "lucid")
        if not re.search(r"malloc\(\d+\) returned 0x", said) or "free(0x" not in said:
            sys.exit(f"lucid tour met no malloc or no free: {said}")


main(*sys.argv[1:])
