"""Names that a program chose for itself, its threads and its files: whatever bytes they are, what
is printed for people stays text on the line it belongs to, and JSON tells them as they are."""

import json
import shutil
import unicodedata

from onetest import LIBRARY, LUCID, main
from target import ReaderCase

PROGRAM = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char *const names[] = {"M\\033[31m\\a\\nforged", "w\\303\\266rker \\342\\200\\256x",
                                    "\\302\\233 c\\200\\177"};
static pthread_barrier_t ready;

static void *work(void *name) {
    prctl(PR_SET_NAME, name);
    for (size_t size = 8; size < 3000; size *= 2) {
        free(malloc(size));
    }
    pthread_barrier_wait(&ready);
    pause();
    return NULL;
}

int main(void) {
    pthread_t thread;
    char byte;
    pthread_barrier_init(&ready, NULL, 4);
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, work, (void *)names[i]);
    }
    void *block = malloc(40);
    pthread_barrier_wait(&ready);
    printf("ready block=%p\\n", block);
    fflush(stdout);
    _exit((int)read(0, &byte, 1));
}
"""
OWN_NAME = 'ev\x1b[1mil\nforged'  # as many bytes as the kernel keeps
FORGED = ("forged", "[1m", "[31m")


class Names(ReaderCase):
    def subject(self):
        """A program with names of all kinds: its own, its threads', its folder's and library's."""
        folder = self.folder / "f\x1b]0;title\x07\nforged"
        folder.mkdir()
        program = self.compile(PROGRAM, "-pthread").rename(folder / OWN_NAME)
        library = folder / "lib\nforged\x1b[2J.so"
        shutil.copy(LIBRARY, library)
        return self.start(library=library, program=program, env={"LUCID_OPTIONS": "ctl=1"})

    def assert_harmless(self, text, words):
        for line in text.splitlines():
            self.assertFalse(line.startswith(FORGED), (words, line))
        for letter in text:
            harmless = letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Zl")
            self.assertTrue(harmless, (words, letter, text))

    def assert_all_harmless(self, *lines):
        for words in lines:
            done = self.run_command(LUCID, *words)
            self.assertIn(done.returncode, (0, 1), (words, done.stderr))
            self.assert_harmless(done.stdout, words)
            self.assert_harmless(done.stderr, words)

    def test_names_are_harmless(self):
        subject = self.subject()
        pid, block = subject.pid, subject.facts["block"]
        self.assert_all_harmless(
            ("layout", pid), ("stats", pid), ("heap", pid), ("heap", "--state", "cached", pid),
            ("verify", pid), ("arena", pid), ("explain", pid), ("frag", pid), ("options", pid),
            ("check", pid), ("bins", pid), ("ctl", pid, "stats"), ("ctl", pid, "trim"),
            ("map", pid), ("map", "--svg", "/dev/stdout", pid), ("top", "--once", pid),
            ("top", "--batch", "--count", "1", pid), ("block", "--refs", pid, block),
            ("find", pid, block), ("block", pid, "0x10"))

    def test_names_are_harmless_in_refusals(self):
        subject = self.subject()
        absent = self.folder / "no\x1b[31m\nforged"
        for words in (("heap", absent), ("heap", "--root", "9", subject.pid),
                      ("ctl", subject.pid, "\x1b[31m")):
            done = self.run_command(LUCID, *words)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assert_harmless(done.stderr, words)

    def test_names_are_harmless_in_cores(self):
        subject = self.subject()
        folder = self.folder / "cores\x1b[31m\nforged"
        folder.mkdir()
        self.succeed("gcore", "-o", folder / "core", subject.pid)
        core = folder / f"core.{subject.pid}"
        self.assert_all_harmless(*[(command, core) for command in (
            "layout", "stats", "heap", "arena", "explain", "frag", "check", "map", "options")])
        following = self.ask("explain", core)["next"]["command"]
        self.assert_harmless(following, "explain")
        shown = self.succeed("bash", "-c", f'lucid() {{ printf "%s" "${{@: -1}}"; }}; {following}')
        self.assertEqual(shown, str(core))

    def test_names_stay_readable(self):
        subject = self.subject()
        for words in (("arena", subject.pid), ("layout", subject.pid), ("explain", subject.pid),
                      ("top", "--once", subject.pid)):
            shown = self.lucid(*words, env={"LC_ALL": "C.UTF-8"}).stdout
            self.assertIn("wörker ?x", shown)
        rows = self.lucid("arena", subject.pid).stdout.splitlines()
        wide = next(row for row in rows if "wörker" in row)
        head = next(row for row in rows if "STATE" in row)
        self.assertEqual(wide.index("live"), head.index("STATE"))

    def test_names_are_whole_in_json(self):
        subject = self.subject()
        for command in ("arena", "layout", "heap"):
            self.assertEqual(self.ask(command, subject.pid)["target"]["name"], OWN_NAME)
        names = [thread["name"] for thread in self.ask("arena", subject.pid)["threads"]]
        self.assertIn("M\x1b[31m\x07\nforged", names)
        self.assertIn("wörker \u202ex", names)
        top = json.loads(self.lucid("top", "--once", "--json", subject.pid).stdout)
        self.assertEqual(sorted(thread["name"] for thread in top["threads"]), sorted(names))


if __name__ == "__main__":
    main(Names)
