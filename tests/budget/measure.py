#!/usr/bin/python3
"""Counts the instructions of malloc and free with callgrind and holds them against the budget.

usage: measure.py --library LIB --program PAIRS --compiler NAME [--budget FILE] [--update]

Each case runs twice, for two numbers of calls; the difference leaves out the start and whatever
happens once. More than 1% above the stored figure is a failure. The target of a case is what it
should come down to; as long as it has not, the line says so. --update writes the measured figures
into the budget file. Exit code 77: skipped.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

SHORT, LONG = 32000, 64000  # calls; multiples of a burst
SLACK = 0.01
CALLERS = {"take": "malloc", "give": "free"}


class CannotMeasure(Exception):
    """The measurement itself failed; the message says why."""


def inclusive(path):
    """Calls and inclusive instructions of what take() and give() called, from callgrind's file.

    A line fn=(ID) NAME names the function that spends; the name is written only the first time.
    A line calls=COUNT ... is followed by one whose second number is the inclusive cost.
    """
    names, function, calls, totals = {}, None, None, {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            named = re.match(r"c?fn=\((\d+)\)(?: (\S+))?", line)
            if named:
                name = names.setdefault(named[1], named[2])
                function = name if line.startswith("fn=") else function
            elif line.startswith("calls="):
                calls = int(line[6:].split()[0])
            elif calls is not None:
                if function in CALLERS:
                    known = totals.get(function, (0, 0))
                    totals[function] = (known[0] + calls, known[1] + int(line.split()[1]))
                calls = None
    return totals


def strip(options, folder):
    """Copies without debug information: valgrind 3.19 gives up on what clang 14 writes."""
    for name in ("library", "program"):
        copy = os.path.join(folder, name)
        done = subprocess.run(["objcopy", "--strip-debug", getattr(options, name), copy],
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise CannotMeasure(done.stderr.decode("utf-8", "replace").strip())
        setattr(options, name, copy)


def count(options, case, times):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind.out")
        env = dict(os.environ, LD_PRELOAD=options.library, LD_BIND_NOW="1")
        env.pop("LUCID_OPTIONS", None)
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", options.program, case,
             str(times)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise CannotMeasure(f"{case}: exit code {done.returncode} under callgrind:\n"
                                + done.stderr.decode("utf-8", "replace")[-800:])
        return inclusive(out)


def per_call(options, case):
    """Instructions of one malloc and of one free in the steady state."""
    short, long = count(options, case, SHORT), count(options, case, LONG)
    result = []
    for caller, callee in CALLERS.items():
        if caller not in long or long[caller][0] - short[caller][0] != LONG - SHORT:
            raise CannotMeasure(f"{case}: callgrind did not see every call of {callee}")
        result.append((long[caller][1] - short[caller][1]) / (LONG - SHORT))
    return result


def read_budget(path):
    """(compiler, case) to [malloc, free, target]; the target is None where there is none."""
    budget = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words and not words[0].startswith("#"):
                target = None if words[4] == "-" else float(words[4])
                budget[words[0], words[1]] = [float(words[2]), float(words[3]), target]
    return budget


def write_budget(path, budget):
    with open(path, encoding="ascii") as file:
        head = [line for line in file if line.startswith("#")]
    with open(path, "w", encoding="ascii") as file:
        file.writelines(head)
        for (compiler, case), (malloc, free, target) in sorted(budget.items()):
            aim = "-" if target is None else f"{target:g}"
            file.write(f"{compiler:9} {case:17} {malloc:7.2f} {free:7.2f} {aim:>6}\n")


def judge(case, measured, stored):
    """Prints one line; True when the case keeps its budget."""
    pair, budget, target = sum(measured), stored[0] + stored[1], stored[2]
    change = 100 * (pair / budget - 1)
    verdict = "fine" if target is None or pair <= target else f"above the target of {target:g}"
    if pair > budget * (1 + SLACK):
        verdict = f"FAILED: the budget is {budget:.2f}, this is {pair - budget:+.2f}"
    elif pair < budget * (1 - SLACK):
        verdict = "better than the budget; store it with --update"
    print(f"{case:17} malloc {measured[0]:6.2f} free {measured[1]:6.2f} pair {pair:6.2f}"
          f" ({change:+.2f}%)  {verdict}")
    return not verdict.startswith("FAILED")


def run(options):
    budget = read_budget(options.budget)
    mine = {case: row for (compiler, case), row in budget.items() if compiler == options.compiler}
    if not mine:
        print(f"no budget is stored for {options.compiler}; budget.txt has"
              f" {', '.join(sorted({key[0] for key in budget}))}")
        return 77
    fine = True
    for case, stored in mine.items():
        measured = per_call(options, case)
        if options.update:
            budget[options.compiler, case] = measured + [stored[2]]
            print(f"{case:17} malloc {measured[0]:6.2f} free {measured[1]:6.2f}")
        else:
            fine = judge(case, measured, stored) and fine
    if options.update:
        write_budget(options.budget, budget)
    return 0 if fine else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--library", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--compiler", required=True, help="whose row: gcc-12 or clang-14")
    parser.add_argument("--budget", default=os.path.join(here, "budget.txt"))
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    for tool in ("valgrind", "objcopy"):
        if shutil.which(tool) is None:
            print(f"{tool} is not installed; the instructions cannot be counted")
            return 77
    try:
        with tempfile.TemporaryDirectory() as folder:
            strip(options, folder)
            return run(options)
    except CannotMeasure as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
