"""lucid run: the program is under lucid, and nobody can tell from its result."""

import os
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

from onetest import BUILD, LIBRARY, LUCID, Case, main

OWN_MALLOC = """
#include <stddef.h>
static char memory[1 << 20];
static size_t used;
void *malloc(size_t n) { void *p = memory + used; used += (n + 31) & ~(size_t)15; return p; }
void free(void *p) { (void)p; }
void *calloc(size_t n, size_t m) { return malloc(n * m); }
void *realloc(void *p, size_t n) { (void)p; return malloc(n); }
int main(void) { return malloc(1) == 0; }
"""
EXIT_42 = "int main(void) { return 42; }"
HAS_LUCID = ["grep", "-q", "liblucid", "/proc/self/maps"]  # about grep itself


class Run(Case):
    def lucid_run(self, *words, **more):
        return self.run_command(LUCID, "run", *words, **more)

    def assert_refused(self, program, reason, **more):
        """Told, but run; with --strict told and not run."""
        loose = self.lucid_run("--", program, **more)
        self.assertIn(reason, loose.stderr)
        self.assertIn("; it runs without lucid", loose.stderr)
        self.assertEqual(len(loose.stderr.splitlines()), 1, loose.stderr)
        strict = self.lucid_run("--strict", "--", program, **more)
        self.assertEqual(strict.returncode, 1)
        self.assertIn(reason, strict.stderr)
        return loose

    def test_closed_files_stay_closed(self):
        """The program finds no /dev/null where it would have found nothing without lucid."""
        for option in ((), ("--summary",)):
            for number in range(3):
                done = self.run_command("sh", "-c", f'exec "$@" {number}>&-', "sh", LUCID, "run",
                                        *option, "--", "sh", "-c",
                                        f"test ! -e /proc/$$/fd/{number}")
                self.assertEqual(done.returncode, 0, (option, number, done.stderr))

    def test_program_has_the_library(self):
        self.assertNotEqual(self.run_command(*HAS_LUCID).returncode, 0)
        self.assertEqual(self.lucid_run(*HAS_LUCID).returncode, 0)
        self.assertEqual(self.lucid_run("--", *HAS_LUCID).returncode, 0)
        self.assertEqual(self.lucid_run("--strict", "--", *HAS_LUCID).returncode, 0)

    def test_children_have_the_library(self):
        done = self.lucid_run("sh", "-c", " ".join(HAS_LUCID) + "; exit $?")
        self.assertEqual(done.returncode, 0)

    def test_exit_code_is_the_programs(self):
        for code in (0, 1, 7, 64, 126, 255):
            for option in ([], ["--summary"]):
                done = self.lucid_run(*option, "sh", "-c", f"exit {code}")
                self.assertEqual(done.returncode, code)

    def test_signal_is_the_programs(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT):
            for option in ([], ["--summary"]):
                done = self.lucid_run(*option, "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
                self.assertEqual(done.returncode, -number)

    def test_input_output_and_arguments_pass_through(self):
        for option in ([], ["--summary"]):
            done = self.lucid_run(*option, "--", "sh", "-c", 'cat; echo "$@" >&2', "sh",
                                  "--summary", "a b", "*", "", stdin=None, input="through\n")
            self.assertEqual(done.stdout, "through\n")
            self.assertIn("--summary a b * \n", done.stderr)

    def test_own_options_end_at_the_program(self):
        done = self.lucid_run("echo", "--strict", "--help")
        self.assertEqual((done.returncode, done.stdout), (0, "--strict --help\n"))

    def test_preload_is_kept(self):
        other = self.compile("int other_library;", "-shared", "-fPIC", name="libother.so")
        done = self.lucid_run("sh", "-c", 'echo "$LD_PRELOAD"', env={"LD_PRELOAD": str(other)})
        self.assertEqual(done.stdout, f"{LIBRARY}:{other}\n")

    def test_library_is_not_added_twice(self):
        done = self.lucid_run(LUCID, "run", "sh", "-c", 'echo "$LD_PRELOAD"')
        self.assertEqual(done.stdout, LIBRARY + "\n")

    def test_not_found(self):
        for name in ("no-such-program", "./no-such-program", "/etc/passwd/x", ""):
            done = self.lucid_run(name)
            self.assertEqual(done.returncode, 127, name)
            self.assertIn("there is no program", done.stderr)
            self.assertEqual(self.lucid_run("--summary", name).returncode, 127)

    def test_not_executable(self):
        plain = self.write("plain", "no program\n")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        fifo.chmod(0o755)
        for name in (plain, self.folder, fifo):
            done = self.lucid_run(name)
            self.assertEqual(done.returncode, 126, name)
            self.assertIn("cannot run", done.stderr)

    def test_search_path(self):
        (self.folder / "one").mkdir()
        (self.folder / "two").mkdir()
        self.write("one/tool", "not executable")
        self.write("two/tool", "#!/bin/sh\necho found\n", 0o755)
        path = f"{self.folder}/one:{self.folder}/two"
        done = self.lucid_run("tool", env={"PATH": path})
        self.assertEqual(done.stdout, "found\n", done.stderr)
        done = self.lucid_run("tool", env={"PATH": f"{self.folder}/one"})
        self.assertEqual(done.returncode, 126)
        done = self.lucid_run("tool", env={"PATH": f"{self.folder}/none::"},
                              cwd=self.folder / "two")
        self.assertEqual(done.stdout, "found\n", "an empty entry is the current folder")

    def test_script_is_resolved(self):
        script = self.write("script", "#!/bin/sh\ngrep -c liblucid /proc/self/maps\n", 0o755)
        done = self.lucid_run("--strict", script)
        self.assertGreater(int(done.stdout), 0, done.stderr)
        static = self.compile(EXIT_42, "-static")
        second = self.write("second", f"#! {static} argument\n", 0o755)
        done = self.assert_refused(second, f"{static} is statically linked")
        self.assertEqual(done.returncode, 42)

    def test_script_without_interpreter_line(self):
        script = self.write("script", "exit 9\n", 0o755)
        self.assertEqual(self.lucid_run(script).returncode, 9)

    def test_script_whose_interpreter_is_missing(self):
        script = self.write("script", "#!/no/such/interpreter\n", 0o755)
        done = self.lucid_run(script)
        self.assertEqual(done.returncode, 127)
        self.assertIn("/no/such/interpreter", done.stderr)

    def test_static_program(self):
        done = self.assert_refused(self.compile(EXIT_42, "-static"), "is statically linked")
        self.assertEqual(done.returncode, 42)

    def test_static_pie_program(self):
        done = self.assert_refused(self.compile(EXIT_42, "-static-pie"), "is statically linked")
        self.assertEqual(done.returncode, 42)

    def test_program_with_its_own_malloc(self):
        program = self.compile(OWN_MALLOC, "-fno-builtin")
        self.assertEqual(self.assert_refused(program, "brings its own malloc").returncode, 0)

    def test_program_with_a_hidden_malloc(self):
        program = self.compile(OWN_MALLOC, "-fno-builtin", "-fvisibility=hidden")
        self.assertEqual(self.assert_refused(program, "brings its own malloc").returncode, 0)

    def test_program_linked_with_lucid(self):
        program = self.compile("#include <stdlib.h>\n"
                               "int main(void) { free(malloc(9)); return 42; }", BUILD / "lucid.o")
        done = self.lucid_run("--strict", program)
        self.assertEqual((done.returncode, done.stderr), (42, ""))

    def test_32_bit_program(self):
        # A header says it all: ELF, 32 bits, little endian, executable, EM_386, no segments.
        header = struct.pack("<4s5B7xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 0, 0, 2, 3, 1, 0x8048000,
                             0, 0, 0, 52, 32, 0, 40, 0, 0)
        program = self.folder / "program"
        program.write_bytes(header)
        program.chmod(0o755)
        done = self.lucid_run("--strict", program)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is for another machine", done.stderr)

    def test_set_user_id_program(self):
        if os.statvfs(self.folder).f_flag & os.ST_NOSUID:
            self.skipTest("the folder for temporary files is mounted nosuid")
        program = self.compile(EXIT_42)
        if os.getuid() != 0:
            self.skipTest("only root can make a program of another user")
        for mode, owner in ((0o4755, (1, 0)), (0o2755, (0, 1))):
            os.chown(program, *owner)
            program.chmod(mode)
            done = self.assert_refused(program, "is set-user-ID or set-group-ID")
            self.assertEqual(done.returncode, 42)

    def test_own_set_user_id_program(self):
        program = self.compile(EXIT_42)
        program.chmod(0o4755)  # of the same user, so nobody gains anything
        done = self.lucid_run("--strict", program)
        self.assertEqual((done.returncode, done.stderr), (42, ""))

    def test_program_with_capabilities(self):
        program = self.compile(EXIT_42)
        setcap = shutil.which("setcap", path="/usr/sbin:/sbin:/usr/bin")
        if os.getuid() != 0 or setcap is None:
            self.skipTest("needs root and setcap")
        if self.run_command(setcap, "cap_net_raw+ep", program).returncode != 0:
            self.skipTest("the folder for temporary files takes no file capabilities")
        if self.run_command("head", "-c0", LUCID, LIBRARY, user=65534).returncode != 0:
            self.skipTest("the build folder cannot be read by other users")
        done = self.assert_refused(program, "has file capabilities", user=65534)
        self.assertEqual(done.returncode, 42)
        self.assertEqual(self.lucid_run("--strict", program).stderr, "", "root gains nothing")

    def test_library_variable(self):
        copy = self.folder / "mine.so"
        shutil.copy(LIBRARY, copy)
        done = self.lucid_run("sh", "-c", 'echo "$LD_PRELOAD"', env={"LUCID_LIBRARY": str(copy)})
        self.assertEqual(done.stdout, f"{copy}\n")

    def test_library_cannot_be_used(self):
        spaced = self.folder / "with blank.so"
        shutil.copy(LIBRARY, spaced)
        other = self.compile("int other_library;", "-shared", "-fPIC", name="libother.so")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        for library, reason in (("/no/such/library", "No such file"),
                                (str(fifo), "not a shared library"),
                                ("/etc/passwd", "not a shared library"),
                                (str(other), "not a liblucid.so"),
                                (str(spaced), "because of the blank")):
            done = self.lucid_run("true", env={"LUCID_LIBRARY": library})
            self.assertEqual(done.returncode, 2, library)
            self.assertIn(reason, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_library_is_missing(self):
        alone = self.folder / "lucid"
        shutil.copy(LUCID, alone)
        done = self.run_command(alone, "run", "true")
        self.assertEqual(done.returncode, 2)
        self.assertIn("set LUCID_LIBRARY", done.stderr)

    def test_no_program(self):
        for words in ([], ["--summary"], ["--"]):
            self.assertEqual(self.lucid_run(*words).returncode, 64)

    def test_summary_line(self):
        done = self.lucid_run("--summary", "--", "sh", "-c", "exit 3")
        line = [line for line in done.stderr.splitlines() if line.startswith("lucid run: ")]
        self.assertEqual(len(line), 1, done.stderr)
        match = re.fullmatch(r"lucid run: sh: peak (\d+\.\d) MiB resident, \d+\.\d+ s, exit code 3",
                             line[0])
        self.assertIsNotNone(match, line)
        self.assertGreater(float(match[1]), 0.1)

    def test_summary_tells_the_peak(self):
        use = "import sys; block = bytearray(200 << 20); sys.exit(0)"
        done = self.lucid_run("--summary", "--", "/usr/bin/python3", "-c", use)
        peak = float(re.search(r"peak (\d+\.\d) MiB", done.stderr)[1])
        self.assertTrue(200 < peak < 260, done.stderr)

    def test_summary_of_the_library(self):
        done = self.lucid_run("--summary", "--", "/usr/bin/python3", "-c", "print(1)")
        own = [line for line in done.stderr.splitlines() if not line.startswith("lucid run: ")]
        self.assertTrue(own, "the library said nothing at exit")
        self.assertIn("peak", "\n".join(own))

    def test_summary_of_the_library_is_right(self):
        program = self.compile("""
            #include <stdlib.h>
            int main(void) {
                for (int i = 0; i < 1000; i++) {
                    if (malloc(200) == NULL || malloc(24) == NULL) { return 1; }
                }
                return malloc(100 << 10) == NULL;
            }""", "-fno-builtin")
        done = self.run_command("sh", "-c", "exec " + str(program), env={
            "LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": "summary=1"})
        first, *most = [re.sub(r"^program\(\d+\) lucid: ", "", line)
                        for line in done.stderr.splitlines()]
        self.assertRegex(first, r"^peak \d\.\d MiB resident; live at exit: 2001 blocks, \d+ bytes$")
        self.assertEqual(most, ["most in 208-byte blocks: 1000 blocks, 208000 bytes",
                                "most in larger blocks: 1 block, 114688 bytes",
                                "most in 32-byte blocks: 1000 blocks, 32000 bytes"])

    def test_summary_keeps_other_options(self):
        done = self.lucid_run("--summary", "sh", "-c", 'echo "$LUCID_OPTIONS"',
                              env={"LUCID_OPTIONS": "purge=1"})
        self.assertEqual(done.stdout, "purge=1,summary=1\n")
        done = self.lucid_run("sh", "-c", 'echo "${LUCID_OPTIONS-unset}"')
        self.assertEqual(done.stdout, "unset\n")

    def test_summary_passes_signals_on(self):
        script = 'trap "echo caught; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
        with subprocess.Popen([LUCID, "run", "--summary", "sh", "-c", script],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, output), (5, "caught\n"), errors)

    def test_run_leaves_no_process_between(self):
        with subprocess.Popen([LUCID, "run", "sleep", "60"]) as process:
            name = Path(f"/proc/{process.pid}/comm")
            deadline = time.monotonic() + 30
            while name.read_text(encoding="utf-8") != "sleep\n" and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(name.read_text(encoding="utf-8"), "sleep\n")
            process.kill()


main(Run)
