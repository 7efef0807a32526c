#!/usr/bin/env python3
"""expect.py PROGRAM CASE [FUNCTION KIND [anywhere]]

Runs one misuse and demands its end: SIGABRT, and on standard error exactly one line
`PROG(PID) lucid: FUNCTION(): KIND 0xPTR (details)` that names the pointer the program announced
(`anywhere`: some other one). Without FUNCTION: exit code 0 and silence.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

SKIPPED = 77


def fail(reason, done):
    sys.exit(f"{reason}\nexit code {done.returncode}\nstandard output: {done.stdout}\n"
             f"standard error: {done.stderr}")


def main():
    program, case, *expected = sys.argv[1:]
    done = subprocess.run([program, case], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode == SKIPPED:
        print(done.stdout)
        sys.exit(SKIPPED)
    if not expected:
        if done.returncode != 0 or done.stderr:
            fail("a program without a fault must end in silence", done)
        return
    function, kind, *more = expected
    if done.returncode != -signal.SIGABRT:
        fail("it must be ended by SIGABRT", done)
    name = re.escape(Path(program).name)
    line = re.fullmatch(rf"{name}\((\d+)\) lucid: ([^()]+)\(\): ([^()]+(?: \([^()]*\) of)?) "
                        rf"(0x[0-9a-f]+) \(([^()\n]+)\)\n", done.stderr)
    if line is None:
        fail("standard error must be one report and nothing else", done)
    if (line[2], line[3]) != (function, kind):
        fail(f"the report must say {function}(): {kind}", done)
    announced = done.stdout.split()
    if not more and int(line[4], 16) != int(announced[-1], 16):
        fail("the report must name the announced pointer", done)
    print(done.stderr, end="")


main()
