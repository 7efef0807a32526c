"""lucid without a program to run: help, version, mistakes, options."""

import json
import os
import re
import shutil

from onetest import LUCID, SOURCE, Case, main


class Cli(Case):
    def commands(self):
        listed = self.succeed(LUCID, "--help")
        return re.findall(r"^  ([a-z]+) +\S", listed, re.MULTILINE)

    def test_help_lists_every_command(self):
        table = (SOURCE / "tools" / "commands.h").read_text(encoding="utf-8")
        self.assertEqual(self.commands(), re.findall(r'^    \{"(\w+)",', table, re.MULTILINE))
        self.assertIn("run", self.commands())

    def test_every_command_has_help_with_an_example(self):
        for command in self.commands():
            for words in (("help", command), (command, "--help")):
                shown = self.succeed(LUCID, *words)
                self.assertTrue(shown.startswith(f"usage: lucid {command}"), shown)
                self.assertIn("example: ", shown)

    def test_help_offers_only_what_is_taken(self):
        for command in ("ctl", "top"):
            shown = self.succeed(LUCID, command, "--help")
            self.assertTrue(shown.startswith(f"usage: lucid {command} [OPTIONS] PID"), shown)
            for refused in ("core file", "--freeze", "--break", "-- PROGRAM"):
                self.assertNotIn(refused, shown)
            self.assertNotIn("--freeze", self.complete(command, "--"))

    def test_every_command_refuses_unknown_options(self):
        for command in self.commands():
            done = self.run_command(LUCID, command, "--no-such-option")
            self.assertEqual(done.returncode, 64, command)
            self.assertIn("no-such-option", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_every_command_has_a_manual_entry(self):
        page = (SOURCE / "docs" / "man" / "lucid.1").read_text(encoding="utf-8")
        for command in self.commands():
            self.assertRegex(page, rf"(?m)^\.It Ic {command}\b", command)

    def complete(self, *words):
        """What bash would offer for the last of the words."""
        ask = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
               '_lucid; printf "%s\\n" "${COMPREPLY[@]}"')
        script = SOURCE / "completions" / "lucid.bash"
        return sorted(self.succeed("bash", "-c", ask, "bash", script, LUCID, *words).split())

    def test_bash_completes_commands(self):
        self.assertEqual(self.complete(""),
                         sorted([*self.commands(), "help", "--help", "--version"]))
        self.assertEqual(self.complete("ver"), ["verify"])
        self.assertEqual(self.complete("help", "ver"), ["verify"])

    def test_bash_completes_options(self):
        self.assertEqual(self.complete("run", "--s"), ["--strict", "--summary"])
        for command in self.commands():
            self.assertIn("--help", self.complete(command, "--"))

    def test_bash_completes_programs_and_processes(self):
        self.assertIn("true", self.complete("run", "tru"))
        self.assertIn("true", self.complete("run", "--", "tru"))
        self.assertIn("1", self.complete("verify", "1"))
        self.assertIn("1", self.complete("ctl", "1"))
        self.assertEqual(self.complete("ctl", "1", "p"), ["purge"])
        self.assertIn("1", self.complete("options", "1"))

    def test_zsh_completion_parses(self):
        zsh = shutil.which("zsh")
        if zsh is None:
            self.skipTest("zsh is not installed")
        self.succeed(zsh, "-n", SOURCE / "completions" / "lucid.zsh")

    def test_version(self):
        header = (SOURCE / "include" / "lucid.h").read_text(encoding="utf-8")
        version = re.search(r'#define LUCID_VERSION "(.*)"', header)[1]
        self.assertEqual(self.succeed(LUCID, "--version"), f"lucid {version}\n")

    def test_output_that_cannot_be_written(self):
        lines = [("--help",), ("help",), ("--version",), ("verify", os.getpid()), ("options",),
                 ("layout", os.getpid())]
        for command in self.commands():
            lines += [("help", command), (command, "--help")]
        for words in lines:
            for to in ("> /dev/full", ">&-"):
                done = self.run_command("sh", "-c", f'exec "$@" {to}', "sh", LUCID, *words)
                self.assertEqual(done.returncode, 2, (words, to))
                self.assertIn("the output could not be written", done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_each_command_speaks_for_itself(self):
        """Also where the sentence is about a program, or the library it should get."""
        library = {"LUCID_LIBRARY": "/nonexistent"}
        for command in ("run", "bench", "heap"):
            for words, env in ((("--", "no-such-program"), None), (("--", "/etc"), None),
                               (("--", "true"), library)):
                done = self.run_command(LUCID, command, *words, env=env)
                self.assertNotEqual(done.returncode, 0, (command, words))
                first = done.stderr.splitlines()[0]
                self.assertTrue(first.startswith(f"lucid {command}: "), done.stderr)

    def test_no_command(self):
        done = self.run_command(LUCID)
        self.assertEqual(done.returncode, 64)
        self.assertIn("usage: lucid", done.stderr)

    def test_unknown_command_gets_the_nearest(self):
        for typed, meant in (("rnu", "run"), ("verfy", "verify"), ("opt", "options")):
            done = self.run_command(LUCID, typed)
            self.assertEqual(done.returncode, 64)
            self.assertIn(f'did you mean "{meant}"?', done.stderr)
        done = self.run_command(LUCID, "x" * 500)
        self.assertEqual(done.returncode, 64)
        self.assertNotIn("did you mean", done.stderr)

    def test_help_on_nothing(self):
        done = self.run_command(LUCID, "help", "rnu")
        self.assertEqual(done.returncode, 64)
        self.assertIn('did you mean "run"?', done.stderr)

    def test_options_lists_the_table(self):
        rows = self.succeed(LUCID, "options").splitlines()
        names = [row.split()[0] for row in rows[1:]]
        source = (SOURCE / "src" / "options.c").read_text(encoding="utf-8")
        self.assertEqual(names, re.findall(r'\[OPTION_\w+\] =\s*\{"(\w+)"', source))
        self.assertTrue(all(" default " in row for row in rows[1:]))

    def test_options_are_in_the_manual(self):
        page = (SOURCE / "docs" / "man" / "lucid-options.7").read_text(encoding="utf-8")
        for row in self.succeed(LUCID, "options").splitlines()[1:]:
            name, _, default = row.split()[:3]
            entry = re.search(rf"(?m)^\.It Cm {name}\b.*\n(?:(?!\.It).*\n)*", page)
            self.assertIsNotNone(entry, name)
            self.assertIn(f"Default: {default}.", entry[0], name)
        for row in json.loads(self.succeed(LUCID, "options", "--json"))["options"]:
            entry = re.search(rf"(?m)^\.It Cm {row['name']}\b.*\n(?:(?!\.It).*\n)*", page)
            self.assertEqual("Can be set at run time." in entry[0], row["at_run_time"], entry[0])

    def test_options_shows_where_a_value_comes_from(self):
        shown = self.succeed(LUCID, "options", env={"LUCID_OPTIONS": "purge_age=2s"})
        self.assertRegex(shown, r"(?m)^purge_age +2s +\S+ +LUCID_OPTIONS ")
        self.assertRegex(shown, r"(?m)^purge +\S+ +\S+ +default ")

    def test_options_finds_mistakes(self):
        for mistake in ("pruge=1", "purge=maybe", "purge_age=-1", "purge_age=2h", "=", "purge"):
            done = self.run_command(LUCID, "options", env={"LUCID_OPTIONS": mistake})
            self.assertEqual(done.returncode, 1, mistake)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertNotIn(" LUCID_OPTIONS ", done.stdout)

    def test_options_of_what_is_none(self):
        done = self.run_command(LUCID, "options", "purge")
        self.assertEqual(done.returncode, 2)
        self.assertIn("purge", done.stderr)


main(Cli)
