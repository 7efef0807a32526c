"""Every resident byte explained: the parts add up, and are what the program knows they are."""

import os
import shutil
import sys

from onetest import main

from account import AccountCase

HALF_FREED = """
kept = [bytearray(2000) for _ in range(20000)]
del kept[1::2]
print("ready", flush=True)
import sys
sys.stdin.read()
"""

BIG = """
whole = bytearray(70 << 20)
large = bytes(1000000)
print("ready", flush=True)
import sys
sys.stdin.read()
"""


class Explain(AccountCase):
    # ---- stats -------------------------------------------------------------------------------

    def test_stats_closes_and_counts_the_blocks(self):
        subject = self.start("many", 200000, 100)
        stats = self.ask("stats", subject.pid)
        self.check_identity(stats)
        resident = self.rollup(subject.pid)
        self.assertLessEqual(abs(stats["smaps"] - resident), resident * 0.01)
        row = next(row for row in stats["classes"] if row["size"] == 112)
        self.assertGreaterEqual(row["blocks"], 200000)
        self.assertLess(row["blocks"], 200100)
        self.assertGreaterEqual(row["live"], 200000 * 112)
        self.assertLess(row["live"], 200100 * 112)
        text = self.lucid("stats", subject.pid).stdout
        self.assertRegex(text, r"residue +[-+ ] +\d")
        self.finish(subject)

    def test_stats_tells_blocks_from_slack(self):
        subject = self.python(BIG)
        stats = self.ask("stats", subject.pid)
        self.check_identity(stats)
        self.assertGreaterEqual(stats["blocks"]["mappings_asked"], 70 << 20)
        self.assertGreater(stats["resident"]["live"], (70 << 20) + 1000000)
        self.assertLess(stats["resident"]["live"], (70 << 20) + (40 << 20))
        self.assertLess(stats["resident"]["slack"], 1 << 20)

    def test_stats_sees_what_free_blocks_hold(self):
        subject = self.python(HALF_FREED)
        stats = self.ask("stats", subject.pid)
        self.check_identity(stats)
        self.assertGreater(stats["resident"]["live"], 10000 * 2000)
        held = stats["resident"]["partial"] + stats["resident"]["dirty"]
        held += stats["resident"]["cached"]
        self.assertGreater(held, 10000 * 500)
        self.assertLess(held, 10000 * 2600)

    def test_stats_in_hardened_mode(self):
        subject = self.start("many", 20000, 100, env={"LUCID_OPTIONS": "harden=1"})
        self.check_identity(self.ask("stats", subject.pid))

    def test_stats_of_a_core(self):
        if shutil.which("gcore") is None:
            self.skipTest("gcore is not installed")
        subject = self.start("many", 100000, 100)
        live = self.ask("stats", subject.pid)
        self.succeed("gcore", "-o", self.folder / "core", subject.pid)
        stats = self.ask("stats", self.folder / f"core.{subject.pid}")
        self.assertTrue(stats["estimated"])
        self.assertIsNone(stats["residue"])
        self.assertEqual(sum(stats["resident"].values()), stats["sum"])
        self.assertAlmostEqual(stats["resident"]["live"], live["resident"]["live"],
                               delta=live["resident"]["live"] * 0.02)

    def test_stats_openmetrics_parses(self):
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        except ImportError:
            debian = "/usr/lib/python3/dist-packages"
            if not os.path.isdir(f"{debian}/prometheus_client"):
                self.skipTest("python3-prometheus-client is not installed")
            sys.path.append(debian)
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        subject = self.start("many", 50000, 100)
        text = self.lucid("stats", "--openmetrics", subject.pid).stdout
        families = {family.name: family for family in text_string_to_metric_families(text)}
        stats = self.ask("stats", subject.pid)
        parts = {sample.labels["part"]: sample.value
                 for sample in families["lucid_resident_bytes"].samples}
        self.assertEqual(set(parts), set(stats["resident"]))
        self.assertEqual(parts["live"], stats["resident"]["live"])
        self.assertEqual(families["lucid_resident_bytes"].unit, "bytes")
        self.assertEqual(families["lucid_returned_bytes"].type, "counter")
        self.assertEqual(families["lucid_process"].samples[0].labels["pid"], str(subject.pid))
        blocks = [sample.value for sample in families["lucid_class_blocks"].samples
                  if sample.labels == {"size": "112", "state": "used"}]
        self.assertGreaterEqual(blocks[0], 50000)
        with self.assertRaises(ValueError):
            list(text_string_to_metric_families(text.replace("# EOF\n", "")))

    def test_stats_refuses(self):
        self.refuse("stats", 4194304, says="there is no process")
        subject = self.start("demo", library=None)
        self.refuse("stats", subject.pid, says="does not run on lucid")
        subject = self.start("demo")
        self.refuse("stats", "--json", "--openmetrics", subject.pid, says="two formats", code=64)


main(Explain)
