#!/usr/bin/python3
"""Looks whether the code that most processes never run (cmake/cold.ld) is resident in one of them.

usage: cold.py --library LIB

The process is cat, which shows its own mappings. Exit code 1: it touched that segment, 77: the
library has no such segment, because another linker than GNU ld made it.
"""
import argparse
import os
import re
import subprocess
import sys


def code_segments(smaps, library):
    """The mappings of the library that can be executed, as (size, resident) in KiB."""
    name = os.path.realpath(library)
    found = []
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps):
        head, *fields = part.split("\n")
        if head.endswith(name) and " r-xp " in head:
            values = dict(re.findall(r"^(\w+): +(\d+) kB$", "\n".join(fields), re.MULTILINE))
            found.append((int(values["Size"]), int(values["Rss"])))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True)
    library = parser.parse_args().library
    done = subprocess.run(["cat", "/proc/self/smaps"], env={**os.environ, "LD_PRELOAD": library},
                          check=True, capture_output=True, text=True)
    segments = code_segments(done.stdout, library)
    if len(segments) < 2:
        print(f"{len(segments)} segment with code: nothing was set apart")
        return 77
    (hot, _), (cold, resident) = segments
    print(f"{hot} KiB in use by every process, {cold} KiB apart, {resident} KiB of it resident")
    return 1 if resident > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
