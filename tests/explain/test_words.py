"""explain and frag: what they predict happens, and what they say can be checked."""

import re

from onetest import main

from account import AccountCase

# Does one step for each line it reads, and says so.
STEPS = r"""
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define COUNT 200000
#define EACH 50
static char *kept[COUNT];
static void step(const char *name) {
    puts(name); fflush(stdout);
    if (getchar() != '\n') exit(0);
}
static void *sleeper(void *unused) {
    char *mine[500];
    for (int i = 0; i < 500; i++) mine[i] = memset(malloc(100), 1, 100);
    for (int i = 0; i < 500; i++) free(mine[i]);
    (void)unused;
    for (;;) pthread_cond_wait(&(pthread_cond_t)PTHREAD_COND_INITIALIZER,
                               &(pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER);
}
int main(int argc, char **argv) {
    pthread_t thread;
    setvbuf(stdin, NULL, _IONBF, 0); // nothing is allocated while a step is waited for
    for (int i = 0; i < COUNT; i++) kept[i] = memset(malloc(100), 1, 100);
    for (int i = 0; i < COUNT; i++) if (i % EACH != 0) { free(kept[i]); kept[i] = NULL; }
    free(memset(malloc(24 << 20), 1, 24 << 20));
    (void)argv;
    if (argc > 1) pthread_create(&thread, NULL, sleeper, NULL);
    step("ready");
    malloc_trim(0);
    step("trimmed");
    for (int i = 0; i < COUNT; i++) free(kept[i]);
    malloc_trim(0);
    step("freed");
    return 0;
}"""

NO_PURGE = {"LUCID_OPTIONS": "purge=0"}


class Words(AccountCase):
    def steps(self, *words):
        return self.start(*words, program=self.compile(STEPS, "-O1", "-fno-builtin", "-pthread"),
                          env=NO_PURGE)

    def next_step(self, subject, name):
        subject.process.stdin.write("\n")
        subject.process.stdin.flush()
        self.assertEqual(subject.process.stdout.readline().strip(), name)

    def near(self, value, expected, share=0.1):
        self.assertAlmostEqual(value, expected, delta=expected * share + (256 << 10))

    def check_sentences(self, answer, text):
        """Each has a number, and the text is made of them."""
        joined = re.sub(r"\s+", " ", text)
        self.assertGreater(len(answer["sentences"]), 8)
        for sentence in answer["sentences"]:
            self.assertRegex(sentence["text"], r"\d")
            self.assertRegex(sentence["text"], r"\.$")
            self.assertNotIn("  ", sentence["text"])
        for sentence in answer["sentences"][:2]:
            self.assertIn(sentence["text"], joined)
        self.assertIn(answer["next"]["command"], text)
        self.assertEqual({row["topic"] for row in answer["sentences"]},
                         {"resident", "holds", "returns"})

    # ---- explain -----------------------------------------------------------------------------

    def test_explain_predicts_a_trim(self):
        subject = self.steps()
        answer = self.ask("explain", subject.pid)
        self.check_identity(answer)
        self.check_sentences(answer, self.lucid("explain", subject.pid).stdout)
        self.assertFalse(answer["trim"]["purges"])
        self.assertGreaterEqual(answer["trim"]["bytes"], 24 << 20)
        self.assertEqual(answer["trim"]["bytes"], answer["trim"]["pool"] + answer["trim"]["spans"])
        before = self.rollup(subject.pid)
        self.next_step(subject, "trimmed")
        self.near(before - self.rollup(subject.pid), answer["trim"]["bytes"])
        after = self.ask("explain", subject.pid)
        self.assertLess(after["trim"]["bytes"], 1 << 20)
        self.near(after["trim"]["returned"] - answer["trim"]["returned"], answer["trim"]["bytes"])
        self.finish(subject)

    def test_explain_names_the_way_on(self):
        subject = self.steps()
        self.next_step(subject, "trimmed")
        answer = self.ask("explain", subject.pid)
        self.assertEqual(answer["next"]["command"], f"lucid frag {subject.pid}")
        self.assertEqual(answer["classes"][0]["size"], 112)
        self.assertAlmostEqual(answer["classes"][0]["blocks"], 4000, delta=10)
        self.next_step(subject, "freed")
        answer = self.ask("explain", subject.pid)
        self.assertEqual(answer["next"]["command"], f"lucid layout {subject.pid}")
        words = answer["next"]["command"].split()[1:]
        self.lucid(words[0], *words[1:])
        self.finish(subject)

    def test_explain_tells_of_idle_threads(self):
        subject = self.steps("thread")
        self.next_step(subject, "trimmed")

        def both_asleep():
            bins = self.ask("explain", subject.pid)["bins"]
            return bins["asleep"] == 2 and bins["asleep_cached"] > 0

        self.wait_until(both_asleep, "a sleeping thread with a full bin")
        answer = self.ask("explain", subject.pid)
        self.assertEqual(answer["bins"]["threads"], 2)
        self.assertEqual(answer["bins"]["cached"], sum(row["cached"] for row in answer["threads"]))
        self.assertIn("2 that were asleep",
                      re.sub(r"\s+", " ", self.lucid("explain", subject.pid).stdout))

    def test_explain_knows_who_listens(self):
        """The command that it proposes does what it says."""
        program = self.compile(STEPS, "-O1", "-fno-builtin", "-pthread")
        subject = self.start(program=program, env={"LUCID_OPTIONS": "purge=0,ctl=1"})
        answer = self.ask("explain", subject.pid)
        self.assertEqual(answer["next"]["command"], f"lucid ctl {subject.pid} trim")
        before = self.rollup(subject.pid)
        self.lucid(*answer["next"]["command"].split()[1:])
        self.near(before - self.rollup(subject.pid), answer["trim"]["bytes"])
        subject = self.start(program=program, env=NO_PURGE)
        answer = self.ask("explain", subject.pid)
        self.assertEqual(answer["next"]["command"], f"lucid map {subject.pid}")

    def test_explain_of_a_program_that_ends(self):
        answer = self.ask("explain", "--", "perl", "-e", "my @a = (1) x 100; print 'it'")
        self.assertEqual(answer["next"]["command"].split(" ", 2)[2],
                         "-- perl -e 'my @a = (1) x 100; print '\\''it'\\'''")
        self.check_identity(answer)

    def test_explain_and_frag_of_a_core(self):
        self.need("gcore")
        subject = self.steps()
        live = self.ask("frag", subject.pid)
        self.succeed("gcore", "-o", self.folder / "a core", subject.pid)
        core = self.folder / f"a core.{subject.pid}"
        answer = self.ask("explain", core)
        self.assertTrue(answer["estimated"])
        text = self.lucid("explain", core).stdout
        self.check_sentences(answer, text)
        self.assertIn("A core does not tell what was resident", text)
        self.assertRegex(answer["next"]["command"], r"lucid \w+ '.*/a core\.\d+'")
        frag = self.ask("frag", core)
        self.assertTrue(frag["estimated"])
        self.near(frag["total"]["returns"], live["total"]["returns"])

    def test_explain_of_large_blocks(self):
        subject = self.python("x = bytearray(90 << 20)\nprint('ready', flush=True)\n"
                              "import sys\nsys.stdin.read()")
        answer = self.ask("explain", subject.pid)
        self.assertEqual(answer["large"][0]["kind"], "mapping")
        self.assertGreaterEqual(answer["large"][0]["asked"], 90 << 20)
        self.assertIn("the largest of 90.0M", self.lucid("explain", subject.pid).stdout)
        self.assertEqual(answer["next"]["command"], f"lucid heap {subject.pid}")

    # ---- frag --------------------------------------------------------------------------------

    def test_frag_predicts_what_returns(self):
        subject = self.steps()
        self.next_step(subject, "trimmed")
        answer = self.ask("frag", "--limit", 100000, subject.pid)
        row = answer["classes"][0]
        self.assertEqual(row["size"], 112)
        self.assertAlmostEqual(row["blocks"], 4000, delta=10)
        self.assertGreater(row["sparse_pages"], 3000)
        self.assertEqual(answer["total"]["returns"], sum(row["returns"] for row in answer["spans"]))
        before = self.rollup(subject.pid)
        self.next_step(subject, "freed")
        self.near(before - self.rollup(subject.pid), answer["total"]["returns"])
        self.finish(subject)

    def test_frag_names_the_blocks(self):
        subject = self.steps()
        answer = self.ask("frag", "--limit", 2, subject.pid)
        self.assertEqual(len(answer["spans"]), 2)
        self.assertGreater(answer["spans_not_shown"], 100)
        for span in answer["spans"]:
            self.assertEqual(len(span["pinned_by"]), span["blocks"])
            block = self.ask("block", subject.pid, span["pinned_by"][0])["block"]
            self.assertEqual(block["state"], "used")
            self.assertEqual(block["size"], span["size"])
            self.assertEqual(int(block["address"], 16), int(span["pinned_by"][0], 16))
        returns = [span["returns"] for span in answer["spans"]]
        self.assertEqual(returns, sorted(returns, reverse=True))
        text = self.lucid("frag", "--limit", 2, subject.pid).stdout
        self.assertIn("more; --limit shows them", text)
        words = text.strip().splitlines()[-1].split()
        self.assertEqual(words[:2], ["lucid", "block"])
        self.lucid(*words[1:])

    def test_frag_has_a_threshold(self):
        subject = self.steps()
        pages = [self.ask("frag", "--below", below, subject.pid)["total"]["sparse_pages"]
                 for below in (1, 25, 99)]
        self.assertEqual(pages, sorted(pages))
        self.assertLess(pages[0], 100)
        self.refuse("frag", "--below", "0", subject.pid, says="from 1 to 99", code=64)
        self.refuse("frag", "--limit", "some", subject.pid, says="number of rows", code=64)

    def test_frag_finds_none(self):
        subject = self.start("many", 200000, 100, env=NO_PURGE)
        total = self.ask("frag", subject.pid)["total"]
        self.assertLess(total["sparse_pages"], 30)
        self.assertLess(total["returns"], 30 * 4096)

    def test_explain_and_frag_refuse(self):
        subject = self.start("demo", library=None)
        for command in ("explain", "frag"):
            self.refuse(command, 4194304, says="there is no process")
            self.refuse(command, subject.pid, says="does not run on lucid")
            self.assertIn("example: lucid " + command, self.lucid(command, "--help").stdout)


main(Words)
