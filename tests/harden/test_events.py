"""Events: the option events=1 counts every call exactly, and its absence costs and says nothing."""

import re

from onetest import LIBRARY, SOURCE, Case, main

CALLS = """
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
static void *block[1000];
static void *work(void *unused) {
    for (int i = 0; i < 500; i++) free(malloc(70));
    return unused;
}
int main(void) {
    for (int i = 0; i < 1000; i++) block[i] = malloc(20);
    for (int i = 0; i < 999; i++) free(block[i]);
    free(calloc(3, 1000));
    free(aligned_alloc(256, 300));
    void *grown = malloc(600);
    grown = realloc(grown, 605);            /* in place */
    grown = realloc(grown, 100000);         /* a copy */
    free(realloc(grown, 50000000));         /* another: a mapping */
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, work, NULL);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    return malloc_usable_size(block[999]) < 20;
}
"""
HEAPS = """
#include <lucid.h>
#include <stdio.h>
#include <unistd.h>
static const size_t sizes[] = {1000, 100000, 40000000};
static size_t usable;
static void fill(lucid_heap *heap) {
    for (int i = 0; i < 6; i++)
        usable += lucid_malloc_usable_size(lucid_heap_alloc(heap, sizes[i / 2]));
}
int main(void) {
    lucid_heap *heap = lucid_heap_new("events");
    fill(heap);
    lucid_heap_free_all(heap);
    fill(heap);
    lucid_heap_destroy(heap);
    char line[40]; /* dprintf would allocate */
    return write(2, line, snprintf(line, sizeof(line), "%zu usable\\n", usable)) < 0;
}
"""
# What the C library itself allocates for the two threads.
OF_THE_THREADS = 2


class Events(Case):
    def setUp(self):
        super().setUp()
        self.program = self.compile(CALLS, "-fno-builtin", "-pthread")

    def counts(self, options):
        done = self.run_command(self.program, env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": options})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def number(self, text, pattern, name="program"):
        found = re.search(rf"(?m)^{name}\(\d+\) lucid: {pattern}$", text)
        self.assertIsNotNone(found, f"{pattern} in {text}")
        return [int(number) for number in found.groups()]

    def test_every_call_is_counted(self):
        text = self.counts("events=1")
        # 1000 + calloc, aligned_alloc, malloc(600) and its two copies, twice 500
        expected = 1000 + 1 + 1 + 3 + 1000 + OF_THE_THREADS
        self.assertEqual(self.number(text, r"alloc (\d+) times, .*"), [expected])
        # All but one block and what belongs to the threads' stacks, which the C library keeps.
        self.assertEqual(self.number(text, r"free (\d+) times, .*"),
                         [expected - 1 - OF_THE_THREADS])
        self.assertEqual(self.number(text, r"32-byte blocks: (\d+) allocated, (\d+) freed"),
                         [1000, 999])
        self.assertEqual(self.number(text, r"80-byte blocks: (\d+) allocated, (\d+) freed"),
                         [1000, 1000])
        self.assertEqual(self.number(text, r"resize (\d+) times, .*"), [1])
        self.assertEqual(self.number(text, r"large made (\d+) times, .*, (\d+) bytes"), [1, 100000])
        self.assertEqual(self.number(text, r"mapping made (\d+) times, .*, (\d+) bytes"),
                         [1, 50000000])
        self.assertEqual(self.number(text, r"mapping gone (\d+) times, .*"), [1])

    def test_blocks_of_heaps_are_freed_together(self):
        self.program = self.compile(HEAPS, f"-I{SOURCE / 'include'}", LIBRARY, name="heaps")
        text = self.counts("events=1")
        usable = int(re.search(r"(?m)^(\d+) usable$", text)[1])
        for kind, size in ("alloc", 4 * (1000 + 100000 + 40000000)), ("free", usable):
            self.assertEqual(self.number(text, rf"{kind} (\d+) times, .*, (\d+) bytes", "heaps"),
                             [12, size])

    def test_slow_paths_are_counted(self):
        text = self.counts("events=1")
        refills, blocks = self.number(text, r"refill (\d+) times, (\d+) blocks, .*")
        self.assertGreater(refills, 3)
        self.assertGreaterEqual(blocks, 1000)
        self.assertGreater(self.number(text, r"span made (\d+) times, .*")[0], 3)

    def test_nothing_is_said_without_the_option(self):
        self.assertEqual(self.counts("events=0"), "")
        self.assertEqual(self.counts(""), "")


main(Events)
