"""Where options come from: the file, the program's symbol, the environment;
and who ignores what."""

import os
import re
import shutil

from onetest import BUILD, LIBRARY, LUCID, SOURCE, Case, main

INCLUDE = SOURCE / "include"

PROGRAM = """
#include <lucid.h>
#include <stdlib.h>
const char *lucid_options = "%s";
int main(void) { free(malloc(100)); return 0; }
"""
UNDER_FILE = """
mount -t tmpfs none /etc && cat >/etc/lucid.conf && shift && exec "$@"
"""


class Options(Case):
    def with_file(self, text, *command, env=None):
        """Runs a command where /etc/lucid.conf has this text; nobody else sees the file."""
        if shutil.which("unshare") is None or self.run_command(
                "unshare", "-rm", "mount", "-t", "tmpfs", "none", "/etc").returncode != 0:
            self.skipTest("needs a mount namespace of its own")
        space = ["unshare", "-m" if os.getuid() == 0 else "-rm"]
        return self.run_command(*space, "sh", "-c", UNDER_FILE, "sh", "sh", *command, env=env,
                                stdin=None, input=text)

    def link(self, symbol):
        return self.compile(PROGRAM % symbol, BUILD / "lucid.o", "-I", INCLUDE)

    def sources(self, listed):
        return dict(re.findall(r"(?m)^(\w+) +\S+ +\S+ +(\S+) ", listed))

    def test_file_is_read(self):
        done = self.with_file("# for all\npurge_age = 3s\n\nsummary=1\n", LUCID, "options",
                              env={"LUCID_OPTIONS": "summary=0"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        sources = self.sources(done.stdout)
        self.assertEqual(sources["purge_age"], "/etc/lucid.conf")
        self.assertEqual(sources["summary"], "LUCID_OPTIONS")
        self.assertEqual(sources["purge"], "default")
        self.assertRegex(done.stdout, r"(?m)^purge_age +3s ")

    def test_file_steers_the_library(self):
        done = self.with_file("summary=1\n", self.link("purge=1"))
        self.assertIn("live at exit", done.stderr)
        done = self.with_file("summary=1\n", self.link("summary=0"))
        self.assertEqual(done.stderr, "")

    def test_mistakes_in_the_file(self):
        done = self.with_file("purge=1\n\nprge=1\n", self.link(""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("/etc/lucid.conf, line 3: no option is called 'prge'; did you mean 'purge'?",
                      done.stderr)
        done = self.with_file("prge=1\n", LUCID, "options")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean 'purge'?", done.stderr)

    def test_long_file(self):
        done = self.with_file("purge=1\n" * 600 + "summary=1\n", self.link(""))
        self.assertIn("longer than 4095 bytes", done.stderr)
        self.assertNotIn("live at exit", done.stderr)
        done = self.with_file("#" * 4083 + "\npurge_age=1000s\n", LUCID, "options")
        self.assertIn("longer than 4095 bytes", done.stderr)
        self.assertRegex(done.stdout, r"(?m)^purge_age +500ms ", "what is cut off is no value")
        self.assertEqual(done.returncode, 1)

    def test_longest_file(self):
        """All of it is read, the last line included, which need not end."""
        last = "\nsummary=1"
        longest = "#" * (4095 - len(last)) + last
        done = self.with_file(longest, self.link(""))
        self.assertNotIn("longer than", done.stderr)
        self.assertIn("live at exit", done.stderr)
        done = self.with_file(longest + "\n", self.link(""))
        self.assertIn("longer than 4095 bytes", done.stderr)

    def test_strange_files(self):
        for text in ("", "\n", "\0purge=9", "#", "=", "purge=1", "\r\n", "\xff" * 5000):
            done = self.with_file(text, self.link("summary=1"))
            self.assertEqual(done.returncode, 0, text)
            self.assertIn("live at exit", done.stderr)

    def test_symbol(self):
        program = self.link("summary=1")
        self.assertIn("live at exit", self.run_command(program).stderr)
        quiet = self.run_command(program, env={"LUCID_OPTIONS": "summary=0"})
        self.assertEqual(quiet.stderr, "", "the environment counts more")
        wrong = self.run_command(self.link("sumary=1"))
        self.assertRegex(wrong.stderr, r"^program\(\d+\) lucid: lucid_options: no option is called "
                                       r"'sumary'; did you mean 'summary'\?\n$")

    def test_symbol_of_a_program_linked_with_the_library(self):
        program = self.compile(PROGRAM % "summary=1", "-I", INCLUDE, "-fvisibility=hidden",
                               f"-Wl,-rpath,{BUILD}", LIBRARY)
        self.assertIn("live at exit", self.run_command(program).stderr)

    def test_symbol_under_preload(self):
        program = self.compile(PROGRAM % "summary=1", "-I", INCLUDE, "-rdynamic")
        done = self.run_command(program, env={"LD_PRELOAD": LIBRARY})
        self.assertIn("live at exit", done.stderr)

    def test_symbol_in_cxx(self):
        program = self.compile((PROGRAM % "summary=1").replace("(void)", "()"), BUILD / "lucid.o",
                               "-I", INCLUDE, compiler="c++", suffix=".cc")
        self.assertIn("live at exit", self.run_command(program).stderr)

    def test_more_rights_than_the_user(self):
        if os.statvfs(self.folder).f_flag & os.ST_NOSUID:
            self.skipTest("the folder for temporary files is mounted nosuid")
        if os.getuid() != 0:
            self.skipTest("only root can make a program of another user")
        for symbol, heard in (("summary=1", True), ("purge=1", False)):
            program = self.link(symbol)
            os.chown(program, 1, 0)
            program.chmod(0o4755)
            done = self.run_command(program, env={"LUCID_OPTIONS": "summary=1,nonsense=1"})
            self.assertEqual("live at exit" in done.stderr, heard, done.stderr)
            self.assertNotIn("nonsense", done.stderr)
            done = self.with_file("summary=1\n", program)
            self.assertIn("live at exit", done.stderr)

    def test_options_of_a_process(self):
        done = self.run_command(LUCID, "options", "--", self.link("purge_age=7s"),
                                env={"LUCID_OPTIONS": "quarantine=2M"})
        sources = self.sources(done.stdout)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sources["purge_age"], "lucid_options")
        self.assertEqual(sources["quarantine"], "LUCID_OPTIONS")
        self.assertEqual(sources["purge"], "default")


main(Options)
