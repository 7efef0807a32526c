"""The tests that other projects wrote for their programs: under lucid each must end as it does
under the C library's malloc."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from debian import Debian, Missing  # noqa: E402  pylint: disable=wrong-import-position

PATIENCE = 600


def environment(library):
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("LUCID_", "LD_", "MALLOC_"))}
    if library:
        clean["LD_PRELOAD"] = library
    return clean


class Suite:
    """Some units of a suite each round, all of them in turn."""

    name, process = "", None
    EACH_ROUND = 1

    def __init__(self, folder):
        self.folder, self.expected, self.next, self.library = Path(folder), {}, 0, None
        self.varying = set()

    def programs(self):
        """What it needs to be installed."""
        return []

    def prepare(self):
        """Raises Missing, with the reason."""

    def units(self):
        raise NotImplementedError

    def results(self, unit, library):
        """{test: how it ended}"""
        raise NotImplementedError

    def run(self, command, library, **more):
        return subprocess.run(command, env=environment(library), check=False, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, **more)

    def begin(self, library):
        self.library = library

    def differences(self, unit):
        """What ends in another way. What does not end twice the same under one malloc, because it
        depends on time or chance, tells nothing."""
        got = self.results(unit, self.library)
        if unit not in self.expected:
            self.expected[unit] = self.results(unit, None)
        expected = self.expected[unit]
        names = {name for name in {**got, **expected} if got.get(name) != expected.get(name)}
        if not names:
            return {}
        again, other = self.results(unit, None), self.results(unit, self.library)
        same = {name for name in names if again.get(name) == expected.get(name) and
                other.get(name) == got.get(name)}
        self.varying |= {f"{unit} {name}" for name in names - same}
        return {name: (got.get(name), expected.get(name)) for name in same}

    def round(self):
        units = self.units()
        for _ in range(self.EACH_ROUND):
            unit = units[self.next % len(units)]
            self.next += 1
            wrong = self.differences(unit)
            if wrong:
                raise RuntimeError(f"{self.name}: {unit} does not end as under the C library's "
                                   f"malloc: {sorted(wrong.items(), key=str)[:6]}")

    def end(self):
        tests = sum(map(len, self.expected.values())) - len(self.varying)
        print(f"soak: {self.name:18} {tests} tests of {len(self.expected)} files end the same; "
              f"{len(self.varying)} vary under any malloc")


class PythonSuite(Suite):
    name, EACH_ROUND = "python3 -m test", 3
    MODULES = """test_dict test_list test_set test_json test_re test_gc test_zlib test_pickle
        test_weakref test_bytes test_array test_deque test_heapq test_itertools test_struct
        test_memoryview test_thread test_queue test_generators test_decimal test_ast test_csv
        test_bz2 test_xml_etree""".split()

    def __init__(self, folder):
        super().__init__(folder)
        self.python = None

    def prepare(self):
        for python in ("python3", "/usr/bin/python3"):
            if shutil.which(python) and subprocess.run(
                    [python, "-c", "import test.regrtest, test.test_dict"], check=False,
                    capture_output=True).returncode == 0:
                self.python = python
                return
        raise Missing("libpython3.11-testsuite is not installed")

    def units(self):
        return self.MODULES

    def results(self, unit, library):
        report = self.folder / "tests.xml"
        report.unlink(missing_ok=True)
        done = self.run([self.python, "-m", "test", "--junit-xml", report, unit], library,
                        cwd=self.folder)
        if not report.exists():
            raise RuntimeError(f"{unit} wrote no report, exit code {done.returncode}\n"
                               f"{done.stdout[-2000:]}")
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return {case.get("name"): (case.get("status"), case.get("result"),
                                   [child.tag for child in case if child.tag != "system-out"])
                for case in cases}


class PerlSuite(Suite):
    """The tests of perl's sources, with the installed perl and its modules."""

    name, EACH_ROUND = "perl t/", 12
    MODULES = ("/usr/share/perl/*/", "/usr/lib/*/perl/5.*/", "/usr/lib/*/perl-base/")

    def __init__(self, folder, cache):
        super().__init__(folder)
        self.cache, self.tests = cache, None

    def programs(self):
        return ["perl"]

    def prepare(self):
        source = Debian(self.cache, "amd64").source("perl")
        self.tests = source / "t"
        for pattern in self.MODULES:
            for place in sorted(Path("/").glob(pattern.lstrip("/"))):
                subprocess.run(["cp", "-rsf", f"{place}/.", source / "lib"], check=False,
                               stderr=subprocess.DEVNULL)

    def units(self):
        return [str(path.relative_to(self.tests)) for kind in ("op", "re", "uni", "comp", "mro")
                for path in sorted(self.tests.glob(f"{kind}/*.t"))]

    def results(self, unit, library):
        done = self.run(["perl", unit], library, cwd=self.tests)
        ended = re.findall(r"^(ok|not ok) (\d+)", done.stdout, re.M)
        return {"exit code": done.returncode, **{number: how for how, number in ended}}


class TclSuite(Suite):
    """The tests of Tcl's sources, with the installed tclsh."""

    name, EACH_ROUND = "tclsh tests/", 8
    OTHERS = r"^(http|socket|clock|win|remote|mac|aaa|all|reg|registry)"  # networks, other systems

    def __init__(self, folder, cache):
        super().__init__(folder)
        self.cache, self.tests = cache, None

    def programs(self):
        return ["tclsh8.6"]

    def prepare(self):
        self.tests = Debian(self.cache, "amd64").source("tcl8.6") / "tests"

    def units(self):
        return [path.name for path in sorted(self.tests.glob("*.test"))
                if not re.search(self.OTHERS, path.name)]

    def results(self, unit, library):
        place = self.folder / "tcl"
        place.mkdir(exist_ok=True)
        done = self.run(["tclsh8.6", self.tests / unit, "-tmpdir", place, "-verbose", "pe"],
                        library, cwd=place)
        passed = re.findall(r"^\+\+\+\+ (\S+) PASSED", done.stdout, re.M)
        failed = re.findall(r"^==== (\S+) .*FAILED$", done.stdout, re.M)
        return {"exit code": done.returncode, **dict.fromkeys(passed, "PASSED"),
                **dict.fromkeys(failed, "FAILED")}


class DatabaseSuite(Suite):
    """MariaDB's tests of its server, which alone runs under lucid."""

    name = "mariadb-test"
    PROGRAM = Path("/usr/share/mysql/mysql-test/mtr")
    TESTS_AT_ONCE = 4
    TESTS = """select join group_by func_str func_time func_math func_in func_group union order_by
        subselect subselect2 type_blob type_decimal type_datetime type_varchar view cte_recursive
        distinct having key insert_select update delete alter_table create create_select null olap
        limit win windows ps sp sp-vars trigger fulltext func_json json_equals temp_table range
        range_mrr_icp parser precedence bigint case cast compare ctype_utf8 ctype_ucs multi_update
        derived gis partition partition_order xml""".split()

    def prepare(self):
        if not self.PROGRAM.exists():
            raise Missing("mariadb-test is not installed")

    def units(self):
        return [" ".join(self.TESTS[at:at + self.TESTS_AT_ONCE])
                for at in range(0, len(self.TESTS), self.TESTS_AT_ONCE)]

    def results(self, unit, library):
        place = self.folder / "mtr"
        words = [self.PROGRAM, f"--vardir={place}", "--force", "--retry=0", "--nowarnings",
                 "--max-test-fail=0"]
        if os.getuid() == 0:
            words += ["--user=root", "--mysqld=--user=root"]
        if library:
            words.append(f"--mysqld-env=LD_PRELOAD={library}")
        done = self.run([*words, *(f"main.{test}" for test in unit.split())], None,
                        cwd=self.PROGRAM.parent)
        ended = re.findall(r"^(main\.\S+(?: '[^']*')?)\s+\[ (\w+) \]", done.stdout, re.M)
        if not ended:
            raise RuntimeError(f"mtr tried nothing, exit code {done.returncode}\n"
                               f"{done.stdout[-2000:]}")
        return dict(ended)


class ControlSuite(Suite):
    """A test that ends in another way under lucid, and one that never ends twice the same."""

    name = "control-suite"

    def units(self):
        return ["environment"]

    def results(self, unit, library):
        done = self.run(["/bin/sh", "-c", "echo ${LD_PRELOAD:-none}; echo $$"], library)
        preloaded, number = done.stdout.split()
        return {"preloaded": preloaded, "number": number}


PAGE = """<!DOCTYPE html><meta charset=utf-8><style>
table {{ border-collapse: collapse }}
td {{ border: 1px solid #888; padding: 2px; font: 11px serif }}
.c{0} {{ background: rgb({0}, 200, 120); border-radius: 4px; float: left; width: 40px }}
</style><h1>Page {0}</h1><div id=into></div>
<svg width=300 height=200><circle cx={0} cy=90 r=70 fill=teal /><path d="M0 0 L{0} 150 Z"
stroke=black /></svg><canvas id=canvas width=200 height=100></canvas><script>
var text = '<table>', lists = [];
for (var row = 0; row < 150; row++) {{
    text += '<tr>';
    for (var column = 0; column < 12; column++) {{
        text += '<td>' + (row * column * {0} % 9973) + '</td>';
        lists.push([row, column, String(row * column)]);
    }}
    text += '</tr>';
}}
lists.sort(function (a, b) {{ return a[2] < b[2] ? -1 : a[2] > b[2] ? 1 : a[0] - b[0]; }});
for (var i = 0; i < 300; i++) {{ text += '<div class=c{0}>' + lists[i * 5][2] + '</div>'; }}
document.getElementById('into').innerHTML = text;
var draw = document.getElementById('canvas').getContext('2d');
for (var i = 0; i < 400; i++) {{ draw.fillRect(i * {0} % 200, i % 100, 3, 3); }}
</script>"""


class Browser(Suite):
    """A browser engine (Qt WebKit): the picture of a page must be the same to the last pixel."""

    name = "wkhtmltoimage"

    def programs(self):
        return ["wkhtmltoimage"]

    def units(self):
        return [str(number) for number in range(20, 240, 20)]

    def results(self, unit, library):
        page, picture = self.folder / "page.html", self.folder / "page.png"
        page.write_text(PAGE.format(unit), encoding="utf-8")
        picture.unlink(missing_ok=True)
        env = {**environment(library), "QT_QPA_PLATFORM": "offscreen", "HOME": str(self.folder)}
        done = subprocess.run(["wkhtmltoimage", "-q", "--format", "png", page, picture], env=env,
                              check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        if not picture.exists():
            raise RuntimeError(f"wkhtmltoimage made no picture, exit code {done.returncode}\n"
                               f"{done.stdout.decode(errors='replace')}")
        return {"exit code": done.returncode, "picture": picture.read_bytes()}
