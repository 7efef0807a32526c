"""A core file as small as it can be: notes, and only the memory that describes the heap.

    seed_core.py PID OUT        of a process that runs (lucid's tables and a little of its heap)
"""

import json
import os
import struct
import subprocess
import sys

PAGE = 4096


def read_maps(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        for line in maps:
            words = line.split()
            start, end = (int(word, 16) for word in words[0].split("-"))
            yield start, end, words[1], words[-1] if len(words) > 5 else ""


def touched(pid, start, end):
    """Runs of pages that are in memory."""
    with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        pagemap.seek(start // PAGE * 8)
        entries = pagemap.read((end - start) // PAGE * 8)
    first = None
    for i in range((end - start) // PAGE + 1):
        here = i < len(entries) // 8 and struct.unpack_from("<Q", entries, i * 8)[0] >> 63
        if here and first is None:
            first = i
        elif not here and first is not None:
            yield start + first * PAGE, start + i * PAGE
            first = None


def ranges(pid, root):
    """What the reader reads: the root, its tables, the first pages of the heap."""
    wanted = []
    for start, end, rights, name in read_maps(pid):
        if start <= root < end or start <= root + PAGE < end:
            wanted.append((start, end, rights))
        elif name == "[heap]":
            wanted.extend((s, min(e, s + 4 * PAGE), rights) for s, e in touched(pid, start, end))
        elif rights == "rw-p" and name == "" and end - start < 16 << 20:
            # Untouched pages between touched ones read as zeros: they belong to the tables too.
            last = max((e for _, e in touched(pid, start, end)), default=start)
            if last > start:
                wanted.append((start, min(last, start + 128 * PAGE), rights))
    return wanted


def note(kind, body):
    head = struct.pack("<III", 5, len(body), kind) + b"CORE\0\0\0\0"
    return head + body + b"\0" * (-len(body) % 4)


def write_core(pid, root, path):
    segments = ranges(pid, root)
    names = b"/usr/lib/liblucid.so\0"
    files = struct.pack("<QQQQQ", 1, PAGE, segments[0][0], segments[0][1], 0) + names
    status = bytearray(336)
    struct.pack_into("<i", status, 32, pid)
    info = bytearray(136)
    struct.pack_into("<i", info, 24, pid)
    info[40:45] = b"seed\0"
    with open(f"/proc/{pid}/auxv", "rb") as auxv:
        notes = note(1, bytes(status)) + note(3, bytes(info)) + note(6, auxv.read())
    notes += note(0x46494C45, files)
    at = 64 + 56 * (len(segments) + 1)
    headers = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(notes), 0, 4)
    body = bytearray(notes)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, rights in segments:
            flags = 4 | (2 if "w" in rights else 0) | (1 if "x" in rights else 0)
            headers += struct.pack("<IIQQQQQQ", 1, flags, at + len(body), start, 0, end - start,
                                   end - start, PAGE)
            memory.seek(start)
            body += memory.read(end - start)
    ident = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    head = ident + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56,
                               len(segments) + 1, 0, 0, 0)
    with open(path, "wb") as core:
        core.write(head + headers + bytes(body))


def main():
    pid, path = int(sys.argv[1]), sys.argv[2]
    tool = os.environ.get("LUCID", "lucid")
    answer = subprocess.run([tool, "arena", "--json", str(pid)], capture_output=True, check=True)
    write_core(pid, int(json.loads(answer.stdout)["heap"]["root"], 16), path)


if __name__ == "__main__":
    main()
