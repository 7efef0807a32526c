#!/usr/bin/env python3
"""Runs the Promela model: as it is, or with one step broken at a time.

usage: spin.py spin|spin_controls --model FILE --compiler CC --work FOLDER
exit code: 0 as it should be, 1 not, 2 spin could not do its work, 77 spin is missing
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

# Every macro that the model knows, from the model itself.
BROKEN = re.compile(r"^#if(?:n?def) (BREAK_\w+)", re.MULTILINE)


def verify(options, definitions):
    """The errors that spin found (0 or 1) and the number of states."""
    name = "_".join(definitions) or "as_it_is"
    folder = options.work / name
    folder.mkdir(parents=True, exist_ok=True)
    defines = ["-D" + definition for definition in definitions]
    subprocess.run(["spin", *defines, "-a", str(options.model)], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    # Not optimized: that would take longer than the searches do.
    subprocess.run([options.compiler, "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048",
                    "-DMEMLIM=3000", "-o", "pan", "pan.c"], cwd=folder, check=True)
    run = subprocess.run(["./pan", "-m3000000", "-w24"], cwd=folder, capture_output=True, text=True,
                         timeout=550, check=False)
    errors = re.search(r"errors: (\d+)", run.stdout)
    states = re.search(r"(\d+) states, stored", run.stdout)
    if errors is None or states is None or "max search depth too small" in run.stdout or \
            "out of memory" in run.stdout:
        sys.exit(f"spin did not finish:\n{run.stdout}{run.stderr}")
    reason = re.search(r"pan:1: (.*) \(at depth", run.stdout)
    return int(errors.group(1)), int(states.group(1)), reason.group(1) if reason else ""


def as_it_is(options):
    bad = 0
    for definitions in (["SPANS=1", "N=2"], ["SPANS=1", "N=3"], ["SPANS=2", "N=1"],
                        ["SPANS=2", "N=2", "GIVERS=1"], ["SPANS=1", "N=2", "LOOKED_AFTER"]):
        errors, states, reason = verify(options, definitions)
        print(f"{' '.join(definitions):26} {states:10} states: {reason or 'no error'}", flush=True)
        bad += errors
    return 1 if bad else 0


def controls(options):
    names = sorted(set(BROKEN.findall(options.model.read_text(encoding="utf-8"))))
    missed = 0
    for name in names:
        errors, states, reason = verify(options, [name, "SPANS=1", "N=2"])
        print(f"{name:22} {states:10} states: {reason or 'NOT FOUND'}", flush=True)
        missed += errors == 0
    print(f"{len(names) - missed} of {len(names)} broken protocols were found")
    return 1 if missed or not names else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["spin", "spin_controls"])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    options = parser.parse_args()
    if shutil.which("spin") is None:
        print("spin is missing; install the package spin")
        return 77
    return as_it_is(options) if options.kind == "spin" else controls(options)


if __name__ == "__main__":
    sys.exit(main())
