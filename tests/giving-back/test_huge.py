"""The option thp, and that huge pages do not fill what the program left untouched
or what was given back."""

import os
import re
import shutil
import subprocess

import hugepages
from onetest import BUILD, LIBRARY, Case, main

BURST = BUILD / "tests" / "giving-back" / "burst"
PARTS = BUILD / "tests" / "giving-back" / "hugeparts"
SPARSE = BUILD / "tests" / "giving-back" / "sparse"
MIB = 1 << 20
HUGE = 2 * MIB
PAUSE_MS = 2000
OURS = ("first", "last", "large", "mapping", "middle", "end", "units", "meta")


def read_areas(pid):
    """The mappings of a process: start, end, the fields of its smaps entry."""
    areas = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if head:
                areas.append((int(head[1], 16), int(head[2], 16), {}))
            else:
                name, value = line.split(":", 1)
                areas[-1][2][name] = value.split()
    return areas


def fallbacks():
    with open("/proc/vmstat", encoding="ascii") as vmstat:
        return int(re.search(r"(?m)^thp_fault_fallback (\d+)", vmstat.read())[1])


class Huge(Case):
    def begin(self, program, *words, options=""):
        process = subprocess.Popen([program, *map(str, words)], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE,
                                   env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": options})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        return process

    def parts(self, mib, options):
        """{part: fields of the mapping it lies in}"""
        process = self.begin(PARTS, mib, options=options)
        places = {name: int(place, 16) for name, place in
                  re.findall(r"(\w+) 0x([0-9a-f]+)", process.stdout.readline())}
        self.assertEqual(len(places), 9)
        self.front_ends = -(-int(process.stdout.readline().split()[-1], 16) // HUGE) * HUGE
        self.first = places["first"]
        areas = read_areas(process.pid)
        return {name: next(fields for start, end, fields in areas if start <= place < end)
                for name, place in places.items()}

    def assert_flag(self, parts, flag, names):
        for name, fields in parts.items():
            self.assertEqual(flag in fields["VmFlags"], name in names, (name, fields))

    def huge_bytes(self, fields):
        return int(fields["AnonHugePages"][0]) * 1024

    def assert_huge(self, fields, least, before):
        """Unless the kernel had none left."""
        self.assertEqual(fields["THPeligible"], ["1"])
        if fallbacks() == before:
            self.assertGreaterEqual(self.huge_bytes(fields), least, fields)

    # ---- the option --------------------------------------------------------------------------

    def test_never_is_none(self):
        for setting in ("always", "madvise", "never"):
            hugepages.set_system(self, setting)
            for mib in (1, 40):
                parts = self.parts(mib, "thp=never")
                self.assert_flag(parts, "nh", OURS)
                self.assertEqual(sum(self.huge_bytes(parts[name]) for name in OURS), 0)

    def test_never_leaves_the_programs_own_memory_alone(self):
        hugepages.set_system(self, "always")
        self.assertEqual(self.parts(1, "thp=never")["own"]["THPeligible"], ["1"])

    def test_always_is_everywhere(self):
        for setting in ("always", "madvise"):
            hugepages.set_system(self, setting)
            before = fallbacks()
            parts = self.parts(8, "thp=always")
            # One random place of the break in 32 puts no unit ahead of the first huge page.
            first = ("first",) if self.first >= self.front_ends else ()
            self.assert_flag(parts, "hg", ("last", "large", "mapping", "middle", "end", *first))
            self.assert_huge(parts["last"], 14 * MIB, before)
            self.assert_huge(parts["mapping"], 60 * MIB, before)

    def test_always_asks_in_vain_when_the_system_has_none(self):
        hugepages.set_system(self, "never")
        parts = self.parts(8, "thp=always")
        self.assertEqual(sum(self.huge_bytes(fields) for fields in parts.values()), 0)

    def test_auto_asks_where_they_pay(self):
        hugepages.set_system(self, "madvise")
        before = fallbacks()
        for mib in (1, 20):  # the last small block 1 MiB into the arena, and 20
            self.assert_flag(self.parts(mib, "thp=auto"), "hg", ("large", "middle"))
        parts = self.parts(60, "")
        self.assert_flag(parts, "hg", ("last", "large", "middle"))
        self.assert_flag(parts, "nh", ())
        self.assert_huge(parts["last"], 20 * MIB, before)
        self.assert_huge(parts["middle"], 44 * MIB, before)

    def test_with_a_limit_there_are_none(self):
        hugepages.set_system(self, "always")
        parts = self.parts(40, "thp=always,limit=1G")
        self.assert_flag(parts, "nh", ("first", "last", "large"))
        self.assertEqual(self.huge_bytes(parts["last"]), 0)

    def test_never_costs_one_call_for_each_growth(self):
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        log = self.folder / "log"
        self.succeed("strace", "-f", "-o", log, "-e", "trace=brk,madvise", PARTS, 100,
                     env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": "thp=never"})
        calls = log.read_text(encoding="utf-8")
        declined = calls.count("MADV_NOHUGEPAGE")
        self.assertGreater(declined, 10)
        self.assertLessEqual(declined, calls.count(" brk(") + 2)
        self.assertLess(declined, 50)

    # ---- memory that the program leaves untouched --------------------------------------------

    def take(self, *steps, options=""):
        """MiB that are resident, MiB of these in huge pages, how many files are open."""
        process = self.begin(SPARSE, *steps, options=options)
        self.assertEqual(process.stdout.readline(), "done\n")
        areas = [fields for _, _, fields in read_areas(process.pid)]
        resident = sum(int(fields["Rss"][0]) for fields in areas) / 1024
        huge = sum(self.huge_bytes(fields) for fields in areas) / MIB
        return resident, huge, len(os.listdir(f"/proc/{process.pid}/fd"))

    def stays_untouched(self, more):
        for step, touched in (("600x1048576:16384", 9.4), ("5000x65536:8192", 39),
                              ("400x2097152:4096", 1.6), ("20000x20000:100", 78),
                              ("60x16000000:100000", 6), ("40x12582912:3145728", 120),
                              ("1x138000000:13000000", 12.4)):
            self.assertLess(self.take(step)[0], touched * 1.1 + 8 + more, step)

    def test_memory_left_untouched_has_no_huge_pages(self):
        hugepages.set_system(self, "madvise")
        self.stays_untouched(0)
        self.assertLess(self.take("60x41943040:100000")[0], 6 * 1.1 + 8)
        judged = 4 * 4 * 2  # each thread has its own first four
        self.assertLess(self.take("60x16000000:100000&")[0], 24 * 1.1 + 8 + judged)
        self.assertLess(self.take("1x200000000:409600t")[0], 1.9 + 8)

    def test_memory_left_untouched_has_few_huge_pages_of_the_systems(self):
        hugepages.set_system(self, "always")  # to all memory, and lucid begins with the first 8 MiB
        self.stays_untouched(72)

    def test_mappings_left_untouched_have_them_four_times(self):
        hugepages.set_system(self, "madvise")
        few = 4 * 96
        self.assertLess(self.take("12x100000000:409600s")[0], few + 8 * 0.96 + 12)
        self.assertLess(self.take("5x100000000:409600f", "1x100000000:409600s",
                                  options="mmap_threshold=32M")[0], 0.96 + 12)

    def assert_mostly_huge(self, least, *steps):
        """Unless the kernel had none left."""
        before = fallbacks()
        _, huge, _ = self.take(*steps)
        if fallbacks() == before:
            self.assertGreater(huge, least, steps)

    def test_filled_memory_has_huge_pages(self):
        hugepages.set_system(self, "madvise")
        for step in ("200x1000000", "2000x100000", "200x1000000/", "30x6000000/", "5x12000000&"):
            self.assert_mostly_huge(130, step)

    def test_zeroed_blocks_have_none_until_one_was_filled(self):
        hugepages.set_system(self, "madvise")
        sparse = "1x12000000:409600t"
        self.assertLess(self.take(sparse)[0], 0.2 + 8)
        self.assertLess(self.take("50x1000001", sparse)[0], 48 + 0.2 + 8)
        self.assert_mostly_huge(80, "10x12000000z")

    def test_what_was_untouched_once_is_no_reason_for_ever(self):
        hugepages.set_system(self, "madvise")
        self.assert_mostly_huge(12, "6x8000000:4096-", "1x20000000-", "1x20000000")

    def test_who_changes_is_noticed(self):
        hugepages.set_system(self, "madvise")
        self.assert_mostly_huge(80, "200x1048576:16384", "200x1000001")
        self.assertLess(self.take("200x1048576:16384", "200x1000001")[0], 3.2 + 191 + 12)
        self.assertLess(self.take("100x1000001", "500x1048576:16384")[0], 96 + 200)

    def test_huge_pages_where_nobody_tells(self):
        hugepages.set_system(self, "madvise")
        for how in ("nofile", "restrict"):
            self.assert_mostly_huge(130, how, "200x1048576:16384")

    def test_no_file_is_opened_in_a_sandbox_or_left_open(self):
        self.assertEqual(self.take("200x1048576:16384", "9x8000000")[2], 3)
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        for how, options, opened in (((), "", True), (("restrict",), "", False),
                                     ((), "thp=never", False), ((), "thp=always", False)):
            log = self.folder / "log"
            self.succeed("strace", "-f", "-o", log, "-e", "trace=openat", SPARSE, *how,
                         "200x1048576:16384", "9x8000000",
                         env={"LD_PRELOAD": LIBRARY, "LUCID_OPTIONS": options})
            self.assertEqual("pagemap" in log.read_text(encoding="utf-8"), opened, (how, options))

    def test_small_blocks_ask_nobody(self):
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        log = self.folder / "log"
        self.succeed("strace", "-f", "-o", log, "-e", "trace=openat", SPARSE, "200000x512",
                     env={"LD_PRELOAD": LIBRARY})
        self.assertNotIn("pagemap", log.read_text(encoding="utf-8"))

    def faults(self, *steps):
        process = self.begin(SPARSE, *steps)
        self.assertEqual(process.stdout.readline(), "done\n")
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
            return int(stat.read().rpartition(")")[2].split()[7])

    def test_zeroed_blocks_are_put_there_where_huge_pages_were_declined(self):
        hugepages.set_system(self, "madvise")
        sparse, zeroed = "200x1048576:16384", "100x200000z"
        elsewhere = self.faults("1x100", zeroed) - self.faults("1x100")
        self.assertGreater(elsewhere, 100 * 48)
        self.assertLess(self.faults(sparse, zeroed) - self.faults(sparse), elsewhere * 1.2)

    def test_a_first_growth_by_a_recycled_block(self):
        hugepages.set_system(self, "madvise")
        self.assert_mostly_huge(120, "1x150000000-", "1x140000000")

    # ---- what was given back -----------------------------------------------------------------

    def settles(self, shape, setting, options):
        """MiB: what was resident before, after the pause and later;
        for the longest pause needed."""
        left = {}
        for pause in (PAUSE_MS, 2 * PAUSE_MS, 5 * PAUSE_MS):
            process = self.begin(BURST, *shape, pause, 1, "wait", options=options)
            said = process.stdout.readline()
            hugepages.wait_for_khugepaged(self)
            said += process.communicate("\n", timeout=100)[0]
            left = {name: float(value) for name, value in
                    re.findall(r"(live|before|after|floor|later) ([\d.]+)", said)}
            left["allowed"] = left["before"] + max(left["live"], left["floor"]) * 1.2 + 4
            if left["after"] <= left["allowed"]:
                break
        self.assertLessEqual(left["after"], left["allowed"], (shape, setting, options))
        self.assertLessEqual(left["later"], left["allowed"], (shape, setting, options, left))

    def holes_stay(self, setting, options=""):
        hugepages.set_system(self, setting)
        hugepages.make_khugepaged_eager(self)
        for shape in (("small", 12, 2, 0), ("small", 100, 2, 0), ("mixed", 100, 2, 4),
                      ("large", 200, 5, 0), ("random", 100, 0, 4)):
            self.settles(shape, setting, options)

    def test_holes_stay_with_huge_pages_never(self):
        self.holes_stay("never")

    def test_holes_stay_with_huge_pages_on_request(self):
        self.holes_stay("madvise")

    def test_holes_stay_with_huge_pages_always(self):
        self.holes_stay("always")

    def test_holes_stay_when_huge_pages_are_asked_for_everywhere(self):
        self.holes_stay("always", "thp=always")


main(Huge)
