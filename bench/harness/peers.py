"""The allocators: lucid, a copy of it that shows the noise, and the peers."""
import glob
import os
import shutil

from .suite import BENCH, BenchError

LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")

# name, Debian package, file name.
DEBIAN = (
    ("glibc", "libc6", "libc.so.6"),
    ("jemalloc", "libjemalloc2", "libjemalloc.so.2"),
    ("mimalloc", "libmimalloc2.0", "libmimalloc.so.2"),
    ("tcmalloc", "libtcmalloc-minimal4", "libtcmalloc_minimal.so.4"),
    ("tbbmalloc", "libtbbmalloc2", "libtbbmalloc_proxy.so.2"),
    ("scudo", "libclang-rt-14-dev",
     "/usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"),
)


def find(file):
    patterns = [file] if file.startswith("/") else [os.path.join(d, file) for d in LIBRARIES]
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            return path
    return None


def from_environment():
    """The peers named in PEERS=name=path,name=path."""
    peers = {}
    for entry in filter(None, os.environ.get("PEERS", "").split(",")):
        name, _, path = entry.partition("=")
        if not name or not os.path.isfile(path):
            raise BenchError(f"PEERS: '{entry}' is not NAME=PATH of an existing library")
        peers[name] = os.path.abspath(path)
    return peers


def lucid_path():
    path = os.environ.get("LUCID") or os.path.join(os.path.dirname(BENCH), "build", "liblucid.so")
    if not os.path.isfile(path):
        raise BenchError(f"{path} does not exist; build it with make, or set LUCID=PATH")
    return os.path.abspath(path)


def collect(wanted, work):
    """Name to library for lucid, its copy and the peers, and the names that are missing."""
    allocators = {"lucid": lucid_path()}
    allocators["lucid-null"] = os.path.join(work, "liblucid-null.so")
    shutil.copyfile(allocators["lucid"], allocators["lucid-null"])
    extra, missing = from_environment(), []
    for name, package, file in DEBIAN:
        if wanted and name not in wanted:
            continue
        path = find(file)
        if path is None:
            missing.append(f"{name} ({package})")
        else:
            allocators[name] = path
    for name, path in extra.items():
        if not wanted or name in wanted:
            allocators[name] = path
    for name in wanted or ():
        if name not in allocators and name not in [entry[0] for entry in DEBIAN]:
            raise BenchError(f"no peer is called '{name}'; known are"
                             f" {', '.join([e[0] for e in DEBIAN] + list(extra))}")
    return allocators, missing
