"""Sampled guard pages: the fault, the report with its calls, and the program's own handlers."""

import re
import signal
from pathlib import Path

from onetest import LIBRARY, LUCID, Case, main

SOURCE = (Path(__file__).parent / "cases.c").read_text(encoding="utf-8")
HEAD = r"cases\(\d+\) lucid: "
FRAME = r"    0x[0-9a-f]+( \S+\+0x[0-9a-f]+)?"


class Guard(Case):
    def setUp(self):
        super().setUp()
        self.program = self.compile(SOURCE, "-O1", "-fno-builtin", "-pthread", "-w", name="cases")

    def case(self, name, options="guard=1/30"):
        return self.run_command(self.program, name,
                                env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": options})

    def says(self, name, options="guard=1/30"):
        done = self.case(name, options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.splitlines()

    def functions(self, lines):
        """The program's functions that the addresses of some lines lie in."""
        offsets = [found[1] for found in (re.search(r" cases\+(0x[0-9a-f]+)$", line)
                                          for line in lines) if found]
        # A return address belongs to the line behind the call; one less lies in the call.
        places = [hex(int(offset, 16) - 1) for offset in offsets]
        return set(self.succeed("addr2line", "-f", "-e", self.program, *places).split())

    def parts(self, report):
        """The first line, and for each heading the lines below it."""
        first, *rest = report.splitlines()
        parts = {}
        heading = None
        for line in rest:
            if line.startswith("    "):
                self.assertRegex(line, rf"\A{FRAME}\Z")
                parts[heading].append(line)
            else:
                heading = line.strip().split(" ")[0]
                parts[heading] = []
        return first, parts

    def assert_faults(self, name, line, **calls):
        """Dies of SIGSEGV with that line; the named functions are among the calls of each part."""
        done = self.case(name)
        self.assertEqual(done.returncode, -signal.SIGSEGV, done.stdout + done.stderr)
        first, parts = self.parts(done.stderr)
        self.assertRegex(first, rf"\A{HEAD}{line}\Z")
        self.assertEqual(set(parts), set(calls))
        for part, wanted in calls.items():
            self.assertLessEqual(set(wanted.split()), self.functions(parts[part]), part)

    def assert_stopped(self, name, function, kind, *parts_wanted):
        done = self.case(name)
        self.assertEqual(done.returncode, -signal.SIGABRT, done.stdout + done.stderr)
        first, parts = self.parts(done.stderr)
        self.assertRegex(first, rf"\A{HEAD}{function}\(\): {kind} 0x[0-9a-f]+ "
                                r"\(a sampled block .*\)\Z")
        self.assertEqual(list(parts), list(parts_wanted))

    def test_overflow_faults(self):
        self.assert_faults(
            "overflow",
            r"write: buffer overflow at 0x[0-9a-f]+ "
            r"\(0 bytes behind the 64-byte block 0x[0-9a-f]+\)",
            write="overflow main", allocated="take_sampled overflow main")
        self.assert_faults(
            "overflow_read",
            r"read: buffer overflow at 0x[0-9a-f]+ "
            r"\(0 bytes behind the 64-byte block 0x[0-9a-f]+\)",
            read="main", allocated="take_sampled main")

    def test_underflow_faults(self):
        self.assert_faults(
            "underflow",
            r"write: buffer underflow at 0x[0-9a-f]+ "
            r"\(1 bytes before the 64-byte block 0x[0-9a-f]+\)",
            write="underflow main", allocated="take_sampled underflow main")

    def test_use_after_free_faults(self):
        self.assert_faults(
            "use_after_free",
            r"write: use after free at 0x[0-9a-f]+ \(8 bytes into the 64-byte block 0x[0-9a-f]+\)",
            write="use_after_free main", allocated="take_sampled use_after_free main",
            freed="give use_after_free main")

    def test_damage_within_the_page_is_found_at_free(self):
        self.assert_stopped("small_overflow", "free", "buffer overflow of", "allocated")
        self.assert_stopped("small_underflow", "free", "buffer underflow of", "allocated")

    def test_misuse_of_sampled_blocks_is_found(self):
        self.assert_stopped("double_free", "free", "double free of", "allocated", "freed")
        self.assert_stopped("interior", "free", "pointer into the middle of a block", "allocated")
        self.assert_stopped("grow_freed", "realloc", "use of the free block", "allocated", "freed")

    def test_the_programs_handler_comes_after_the_report(self):
        for name, said in (("chained", ["handler 11", "goes on"]),
                           ("chained_info", ["handler 11 1", "goes on"])):
            done = self.case(name)
            self.assertEqual((done.returncode, done.stdout.splitlines()), (0, said), done.stderr)
            self.assertRegex(done.stderr, rf"\A{HEAD}write: buffer overflow at ")

    def test_faults_of_the_program_itself_are_its_own(self):
        done = self.case("foreign_fault")
        self.assertEqual(done.stdout.splitlines(), ["handler 11"] * 4 + ["goes on"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for name in ("foreign_fault_default", "raised_default"):
            done = self.case(name)
            self.assertEqual((done.returncode, done.stderr), (-signal.SIGSEGV, ""))
        self.assertEqual(self.says("raised_ignored"), ["goes on"])

    def test_handlers_on_another_stack_work(self):
        self.assertEqual(self.says("stack_overflow"), ["handler 11"])

    def test_the_family_works_and_slots_may_run_out(self):
        for options in ("guard=1/1", "guard=1/30", "guard=1/5000"):
            self.assertRegex(self.says("family", options)[0], r"\A\d+ sampled\Z")

    def test_threads_and_forks_work(self):
        self.assertEqual(self.says("threads", "guard=1/3"), ["done"])

    def test_the_rate_is_kept(self):
        for rate in (2000, 5000):
            sampled = [int(self.says("rate", f"guard=1/{rate}")[0]) for _ in range(4)]
            self.assertGreater(sum(sampled), 800000 / rate * 0.6, rate)
            self.assertLess(sum(sampled), 800000 / rate * 1.4, rate)
        self.assertEqual(self.says("rate", "guard=0"), ["0"])

    def test_nothing_is_installed_without_a_sample(self):
        maps = "cat /proc/self/maps /proc/self/status"
        for options in ("guard=0", "guard=1/1000000000"):
            off = self.run_command("sh", "-c", maps, env={"LD_PRELOAD": LIBRARY,
                                                          "LUCID_OPTIONS": options})
            self.assertNotIn("lucid guard", off.stdout)
            caught = int(re.search(r"SigCgt:\s+(\w+)", off.stdout)[1], 16)
            self.assertFalse(caught >> (signal.SIGSEGV - 1) & 1)

    def test_wrong_rates_are_told(self):
        for value in ("5000", "1/", "1/0", "2/5", "1/x", "yes"):
            done = self.run_command(LUCID, "options", env={"LUCID_OPTIONS": f"guard={value}"})
            self.assertIn(f"'{value}' is no value for guard, "
                          "which takes 0 or a rate such as 1/5000", done.stderr)
        for value in ("0", "1/1", "1/5000"):
            done = self.run_command(LUCID, "options", env={"LUCID_OPTIONS": f"guard={value}"})
            self.assertEqual(done.stderr, "")
            self.assertRegex(done.stdout, rf"(?m)^guard +{value} ")


main(Guard)
