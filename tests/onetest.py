"""Runs one method of a unittest class as a test of ctest: exit code 0, 1, or 77 for skipped."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD = Path(os.environ["LUCID_BUILD"])
SOURCE = Path(os.environ["LUCID_SOURCE"])
LUCID = str(BUILD / "lucid")
LIBRARY = str((BUILD / "liblucid.so").resolve())


def build_option(name):
    """What the build under test was given with -DNAME=."""
    cache = (BUILD / "CMakeCache.txt").read_text(encoding="utf-8")
    return re.search(rf"^{name}:\w+=(.*)$", cache, re.M).group(1)


class Case(unittest.TestCase):
    """A test with a folder of its own and short ways to run and compile things."""

    maxDiff = None

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="lucid-test-")
        self.addCleanup(place.cleanup)
        self.folder = Path(place.name)
        self.folder.chmod(0o755)

    def run_command(self, *command, env=None, **more):
        """Runs it to its end, output as text. `env` is added to a clean environment."""
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith(("LUCID_", "LD_", "MALLOC_"))}
        clean.update(env or {})
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([str(word) for word in command], env=clean, text=True, timeout=100,
                              capture_output=True, check=False, **more)

    def succeed(self, *command, **more):
        done = self.run_command(*command, **more)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def compile(self, text, *flags, name="program", compiler="cc", suffix=".c"):
        """Compiles and links a program from its source; flags come after the source."""
        source = self.write(name + suffix, text)
        self.succeed(compiler, "-g", "-o", self.folder / name, source, *flags)
        return self.folder / name


def openmetrics_families(case, text):
    """The metric families of a text, as Prometheus's own client reads them."""
    debian = "/usr/lib/python3/dist-packages"
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        if not os.path.isdir(f"{debian}/prometheus_client"):
            case.skipTest("python3-prometheus-client is not installed")
        sys.path.append(debian)
        from prometheus_client.openmetrics import parser
    return list(parser.text_string_to_metric_families(text))


def main(case):
    """The test named on the command line."""
    suite = unittest.TestSuite([case("test_" + sys.argv[1])])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    for _, reason in result.skipped:
        print(reason)
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() else 1)
