#!/usr/bin/python3
"""Looks whether what most processes never use of the library (cmake/cold.ld) is resident in one:
the code that lies apart, and more than a few pages of data; and whether the rest of the code is no
more than the kernel maps around one page of it, as a process would have the next such part resident
for little of it.

usage: cold.py --library LIB

The process is cat, which shows its own mappings. Exit code 1: it is, 77: the library has no code
apart, because another linker than GNU ld made it.
"""
import argparse
import os
import re
import subprocess
import sys


DATA_PAGES = 4  # relocated constants, both parts of the root, and one in hand
CODE_KIB = 64  # 16 pages of 4 KiB


def segments_of(smaps, library, code):
    """The mappings of the library that can be executed, or the others,
    as (size, resident) in KiB."""
    name = os.path.realpath(library)
    found = []
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", smaps):
        head, *fields = part.split("\n")
        if head.endswith(name) and (" r-xp " in head) == code:
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
    data = sum(resident for _, resident in segments_of(done.stdout, library, code=False))
    if data * 1024 > DATA_PAGES * os.sysconf("SC_PAGE_SIZE"):
        print(f"{data} KiB of data resident: more than {DATA_PAGES} pages")
        return 1
    segments = segments_of(done.stdout, library, code=True)
    if len(segments) < 2:
        print(f"{len(segments)} segment with code: nothing was set apart")
        return 77
    (hot, _), (cold, resident) = segments
    print(f"{hot} KiB in use by every process, {cold} KiB apart, {resident} KiB of it resident, "
          f"{data} KiB of data")
    if hot > CODE_KIB and os.sysconf("SC_PAGE_SIZE") == 4096:
        print(f"more than {CODE_KIB} KiB: what few processes run belongs into cmake/cold.ld")
        return 1
    return 1 if resident > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
