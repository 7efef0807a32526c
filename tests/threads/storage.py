#!/usr/bin/env python3
"""liblucid.so's share of thread-local storage: at most 64 bytes, reached without a call."""

import re
import subprocess
import sys

LIMIT = 64


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def main():
    library = sys.argv[1]
    segment = re.search(r"^\s*TLS\s+(?:0x\w+\s+){4}(0x\w+)", readelf("-l", library), re.MULTILINE)
    if segment is None:
        sys.exit(f"{library}: no TLS segment: how does a thread find its heap?")
    size = int(segment[1], 16)
    print(f"{size} bytes of thread-local storage, of {LIMIT} allowed")
    if size > LIMIT:
        sys.exit(f"{size} bytes are more than {LIMIT}")
    if "STATIC_TLS" not in readelf("-d", library):
        sys.exit("the library is not marked STATIC_TLS: the initial-exec model is not in force")
    if "__tls_get_addr" in readelf("--dyn-syms", library):
        sys.exit("__tls_get_addr is called, which may itself call malloc")


main()
