#!/usr/bin/env python3
"""matrix.py BUILD ROW...: the library built for another machine, C library, compiler or page size.

Each row is configured and built in BUILD/portability/ROW. Then program.c runs there preloaded,
linked with the library, and static with liblucid.a and with lucid.o; then tests of this project.
The rows kernel-* do both under a kernel of that machine in qemu (guest.py).
`--quick`: fewer of them, as ctest does it. `--list`: the names of the rows. `--all`: all rows; a
row that cannot run is left out with a reason. One row alone exits with 77 for that.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import arm64
import guest

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
MUSL = "/usr/lib/x86_64-linux-musl"
ARM_ROOT = "/usr/aarch64-linux-gnu"
ARM = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
QEMU = ["qemu-aarch64", "-L", ARM_ROOT]
# The rest measures the memory of a process, of which qemu has its own share, or asks for huge
# address ranges, for which it looks for minutes.
UNDER_QEMU = r"^(stress\.|threads\.roles$|limits\.break_(never|later|foreign|unknown))"
UNDER_QEMU_QUICK = r"^(stress\.one_thread|threads\.roles|limits\.break_never)$"
# Left out under a kernel of its own: what takes too long there.
NOT_IN_GUEST = r"^(reader\.damaged_cores|reader\.frozen_anywhere.*|limits\.sweep_strace.*)$"
QUICK = r"^(stress\.(one_thread|threads)|limits\.edges|threads\.roles)$"


class Row:
    """How to build for one kind of place, how to run what was built, and which tests run there."""

    def __init__(self, needs, compiler, options=(), emulator=(), folders="stress;limits;threads",
                 tests=".", but="^$", quick=QUICK):
        self.needs, self.compiler, self.emulator = needs, list(compiler), list(emulator)
        self.options, self.folders = list(options), folders
        self.tests, self.but, self.quick = tests, but, quick
        self.quick_folders = "stress;unit;reader" if "unit" in folders else "stress;limits;threads"
        self.page = None

    def missing(self):
        """The package that is missing, or None."""
        for program, package in self.needs.items():
            if shutil.which(program) is None and not Path(program).exists():
                return package
        return None


MUSL_NEEDS = {"musl-gcc": "musl-tools", f"{MUSL}/libc.so": "musl-dev"}
ARM_NEEDS = {"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "qemu-aarch64": "qemu-user",
             f"{ARM_ROOT}/lib/libc.so": "libc6-dev-arm64-cross"}


def pages(size):
    return Row({}, ["cc"], [f"-DLUCID_PAGE_SIZE={size}", "-DLUCID_TOOLS=ON"],
               folders="stress;limits;threads;unit;reader;fork;fuzz;misuse",
               # The seeds of damaged cores, and a page that goes while its span stays, are made
               # for small pages.
               but=r"^(reader\.damaged_cores|misuse\.matrix)$",
               quick=r"^(unit\.|stress\.(one_thread|threads)$|reader\.(heap|check|a_busy|"
                     r"core_of_(gcore|the_kernel)$))")


def kernel(page):
    """Under a kernel with such pages, the program, the tests, and the command."""
    needs = {"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "dpkg-deb": "dpkg",
             "qemu-system-aarch64": "qemu-system-arm", **ARM_NEEDS}
    row = Row(needs, ["aarch64-linux-gnu-gcc"],
              [*ARM, "-DLUCID_TOOLS=ON", "-DPython3_EXECUTABLE=/usr/bin/python3"],
              folders="stress;limits;threads;unit;fork;misuse;reader", but=NOT_IN_GUEST)
    row.page = page
    return row


ROWS = {
    "musl": Row(MUSL_NEEDS, ["musl-gcc"], folders="stress;limits;threads;fork;misuse"),
    "aarch64": Row(ARM_NEEDS, ["aarch64-linux-gnu-gcc"], ARM, QEMU, tests=UNDER_QEMU,
                   quick=UNDER_QEMU_QUICK),
    "pages-16k": pages(16384),
    "pages-64k": pages(65536),
    "pages-4k": pages(4096),
    "clang": Row({"clang": "clang"}, ["clang"], folders="stress;limits;threads;fork;misuse"),
    "musl-clang": Row({**MUSL_NEEDS, "clang": "clang"}, [str(HERE / "musl-clang")]),
    "aarch64-clang": Row({**ARM_NEEDS, "clang": "clang"}, ["clang", "--target=aarch64-linux-gnu"],
                         ARM, QEMU, tests=UNDER_QEMU, quick=UNDER_QEMU_QUICK),
    "kernel-4k": kernel(4096),
    "kernel-16k": kernel(16384),
}


class Failure(Exception):
    pass


def run(command, seconds=900, env=None, wanted=0):
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("LUCID_", "LD_", "MALLOC_"))}
    done = subprocess.run([str(word) for word in command], env={**clean, **(env or {})}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, errors="replace",
                          stderr=subprocess.STDOUT, timeout=seconds, check=False)
    if done.returncode != wanted:
        words = " ".join(map(str, command))
        raise Failure(f"{words}\nexit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def build(row, folder, quick, env=None, more=()):
    folders = row.quick_folders if quick else row.folders
    jobs = str(min(2, os.cpu_count() or 1))
    run(["cmake", "-S", SOURCE, "-B", folder, f"-DCMAKE_C_COMPILER={';'.join(row.compiler)}",
         "-DCMAKE_CXX_COMPILER=NOTFOUND", "-DLUCID_TOOLS=OFF", "-DLUCID_TESTS=ON",
         f"-DLUCID_TEST_FOLDERS={folders}",
         f"-DCMAKE_CROSSCOMPILING_EMULATOR={';'.join(row.emulator)}", *row.options, *more], env=env)
    run(["cmake", "--build", folder, "--parallel", jobs])


def make_program(row, folder):
    """The program with no lucid at all, preloaded, linked, and static in both ways:
    {form: (command, library to preload)}"""
    library, archive, whole = (folder / name for name in ("liblucid.so.0", "liblucid.a", "lucid.o"))
    forms = {
        "plain": ([], "other", None),
        "preloaded": ([], "lucid", library),
        "linked": (["-Wl,--no-as-needed", library, f"-Wl,-rpath,{folder}"], "lucid", None),
        "static-archive": (["-static", archive], "lucid", None),
        "static-object": (["-static", whole], "lucid", None),
    }
    made = {}
    for name, (link, malloc, preload) in forms.items():
        program = folder / f"program-{name}"
        run([*row.compiler, "-O1", "-g", "-fno-builtin", "-Wl,-w", "-o", program,
             HERE / "program.c", *link, "-pthread", "-w"])
        made[name] = ([program, malloc], preload)
    return made


def run_program(row, programs):
    for command, library in programs.values():
        env = {"LD_PRELOAD": str(library)} if library and not row.emulator else {}
        emulated = [*row.emulator, *(["-E", f"LD_PRELOAD={library}"] if library else [])]
        said = run([*(emulated if row.emulator else []), *command], env=env)
        if said != "all well\n":
            raise Failure(f"{command[0]} says: {said}")


READ = ("linked", "static-archive")  # the forms that the command reads while they wait


def read_program(row, programs, command):
    """The command of the ordinary build reads the heap of a program built like this."""
    if row.emulator or any("PAGE_SIZE" in option for option in row.options) or not command.exists():
        return
    for form in READ:
        run([sys.executable, "-B", HERE / "reading.py", command, programs[form][0][0]])


def run_tests(row, folder, quick):
    chosen = row.quick if quick else row.tests
    said = run(["ctest", "--test-dir", folder, "-R", chosen, "-E", row.but, "-j2",
                "--no-tests=error", "--output-on-failure", "--timeout", "600"], seconds=3000)
    return next(line for line in said.splitlines() if "tests passed" in line)


def guest_jobs(row, folder, programs):
    """What is to run in the guest: the program in its forms, the command on three of
    them, tests."""
    def job(name, command, *env):
        return {"name": name, "command": [str(word) for word in command],
                "properties": [{"name": "ENVIRONMENT", "value": list(env)}]}

    jobs = [job(f"program.{form}", command, *([f"LD_PRELOAD={library}"] if library else []))
            for form, (command, library) in programs.items()]
    for form in (*READ, "preloaded"):
        command, library = programs[form]
        jobs.append(job(f"reading.{form}", ["/usr/bin/python3", "-B", HERE / "reading.py",
                                            folder / "lucid", command[0],
                                            *([library] if library else [])]))
    return jobs + guest.jobs_of(folder, row.tests, row.but)


def try_kernel(row, work, quick):
    """Boots a kernel with such pages; both rows share a build."""
    packages = arm64.Packages(work / "arm64")
    root, image = packages.root(), packages.kernel(row.page)
    libraries = [str(root / name)
                 for name in ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu")]
    folder = work / root.name.replace("root", "kernel")  # built against that root
    build(row, folder, quick,
          {"PKG_CONFIG_LIBDIR": f"{libraries[1]}/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": str(root),
           "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"},
          ["-DCMAKE_EXE_LINKER_FLAGS=" + " ".join(f"-L{name} -Wl,-rpath-link,{name}"
                                                  for name in libraries)])
    jobs = guest_jobs(row, folder, make_program(row, folder))
    disk = work / "ram-disk"
    guest.ram_disk(disk, root, SOURCE, folder, jobs)
    answer = guest.boot(image, disk, work / f"guest-{row.page}.log")
    disk.unlink()
    if not answer.all_well(jobs):
        raise Failure(answer.complaint())
    return f"{answer.kernel[len('guest: '):]}: {len(answer.names['passed'])} programs and tests " \
           f"passed, {len(answer.names['skipped'])} skipped"


def try_row(name, work, quick):
    """A line of what was seen, or None and the reason why it cannot run."""
    row = ROWS[name]
    missing = row.missing()
    if missing is not None:
        return None, f"the package {missing} is not installed"
    begin = time.monotonic()
    if row.page is not None:
        try:
            seen = try_kernel(row, work, quick)
        except arm64.Missing as reason:
            return None, str(reason)
    else:
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        build(row, folder, quick)
        programs = make_program(row, folder)
        run_program(row, programs)
        read_program(row, programs, work.parent / "lucid")
        seen = f"the program in 5 forms, {run_tests(row, folder, quick)}"
    return f"{seen} ({time.monotonic() - begin:.0f} s)", None


def main():
    parser = argparse.ArgumentParser(usage="matrix.py BUILD [--quick] --all | --list | ROW...")
    parser.add_argument("build", nargs="?", default=str(SOURCE / "build"))
    parser.add_argument("rows", nargs="*")
    for flag in ("--quick", "--all", "--list"):
        parser.add_argument(flag, action="store_true")
    words = parser.parse_intermixed_args()
    if words.list:
        print("\n".join(ROWS))
        return 0
    names = list(ROWS) if words.all else words.rows
    unknown = [name for name in names if name not in ROWS]
    if unknown or not names:
        print(f"matrix.py: no row is called {unknown}; one of {', '.join(ROWS)}", file=sys.stderr)
        return 64
    failed = 0
    for name in names:
        try:
            seen, reason = try_row(name, Path(words.build).resolve() / "portability", words.quick)
        except Failure as failure:
            failed += 1
            print(f"portability: {name:14} FAILED: {failure}", flush=True)
            continue
        if reason is not None and len(names) == 1:
            print(reason)
            return 77
        print(f"portability: {name:14} {seen or 'left out: ' + reason}", flush=True)
    return 1 if failed else 0


sys.exit(main())
