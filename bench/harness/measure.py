"""Runs one workload under one allocator and reads what it used."""
import contextlib
import hashlib
import os
import random
import re
import shutil
import subprocess

from .suite import BenchError

TICK_MS = 1000.0 / os.sysconf("SC_CLK_TCK")


class Run:
    """The figures of one run. `fault` says in words what went wrong, or is empty."""

    def __init__(self, fields, output, notes, machine, fault):
        self.wall = fields.get("wall_ns", 0) / 1e9
        self.user = fields.get("user_us", 0) / 1e6
        self.sys = fields.get("sys_us", 0) / 1e6
        self.rss = fields.get("rss_kib", 0)
        self.minor, self.major = fields.get("minflt", 0), fields.get("majflt", 0)
        self.switches = fields.get("nvcsw", 0) + fields.get("nivcsw", 0)
        self.output, self.notes, self.fault = output, notes, fault
        self.steal_ms = machine["steal"]
        # What everybody else ran meanwhile. It is counted in ticks of 10 ms, so two are forgiven.
        self.foreign_ms = max(0.0, machine["busy"] - 1000 * self.cpu)
        self.disturbed = self.foreign_ms > 2 * TICK_MS + 150 * self.wall

    @property
    def cpu(self):
        return self.user + self.sys


def machine_now():
    """Milliseconds since boot, all processors together: at work, and taken by the hypervisor."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) * TICK_MS for word in stat.readline().split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = ticks
    return {"busy": user + nice + system + irq + softirq, "steal": steal}


HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled"


def huge_pages():
    try:
        with open(HUGE_PAGES, encoding="ascii") as mode:
            return re.search(r"\[(\w+)\]", mode.read())[1]
    except OSError:
        return "unknown"


@contextlib.contextmanager
def huge_pages_set(mode):
    """The whole system's huge pages are in this mode meanwhile; None leaves them as they are."""
    before = huge_pages()
    if mode is None or mode == before:
        yield
        return
    try:
        with open(HUGE_PAGES, "w", encoding="ascii") as file:
            file.write(mode)
    except OSError as error:
        raise BenchError(f"--huge-pages {mode}: {HUGE_PAGES} cannot be written"
                         f" ({error.strerror}); run as root, or leave the option out") from error
    try:
        yield
    finally:
        with open(HUGE_PAGES, "w", encoding="ascii") as file:
            file.write(before)


def environment(extra):
    env = {key: value for key, value in os.environ.items()
           if key not in ("LD_PRELOAD", "BENCH_PRELOAD", "PEERS", "LUCID")}
    env.update(extra)
    # The place of the stack depends on the size of the environment; a new one each run keeps
    # the results from being tuned to one layout.
    env["BENCH_PAD"] = "x" * random.randrange(4096)
    return env


def read_output(path):
    """A hash of what the program printed, and its lines of measurements (they begin with #)."""
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    notes = [line.decode("ascii", "replace") for line in lines if line.startswith(b"# ")]
    rest = b"\n".join(line for line in lines if not line.startswith(b"# "))
    return hashlib.sha256(rest).hexdigest()[:16], notes


def fault_of(fields, errors):
    if not fields:
        return "could not be started: " + errors
    if fields["timeout"]:
        return "did not end in time"
    if fields["signal"]:
        return f"died of signal {fields['signal']}: {errors}"
    if fields["exit"]:
        return f"exit code {fields['exit']}: {errors}"
    return ""


def first_line(path):
    with open(path, "rb") as file:
        return file.readline(200).decode("utf-8", "replace").strip()


def preloads(command, library):
    """No library: the program has the allocator in it. The C library is there anyway. Naming it
    first matters only to a program that is linked with another allocator, as the server is;
    elsewhere it would save the loader a few calls."""
    return library is not None and (
        command.server or os.path.basename(library) != "libc.so.6")


def run(command, library, work, seconds):
    """One run of a command with the library preloaded."""
    out, err = os.path.join(work, "stdout"), os.path.join(work, "stderr")
    for path in (out, err):
        with open(path, "wb"):
            pass
    argv = [os.path.join(work, "bin", "launch"), "-o", out, "-x", err, "-t", str(seconds)]
    if preloads(command, library):
        argv += ["-e" if command.server else "-p", library]
    if command.stdin:
        argv += ["-i", command.stdin]
    before = machine_now()
    done = subprocess.run(argv + ["--"] + command.argv, env=environment(command.env),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    machine = {key: value - before[key] for key, value in machine_now().items()}
    fields = {key: int(value) for key, value in
              (word.split("=") for word in done.stdout.decode().split())}
    output, notes = read_output(out)
    fault = fault_of(fields, first_line(err) or done.stderr.decode("utf-8", "replace").strip())
    return Run(fields, output, notes, machine, fault)


def syscalls(command, library, work):
    """How many system calls the whole run makes, counted by strace; None when it cannot be."""
    if shutil.which("strace") is None:
        return None
    count = os.path.join(work, "strace")
    variable = "BENCH_PRELOAD" if command.server else "LD_PRELOAD"
    argv = ["strace", "-f", "-c", "-o", count]
    if preloads(command, library):
        argv += ["-E", f"{variable}={library}"]
    argv += command.argv
    with open(command.stdin or os.devnull, "rb") as stdin:
        subprocess.run(argv, env=environment(command.env), stdin=stdin, timeout=120,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    with open(count, encoding="ascii", errors="replace") as table:
        for line in table:
            words = line.split()
            if words and words[-1] == "total":
                return int(words[3])
    return None
