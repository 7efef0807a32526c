"""The table of workloads, the programs built for them and the input generated for them."""
import fnmatch
import os
import re
import subprocess
import sys

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLAGS = ["-O2", "-g", "-std=gnu11", "-pthread", "-Wall", "-Wextra", "-Wundef", "-Wshadow",
         "-Wconversion", "-Wmissing-prototypes", "-Wstrict-prototypes", "-Werror"]
LINKED = "-linked"  # ends the name of a workload that has lucid.o in it
# The compiler must neither drop nor merge the calls that are measured.
NO_BUILTIN = ["-fno-builtin-" + name for name in ("malloc", "free", "calloc", "realloc")]


class BenchError(Exception):
    """Something the user can put right; the message says how."""


class Workload:
    """One row of suite.tsv."""

    def __init__(self, name, group, quick, full, about):
        self.name, self.group, self.about = name, group, about
        self.commands = {"quick": quick, "full": full}


class Command:
    """A workload's command line, ready to be started."""

    def __init__(self, argv, env, stdin, server):
        self.argv, self.env, self.stdin, self.server = argv, env, stdin, server

    def linked(self):
        """The same command with the workload that has lucid.o in it."""
        return Command([self.argv[0] + LINKED] + self.argv[1:], self.env, self.stdin, self.server)


def read_suite():
    rows = []
    path = os.path.join(BENCH, "suite.tsv")
    with open(path, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 5:
                raise BenchError(f"{path}:{number}: five fields separated by tabs are needed,"
                                 f" this row has {len(fields)}")
            rows.append(Workload(*fields))
    return rows


def select(rows, globs):
    """The rows whose name matches one of the patterns; every pattern must match something."""
    if not globs:
        return rows
    for glob in globs:
        if not any(fnmatch.fnmatch(row.name, glob) for row in rows):
            raise BenchError(f"no workload matches '{glob}'; bench/run --list shows them all")
    return [row for row in rows if any(fnmatch.fnmatch(row.name, glob) for glob in globs)]


def newest(paths):
    return max(os.stat(path).st_mtime for path in paths)


def compile_one(source, headers, target, extra):
    if os.path.exists(target) and os.stat(target).st_mtime >= newest([source] + headers):
        return
    compiler = os.environ.get("CC", "cc").split()
    done = subprocess.run(compiler + FLAGS + extra + [source, "-o", target], check=False)
    if done.returncode != 0:
        raise BenchError(f"{source} could not be compiled; is a C compiler installed"
                         " (bench/bootstrap)?")


def build(work):
    """Compiles the launcher, the workloads and the server's client into work/bin."""
    target = os.path.join(work, "bin")
    os.makedirs(target, exist_ok=True)
    folder = os.path.join(BENCH, "workloads")
    headers = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".h")]
    for name in sorted(os.listdir(folder)):
        if name.endswith(".c"):
            compile_one(os.path.join(folder, name), headers, os.path.join(target, name[:-2]),
                        NO_BUILTIN)
    compile_one(os.path.join(BENCH, "programs", "kvload.c"), headers,
                os.path.join(target, "kvload"), [])
    compile_one(os.path.join(BENCH, "launch.c"), [], os.path.join(target, "launch"), ["-static"])
    return target


def build_linked(work, library):
    """The start-up probe linked with lucid.o, if that lies beside the library. Returns whether."""
    linked_object = os.path.join(os.path.dirname(library), "lucid.o")
    source = os.path.join(BENCH, "workloads", "once.c")
    target = os.path.join(work, "bin", "once" + LINKED)
    if not os.path.isfile(linked_object):
        return False
    compile_one(source, [linked_object], target, NO_BUILTIN + [linked_object])
    return True


def generated(work, kind, scale):
    """The path of a generated input file, written on first use."""
    generator = os.path.join(BENCH, "programs", "generate.py")
    suffix = {"c": ".c", "sql": ".sql", "smt": ".smt2"}.get(kind, ".txt")
    path = os.path.join(work, "input", f"{kind}-{scale}{suffix}")
    if os.path.exists(path) and os.stat(path).st_mtime >= os.stat(generator).st_mtime:
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as out:
        done = subprocess.run([sys.executable, generator, kind, scale], stdout=out, check=False)
    if done.returncode != 0:
        raise BenchError(f"programs/generate.py {kind} {scale} failed")
    os.rename(path + ".part", path)
    return path


def command(workload, size, work):
    """Expands a row's command; raises BenchError when its program is not installed."""
    text = workload.commands[size]
    text = text.replace("{programs}", os.path.join(BENCH, "programs"))
    text = text.replace("{bin}", os.path.join(work, "bin"))
    text = re.sub(r"\{gen:(\w+):(\d+)\}", lambda m: generated(work, m[1], m[2]), text)
    argv, env, stdin, server = [], {}, None, False
    for token in text.split():
        if not argv and token == "@server":
            server = True
        elif not argv and re.match(r"[A-Z_]+=", token):
            key, value = token.split("=", 1)
            env[key] = value
        elif token.startswith("<"):
            stdin = token[1:]
        else:
            argv.append(token)
    if "/" not in argv[0]:
        argv[0] = os.path.join(work, "bin", argv[0])
    for path in [argv[0]] + [word for word in argv[1:] if word.startswith("/usr/bin/")]:
        if not os.access(path, os.X_OK):
            raise BenchError(f"{workload.name}: {path} is not installed; bench/bootstrap does it")
    return Command(argv, env, stdin, server)
