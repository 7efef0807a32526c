"""What the tests of accounting have in common: the identity, and the kernel's own summary."""

import os
import shutil
import subprocess
import sys
import time

from onetest import LIBRARY, SOURCE

sys.path.insert(0, str(SOURCE / "tests" / "reader"))
from target import ReaderCase  # noqa: E402: its folder is not on the path by itself


class AccountCase(ReaderCase):
    def need(self, *programs):
        for program in programs:
            if shutil.which(program) is None:
                self.skipTest(f"{program} is not installed")

    def python(self, script, **more):
        return self.start("-c", script, program=sys.executable, **more)

    def program(self, text, *flags, **more):
        """A C program that prints "ready", under lucid."""
        return self.start(program=self.compile(text, "-O1", *flags), **more)

    def rollup(self, pid, key="Rss"):
        """Bytes by the kernel's summary, which is not what the command reads."""
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            return next(int(line.split()[1]) for line in rollup
                        if line.startswith(key + ":")) * 1024

    def check_identity(self, stats):
        self.assertEqual(sum(stats["resident"].values()), stats["sum"])
        self.assertEqual(stats["sum"] - stats["smaps"], stats["residue"])
        self.assertLessEqual(abs(stats["residue"]), stats["smaps"] * 0.01)
        self.assertTrue(stats["closes"])
        self.assertFalse(stats["estimated"])

    def check_core(self, core, live):
        """A core does not tell resident pages of zeros from others; what it says is close."""
        stats = self.ask("stats", core)
        self.assertTrue(stats["estimated"])
        self.assertIsNone(stats["residue"])
        self.assertIsNone(stats["smaps"])
        self.assertEqual(sum(stats["resident"].values()), stats["sum"])
        alike = live["resident"]["live"]
        self.assertAlmostEqual(stats["resident"]["live"], alike, delta=alike * 0.1 + 65536)
        self.assertAlmostEqual(stats["blocks"]["small"], live["blocks"]["small"], delta=200)
        self.assertIn("a core does not tell what was resident", self.lucid("stats", core).stdout)
        return stats

    def wait_until(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, f"{what} did not come")
            time.sleep(0.02)

    def spawn(self, *words, **more):
        """A program under lucid that says nothing when it is ready."""
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("LUCID_", "LD_", "MALLOC_"))}
        environment["LD_PRELOAD"] = LIBRARY
        process = subprocess.Popen([str(word) for word in words], env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process
