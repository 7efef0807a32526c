"""A process whose helper is at the bins of a sleeping thread: each block is the program's, in that
thread's bin, or free, at whatever instruction it is read."""

import os
import shutil

from onetest import BUILD, main
from target import ReaderCase

SLEEPER = BUILD / "tests" / "reader" / "reader_sleeper"
USED = 150  # sleeper.c keeps each fourth of 200 blocks of 3 sizes
ASKED, FENCED, TAKEN = 1, 2, 3
# Instructions into the step that makes fences, and into the one that takes what lies below: it has
# some 50,000. Further ones are those at its end.
FENCING = (60, 400, 900, 1500, 2500)
TAKING = (60, 200, 450, 1000, 1600, 2300, 4000, 7000, 12000, 20000, 30000, 40000, 55000)
BATCH = 64  # blocks that may be on their way


class Sleeper(ReaderCase):
    def at(self, *words):
        """The program, stopped there."""
        return self.start(*words, library=None, program=SLEEPER)

    def stepped(self, stage, steps):
        if os.uname().machine != "x86_64":
            self.skipTest("the steps of this processor are not known")
        return self.at(stage, steps)

    def check_blocks(self, subject, *target):
        """All commands agree about what the program uses. Returns how many blocks are in bins."""
        tid = int(subject.facts["tid"])
        blocks = self.ask("heap", *target)["blocks"]
        states = {name: [b for b in blocks if b["state"] == name] for name in ("used", "cached")}
        self.assertEqual(len(states["used"]), USED)
        self.assertEqual({b["thread"] for b in states["cached"]} | {tid}, {tid})
        cached = len(states["cached"])
        size = sum(b["size"] for b in states["cached"])
        rows = self.ask("bins", *target)["classes"]
        self.assertEqual(sum(row["used"] for row in rows), USED)
        self.assertEqual(sum(row["cached"] for row in rows), cached)
        stats = self.ask("stats", *target)
        self.assertTrue(stats["closes"])
        self.assertEqual(stats["blocks"]["small"], USED)
        self.assertEqual(sum(row["cached_blocks"] for row in stats["classes"]), cached)
        explained = self.ask("explain", *target)
        self.assertTrue(explained["closes"])
        self.assertEqual(sum(row["blocks"] for row in explained["classes"]), USED)
        check = self.ask("check", *target, code=0)
        self.assertEqual(check["findings"], [])
        if int(subject.facts["leaving"]) == 0:
            self.assertEqual(check["cached"], cached)
            self.assertEqual(self.of_thread(rows, tid), cached)
            self.assertEqual(stats["threads"], [dict(stats["threads"][0], tid=tid, cached=size)])
            self.assertEqual(explained["bins"]["cached"], size)
        return cached

    def of_thread(self, rows, tid):
        return sum(own["blocks"] for row in rows for own in row["bins"] if own["thread"] == tid)

    def check_inside(self, subject, cached):
        """What lucid_stats_get said there; of blocks that are leaving it may say anything."""
        leaving = BATCH if int(subject.facts["leaving"]) else 0
        self.assertAlmostEqual(int(subject.facts["used"]), USED, delta=leaving)
        self.assertAlmostEqual(int(subject.facts["cached"]), cached, delta=leaving)

    def check_kept_aside(self, subject, *target):
        block = self.ask("block", *target, subject.facts["aside"])["block"]
        self.assertEqual((block["state"], block["thread"], block["size"]),
                         ("cached", int(subject.facts["tid"]), 48))

    def test_fences_keep_cached_blocks(self):
        asked = self.at(ASKED)
        before = self.check_blocks(asked, asked.pid)
        self.check_inside(asked, before)
        subject = self.at(FENCED)
        for freeze in ((), ("--freeze",)):
            self.assertEqual(self.check_blocks(subject, *freeze, subject.pid), before)
            self.check_kept_aside(subject, *freeze, subject.pid)
        self.check_inside(subject, before)
        self.finish(subject)

    def test_fences_in_a_core(self):
        if shutil.which("gcore") is None:
            self.skipTest("gcore is not installed")
        subject = self.at(FENCED)
        before = self.check_blocks(subject, subject.pid)
        self.succeed("gcore", "-o", self.folder / "core", subject.pid)
        core = self.folder / f"core.{subject.pid}"
        self.assertEqual(self.check_blocks(subject, core), before)
        self.check_kept_aside(subject, core)

    def test_nothing_stays(self):
        subject = self.at(TAKEN)
        self.assertEqual(self.check_blocks(subject, subject.pid), 0)
        self.check_inside(subject, 0)
        said = self.lucid("arena", subject.pid).stdout
        self.assertRegex(said, rf"\n +{subject.facts['tid']} +\S+ +live +0 ")

    def test_at_each_point_of_fencing(self):
        before = None
        for steps in FENCING:
            subject = self.stepped(FENCED, steps)
            cached = self.check_blocks(subject, subject.pid)
            self.assertEqual(cached, before or cached)
            self.check_inside(subject, cached)
            before = cached

    def test_at_each_point_of_taking(self):
        seen = set()
        for steps in TAKING:
            subject = self.stepped(TAKEN, steps)
            cached = self.check_blocks(subject, subject.pid)
            self.check_inside(subject, cached)
            seen.add(cached)
        self.assertGreater(len(seen), 3, "the steps led nowhere")


main(Sleeper)
