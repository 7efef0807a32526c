"""Hardened mode: each promise by the case that breaks it, with the line it ends with."""

import signal
from pathlib import Path

from onetest import LIBRARY, Case, main

SOURCE = (Path(__file__).parent / "cases.c").read_text(encoding="utf-8")


class Harden(Case):
    def setUp(self):
        super().setUp()
        self.program = self.compile(SOURCE, "-O1", "-fno-builtin", "-pthread", "-w", name="cases")

    def case(self, name, options="harden=1"):
        return self.run_command(self.program, name,
                                env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": options})

    def assert_stopped(self, name, function, kind, details, options="harden=1"):
        done = self.case(name, options)
        self.assertEqual(done.returncode, -signal.SIGABRT, done.stdout + done.stderr)
        line = rf"cases\(\d+\) lucid: {function}\(\): {kind} 0x[0-9a-f]+ \({details}\)\n"
        self.assertRegex(done.stderr, rf"\A{line}\Z")

    def says(self, name, options="harden=1"):
        done = self.case(name, options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.split()

    def test_overflows_are_found_at_free(self):
        for name in ("write_one_behind", "write_zero_behind", "write_into_slack",
                     "write_canary_end", "overflow_after_shrinking"):
            self.assert_stopped(name, "free", "buffer overflow of",
                                r"(32|48)-byte block of span 0x[0-9a-f]+")
            self.assertEqual(self.case(name, "harden=0").returncode, 0)

    def test_overflow_is_found_by_realloc(self):
        self.assert_stopped("overflow_seen_by_realloc", "realloc", "buffer overflow of",
                            r"48-byte block of span 0x[0-9a-f]+")

    def test_write_after_free_is_found(self):
        self.assert_stopped("write_after_free", "(free|malloc)", "write after free to",
                            r"48 bytes into the 112-byte block 0x[0-9a-f]+ of span 0x[0-9a-f]+")
        self.assert_stopped("write_after_free_first", "(free|malloc)", "write after free to",
                            r"8 bytes into the 112-byte block 0x[0-9a-f]+ of span 0x[0-9a-f]+")

    def test_write_after_free_is_found_on_leaving_the_quarantine(self):
        self.assert_stopped("write_after_free_evicted", "free", "write after free to",
                            r"96 bytes into the 112-byte block 0x[0-9a-f]+ of span 0x[0-9a-f]+")

    def test_write_after_free_is_found_without_a_quarantine(self):
        self.assert_stopped("write_after_free", "malloc", "write after free to", r".*",
                            "harden=1,quarantine=0")

    def test_double_frees_are_found_at_once(self):
        for name in ("double_free", "double_free_overwritten", "double_free_later",
                     "free_elsewhere_twice"):
            self.assert_stopped(name, "free", "double free of",
                                r"112-byte block of span 0x[0-9a-f]+")

    def test_interior_pointers_are_found_at_once(self):
        self.assert_stopped("interior", "free", "pointer into the middle of a block",
                            r"16 bytes into the 112-byte block 0x[0-9a-f]+ of span 0x[0-9a-f]+")

    def test_large_blocks_lie_between_fences(self):
        for name in ("large_overflow_fault", "large_underflow_fault", "large_use_after_free"):
            self.assertEqual(self.case(name).returncode, -signal.SIGSEGV, name)
            self.assertNotEqual(self.case(name, "harden=0").returncode, -signal.SIGSEGV, name)

    def test_large_overflows_within_the_page_are_found_at_free(self):
        self.assertEqual(self.case("large_overflow").returncode, -signal.SIGSEGV)
        self.assert_stopped("large_overflow_within_the_page", "free", "buffer overflow of",
                            "99999-byte mapped block")
        self.assert_stopped("large_underflow", "free", "buffer underflow of",
                            r"\d+-byte mapped block")

    def test_large_double_free_is_found(self):
        self.assert_stopped("large_double_free", "free", "double free of", r".*")

    def test_a_wrong_size_is_found(self):
        for name in ("one_too_small", "one_too_large"):
            self.assert_stopped(name, "free_sized", "wrong size given with",
                                r"112-byte block of span 0x[0-9a-f]+")

    def test_usable_size_is_what_was_asked_for(self):
        self.assertEqual(set(self.says("usable")), {"0"})

    def test_freed_blocks_are_wiped(self):
        self.assertEqual(self.says("wiped"), ["0"])

    def test_freed_blocks_are_not_used_again_soon(self):
        self.assertEqual(self.says("reuse"), ["0"])
        self.assertNotEqual(self.says("reuse", "harden=0"), ["0"])

    def test_quarantine_is_bounded(self):
        self.assertEqual(self.says("in_use"), ["0"])  # quarantined blocks do not count as used
        self.assertNotEqual(self.says("reuse", "harden=1,quarantine=1K"), ["0"])

    def test_blocks_are_placed_at_random(self):
        self.assertEqual(len({tuple(self.says("placement", "harden=0")) for _ in range(3)}), 1)
        self.assertGreater(len({tuple(self.says("placement")) for _ in range(3)}), 1)
        offsets = [int(word) for word in self.says("placement")]
        self.assertNotEqual(offsets, sorted(offsets))

    def test_memory_of_one_class_reaches_another_through_the_system(self):
        # The span in hand is kept: 16 blocks of 1024 bytes.
        self.assertLessEqual(int(self.says("isolation", "harden=1,quarantine=0")[0]), 16)
        self.assertGreater(int(self.says("isolation", "harden=0,purge=0")[0]), 16)

    def test_the_whole_family_works(self):
        for options in ("harden=1", "harden=1,quarantine=0", "harden=1,events=1"):
            self.assertEqual(self.says("family", options), ["done"])

    def test_the_kinds_are_documented(self):
        text = (Path(__file__).parents[2] / "docs" / "hardening.md").read_text(encoding="utf-8")
        for kind in ("buffer overflow of", "buffer underflow of", "write after free to"):
            self.assertIn(kind, text)


main(Harden)
