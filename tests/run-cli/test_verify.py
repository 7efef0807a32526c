"""lucid verify: yes, no, cannot tell."""

import os
import shutil
import subprocess
import time

from onetest import BUILD, LIBRARY, LUCID, Case, main

SLEEPER = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) { char *p = malloc(1000); puts(p ? "ready" : "no"); fflush(stdout); pause(); }
"""
IDLE = """
#include <unistd.h>
int main(void) { (void)!write(1, "ready\\n", 6); pause(); }
"""
OWN_MALLOC = """
#include <stddef.h>
#include <unistd.h>
static char memory[1 << 20];
static size_t used;
void *malloc(size_t n) { void *p = memory + used; used += (n + 31) & ~(size_t)15; return p; }
void free(void *p) { (void)p; }
void *calloc(size_t n, size_t m) { return malloc(n * m); }
void *realloc(void *p, size_t n) { (void)p; return malloc(n); }
int main(void) { (void)!write(1, malloc(9) ? "ready\\n" : "no\\n", 6); pause(); }
"""


class Verify(Case):
    def verify(self, *command, preload=None):
        """What verify says of the command once it has said "ready"."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
        if preload:
            env["LD_PRELOAD"] = str(preload)
        with subprocess.Popen([str(word) for word in command], env=env, text=True,
                              stdout=subprocess.PIPE) as process:
            try:
                self.assertEqual(process.stdout.readline(), "ready\n")
                return self.run_command(LUCID, "verify", process.pid)
            finally:
                process.kill()

    def assert_in_use(self, done, path):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        version = self.succeed(LUCID, "--version").strip()
        self.assertRegex(done.stdout, rf"\): {version}, ")
        self.assertTrue(done.stdout.endswith(f"{path}: in use\n"), done.stdout)

    def test_preloaded(self):
        program = self.compile(SLEEPER)
        self.assert_in_use(self.verify(program, preload=LIBRARY), LIBRARY)

    def test_under_run(self):
        program = self.compile(SLEEPER)
        self.assert_in_use(self.verify(LUCID, "run", program), LIBRARY)

    def test_linked_with_the_object(self):
        program = self.compile(SLEEPER, BUILD / "lucid.o")
        self.assert_in_use(self.verify(program), program)

    def test_linked_statically(self):
        program = self.compile(SLEEPER, "-static", BUILD / "liblucid.a")
        self.assert_in_use(self.verify(program), program)

    def test_stripped_and_linked_with_the_object(self):
        program = self.compile(SLEEPER, BUILD / "lucid.o", "-Wl,--gc-sections", "-s")
        self.assert_in_use(self.verify(program), program)

    def test_another_malloc_was_first(self):
        own = self.compile(OWN_MALLOC, "-fno-builtin", "-shared", "-fPIC", name="libown.so")
        done = self.verify(self.compile(SLEEPER), preload=f"{own}:{LIBRARY}")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("mapped but not in use, it has served no allocation", done.stdout)

    def test_library_file_was_replaced(self):
        copy = self.folder / "liblucid.so"
        shutil.copy(LIBRARY, copy)
        program = self.compile(SLEEPER)
        with subprocess.Popen([program], env={"LD_PRELOAD": str(copy)}, text=True,
                              stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            copy.unlink()
            done = self.run_command(LUCID, "verify", process.pid)
            process.kill()
        if os.getuid() != 0:
            self.skipTest("only root may follow the kernel's link to a deleted file")
        self.assert_in_use(done, f"{copy} (deleted)")

    def test_not_there(self):
        done = self.verify(self.compile(SLEEPER))
        self.assertEqual(done.returncode, 1)
        self.assertIn("lucid is not there", done.stdout)

    def test_program_with_its_own_malloc(self):
        program = self.compile(OWN_MALLOC, "-fno-builtin")
        done = self.verify(program, preload=LIBRARY)
        self.assertEqual(done.returncode, 1)
        self.assertIn("mapped but not in use", done.stdout)

    def test_no_such_process(self):
        with subprocess.Popen(["true"]) as process:
            process.wait()
        done = self.run_command(LUCID, "verify", process.pid)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, f"lucid verify: there is no process {process.pid}; "
                                      "`ps -e` lists those that run\n")

    def test_process_of_another_user(self):
        if os.getuid() != 0:
            self.skipTest("only root can start a process of another user")
        program = self.compile(IDLE)
        if self.run_command(LUCID, "--version", user=65534).returncode != 0:
            self.skipTest("the build folder cannot be read by other users")
        with subprocess.Popen([program], text=True, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            done = self.run_command(LUCID, "verify", process.pid, user=65534)
            process.kill()
        self.assertEqual(done.returncode, 2)
        self.assertIn("Permission denied", done.stderr)
        self.assertIn(f"run `sudo lucid verify {process.pid}`", done.stderr)

    def test_wrong_words(self):
        for words in ([], ["x"], ["0"], ["-5"], ["12x"], ["99999999999"], ["1", "2"]):
            self.assertEqual(self.run_command(LUCID, "verify", *words).returncode, 64, words)

    def test_process_that_ended_but_was_not_waited_for(self):
        with subprocess.Popen(["true"]) as process:
            time.sleep(0.2)
            done = self.run_command(LUCID, "verify", process.pid)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("zombie", done.stderr)


main(Verify)
