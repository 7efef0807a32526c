#!/usr/bin/env python3
"""What may stand beside the library: other interposers, sanitizers, valgrind; and the soak."""

import shutil
import sys
from pathlib import Path

import onetest

WORK = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *work(void *unused) {
    char *last = NULL;
    (void)unused;
    for (size_t i = 1; i < 400; i++) {
        char *block = malloc(i * 100);
        memset(block, 1, i * 100);
        free(last);
        last = block;
    }
    return last;
}
int main(int count, char **words) {
    pthread_t threads[3];
    void *last;
    (void)words;
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &last);
        free(last);
    }
    volatile char *block = calloc(10, 10);
    free((void *)block);
    if (count > 1) block[1] = 5; /* a write after free */
    puts("done");
    return 0;
}
"""

# Sanitizers see lucid's reuse of blocks as races, so this one has a single thread.
SINGLE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    for (size_t i = 1; i < 3000; i++) free(memset(realloc(malloc(i), i * 20), 1, i));
    puts("done");
    return 0;
}
"""

COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
static unsigned long mallocs, frees;
void *malloc(size_t size) {
    if (!next_malloc) next_malloc = dlsym(RTLD_NEXT, "malloc");
    __atomic_fetch_add(&mallocs, 1, __ATOMIC_RELAXED);
    return next_malloc(size);
}
void free(void *block) {
    if (!next_free) next_free = dlsym(RTLD_NEXT, "free");
    __atomic_fetch_add(&frees, 1, __ATOMIC_RELAXED);
    next_free(block);
}
__attribute__((destructor)) static void tell(void) {
    char line[80];
    int length = snprintf(line, sizeof(line), "%lu %lu\n", mallocs, frees);
    if (write(2, line, (size_t)length) != length) _exit(9);
}
"""

# Wraps the start routine, with a block that one thread allocates and the other frees.
CREATE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
struct start { void *(*routine)(void *); void *argument; };
static void *enter(void *given) {
    struct start start = *(struct start *)given;
    free(given);
    void *block = malloc(777);
    void *result = start.routine(start.argument);
    free(block);
    return result;
}
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*routine)(void *), void *argument) {
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    struct start *start = malloc(sizeof(*start));
    *start = (struct start){routine, argument};
    return next(thread, attributes, enter, start);
}
"""


class Beside(onetest.Case):
    def shared(self, text, name):
        return self.compile(text, "-shared", "-fPIC", "-fno-builtin", name=name)

    def preload(self, *libraries):
        return {"LD_PRELOAD": ":".join(str(library) for library in libraries)}

    def sanitized(self, compiler, kind, text=WORK):
        if shutil.which(compiler) is None:
            self.skipTest(f"{compiler} is not installed")
        source = self.write("program.c", text)
        made = self.run_command(compiler, "-g", f"-fsanitize={kind}", "-o",
                                self.folder / "program", source)
        if made.returncode != 0:
            self.skipTest(f"{compiler} has no {kind} sanitizer: {made.stderr.strip()[-200:]}")
        return self.folder / "program"

    def test_counter_in_front(self):
        """A counter that is asked first sees every call, and passes it on to lucid."""
        program, counter = self.compile(WORK), self.shared(COUNTER, "counter.so")
        done = self.run_command(program, env=self.preload(counter, onetest.LIBRARY))
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)
        mallocs, frees = map(int, done.stderr.split())
        self.assertGreaterEqual(mallocs, 3 * 399)
        self.assertGreaterEqual(frees, 3 * 399)

    def test_counter_behind(self):
        """Behind lucid it is never asked: lucid serves everything itself."""
        program, counter = self.compile(WORK), self.shared(COUNTER, "counter.so")
        done = self.run_command(program, env=self.preload(onetest.LIBRARY, counter))
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)
        self.assertEqual(done.stderr, "0 0\n")

    def test_thread_interposer(self):
        program, create = self.compile(WORK), self.shared(CREATE, "create.so")
        for order in ((create, onetest.LIBRARY), (onetest.LIBRARY, create)):
            self.assertEqual(self.succeed(program, env=self.preload(*order)), "done\n")

    def finds_write_after_free(self, program, *command, env=None, words):
        """It says so with the line of the program, so it has seen every malloc and free."""
        done = self.run_command(*command, program, "1", env=env)
        for word in words:
            self.assertIn(word, done.stderr)
        return done

    def test_gcc_address_sanitizer(self):
        """`lucid run` leaves it alone; preloaded all the same, the runtime itself refuses."""
        program = self.sanitized("gcc", "address")
        done = self.finds_write_after_free(
            program, onetest.LUCID, "run", "--",
            words=("is built with a sanitizer", "runs without lucid", "heap-use-after-free"))
        self.assertNotEqual(done.returncode, 0)
        done = self.run_command(program, env=self.preload(onetest.LIBRARY))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("ASan runtime does not come first", done.stderr)

    def test_clang_address_sanitizer(self):
        """Its runtime is in the program, so its malloc comes before any preloaded one."""
        program = self.sanitized("clang", "address")
        for command, env in (((), self.preload(onetest.LIBRARY)), ((onetest.LUCID, "run"), None)):
            self.assertIn("done", self.succeed(*command, program, env=env))
            self.finds_write_after_free(program, *command, env=env, words=("heap-use-after-free",))

    def test_gcc_thread_sanitizer(self):
        program = self.sanitized("gcc", "thread")
        done = self.run_command(onetest.LUCID, "run", program)
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)
        self.assertIn("is built with a sanitizer", done.stderr)
        self.assertNotIn("WARNING", done.stderr)

    def test_gcc_thread_sanitizer_preloaded(self):
        """Lucid is asked before the runtime has set itself up, and must not call into it."""
        program = self.sanitized("gcc", "thread", SINGLE)
        self.assertEqual(self.succeed(program, env=self.preload(onetest.LIBRARY)), "done\n")

    def test_clang_thread_sanitizer(self):
        program = self.sanitized("clang", "thread")
        done = self.run_command(program, env=self.preload(onetest.LIBRARY))
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)
        self.assertNotIn("WARNING", done.stderr)

    def valgrind(self, tool, *more):
        if shutil.which("valgrind") is None:
            self.skipTest("valgrind is not installed")
        return ("valgrind", f"--tool={tool}", *more)

    def test_memcheck(self):
        """It replaces malloc in every library, ours too, and then finds what it always finds."""
        command = self.valgrind("memcheck", "--error-exitcode=9")
        program, env = self.compile(WORK), self.preload(onetest.LIBRARY)
        self.assertEqual(self.succeed(*command, program, env=env), "done\n")
        done = self.finds_write_after_free(
            program, *command, env=env,
            words=("Invalid write of size 1", "1 bytes inside a block of size 100 free'd"))
        self.assertEqual(done.returncode, 9)

    def test_helgrind(self):
        command = self.valgrind("helgrind", "--error-exitcode=9")
        out = self.succeed(*command, self.compile(WORK), env=self.preload(onetest.LIBRARY))
        self.assertEqual(out, "done\n")

    def test_callgrind(self):
        """It replaces nothing, so lucid itself runs under it, in a break that is cut short."""
        profile = self.folder / "profile"
        command = self.valgrind("callgrind", f"--callgrind-out-file={profile}")
        out = self.succeed(*command, self.compile(WORK), env=self.preload(onetest.LIBRARY))
        self.assertEqual(out, "done\n")
        self.assertIn("liblucid.so", profile.read_text(encoding="utf-8"))

    def soak(self, name):
        script = Path(__file__).with_name("soak.py")
        return self.run_command(sys.executable, "-B", script, onetest.BUILD, "0", name)

    def test_soak_is_flat(self):
        done = self.soak("python3")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"python3 +\d+ .*flat")

    def test_soak_finds_growth(self):
        """The control: programs that keep memory, mappings or threads are found."""
        for name, what in (("memory", "resident"), ("mappings", "mappings"),
                           ("threads", "threads")):
            done = self.soak("control-" + name)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertRegex(done.stdout, rf"control-{name} .*grows: .*{what}")

    def test_soak_finds_a_difference(self):
        """The control: a test that ends in another way is found, one that always varies is not."""
        done = self.soak("control-suite")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("does not end as under the C library's malloc: [('preloaded'", done.stderr)
        self.assertNotIn("'number'", done.stderr)


if __name__ == "__main__":
    onetest.main(Beside)
