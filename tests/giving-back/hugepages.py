"""The system's settings for transparent huge pages, set for one test and put back."""

import fcntl
import mmap
import re
import time
from pathlib import Path

FOLDER = Path("/sys/kernel/mm/transparent_hugepage")
ENABLED = FOLDER / "enabled"
EAGER = {"scan_sleep_millisecs": "10", "alloc_sleep_millisecs": "10", "pages_to_scan": "1000000"}
SCANS_SECONDS = 60
WORK_BYTES = 8 << 20


def enabled():
    return re.search(r"\[(\w+)\]", ENABLED.read_text(encoding="ascii"))[1]


def lock(case):
    """One test at a time, of all that run on this machine: each puts back what it found."""
    if getattr(case, "huge_lock", None) is not None:
        return
    if not ENABLED.exists():
        case.skipTest("the kernel has no transparent huge pages")
    case.huge_lock = open(ENABLED, encoding="ascii")
    case.addCleanup(case.huge_lock.close)
    fcntl.flock(case.huge_lock, fcntl.LOCK_EX)


def write(case, path, value):
    """Until the end of the test; a test that cannot have it is skipped."""
    before = re.sub(r".*\[(\w+)\].*", r"\1", path.read_text(encoding="ascii").strip())
    if before == value:
        return
    try:
        path.write_text(value, encoding="ascii")
    except OSError as error:
        case.skipTest(f"{path} is {before} and cannot be written: {error}")
    case.addCleanup(path.write_text, before, encoding="ascii")


def set_system(case, setting):
    lock(case)
    write(case, ENABLED, setting)


def make_khugepaged_eager(case):
    """pre: locked."""
    for name, value in EAGER.items():
        write(case, FOLDER / "khugepaged" / name, value)
    # Where huge pages are on request it does not run at all until a process has asked for one.
    work = mmap.mmap(-1, WORK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    case.addCleanup(work.close)
    work.madvise(mmap.MADV_HUGEPAGE)
    work.write(bytes(WORK_BYTES))


def full_scans():
    return int((FOLDER / "khugepaged" / "full_scans").read_text(encoding="ascii"))


def wait_for_khugepaged(case):
    """Until it has been everywhere at least twice from now on.
    Where there are none it never comes."""
    if enabled() == "never":
        return
    first = full_scans()
    end = time.monotonic() + SCANS_SECONDS
    while full_scans() < first + 3:
        if time.monotonic() > end:
            case.skipTest("khugepaged does not come round on this machine")
        time.sleep(0.02)
