"""check-layers and check-width on trees with one mistake each; documents against what they
describe."""

import re

from onetest import SOURCE, Case, main

LAYERS = """
names: names
space: pool arena+grow span
facts: layout
os: os/*
base: base
beside observers on facts, from names: profile
tools: base layout
stdio: names
"""


class House(Case):
    def tree(self, **files):
        """A small tree that keeps to its layers, with some files replaced."""
        good = {
            "src/LAYERS": LAYERS,
            "src/base.h": "", "src/layout.h": '#include "base.h"\n',
            "src/pool.h": '#include "layout.h"\n',
            "src/arena.c": '#include "grow.h"\n#include "pool.h"\n#include "os/os.h"\n',
            "src/arena.h": '#include "layout.h"\n',
            "src/grow.h": "", "src/grow.c": '#include "arena.h"\n',
            "src/span.c": '#include "arena.h"\n// mmap(never) "brk(0)"\n',
            "src/profile.h": "", "src/profile.c": '#include "profile.h"\n#include "layout.h"\n',
            "src/names.c": '#include "span.h"\n#include "profile.h"\n#include <stdio.h>\n'
                           'void f(FILE *to) { fputs("", to); }\n',
            "src/span.h": "",
            "src/os/os.h": '#include "../base.h"\n',
            "src/os/memory.c": '#include "os.h"\n#include <sys/mman.h>\n'
                               "void *f(void) { return mmap(0, 1, 2, 3, 4, 5); }\n",
            "tools/main.c": '#include "layout.h"\n#include "own.h"\n', "tools/own.h": "",
        }
        good.update({name.replace("__", "."): text for name, text in files.items()})
        return good

    def check(self, script, files):
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            self.write(name, text)
        return self.run_command(SOURCE / "scripts" / script, self.folder)

    def layers(self, files):
        return self.check("check-layers", files)

    def assert_mistake(self, name, text, message):
        files = self.tree()
        files[name] = files.get(name, "") + text
        done = self.layers(files)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
        self.assertIn(message, done.stdout)

    def test_layers_good_tree(self):
        done = self.layers(self.tree())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_layers_upward_include(self):
        self.assert_mistake("src/layout.h", '#include "pool.h"\n', "above")

    def test_layers_include_from_base(self):
        self.assert_mistake("src/base.h", '  #  include "os/os.h"\n', "above")

    def test_layers_include_from_os(self):
        self.assert_mistake("src/os/memory.c", '#include "../layout.h"\n', "above")

    def test_layers_neighbour_to_the_right(self):
        self.assert_mistake("src/pool.h", '#include "arena.h"\n', "to its right")

    def test_layers_source_includes_source(self):
        self.assert_mistake("src/span.c", '#include "grow.c"\n', "compiled, not included")

    def test_layers_observer_is_included(self):
        self.assert_mistake("src/span.c", '#include "profile.h"\n', "observer")

    def test_layers_observer_looks_up(self):
        self.assert_mistake("src/profile.c", '#include "pool.h"\n', "above the row facts")

    def test_layers_module_without_a_place(self):
        self.assert_mistake("src/novel.c", "", "src/LAYERS")

    def test_layers_system_call(self):
        for call in ("mmap(0, 0, 0, 0, 0, 0)", "brk (0)", "syscall(1)", "write(1, 0, 0)"):
            self.assert_mistake("src/span.c", f"void f(void) {{ {call}; }}\n", "belongs to src/os")

    def test_layers_system_header(self):
        self.assert_mistake("src/span.c", "#include <sys/mman.h>\n", "belongs to src/os")

    def test_layers_stdio(self):
        self.assert_mistake("src/span.c", 'void f(void) { puts(""); }\n', "belongs to src/os")

    def test_layers_source_includes_tool(self):
        self.assert_mistake("src/span.c", '#include "../tools/own.h"\n', "outside src/")

    def test_layers_missing_header(self):
        self.assert_mistake("src/span.c", '#include "nowhere.h"\n', "neither")

    def test_layers_tool_includes_allocator(self):
        self.assert_mistake("tools/main.c", '#include "pool.h"\n', "tools may use")

    def test_width_of_the_project(self):
        self.succeed(SOURCE / "scripts" / "check-width")

    def test_width_long_lines(self):
        """Columns are characters, whatever the kind of file; tables and output may be wide."""
        wide, wider = "\u00e4" * 100, "x" * 101
        done = self.check("check-width", {
            "page.md": f"{wide}\n| {wider} |\n```\n{wider}\n```\n    {wider}\n{wider}\n",
            "src/a.c": f"// {wider}\n", "run": f"#!/bin/sh\n{wide}\n# {wider}",
            "build/CMakeCache.txt": "", "build/made.cmake": wider, "src/LAYERS": wider})
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stdout.splitlines(), [
            "page.md:7: 101 columns", "run:3: 103 columns", "src/a.c:1: 104 columns"])
        self.assertRegex(done.stderr, r"\ALines have at most 100 columns: .*\n\Z")

    def read(self, *parts):
        return SOURCE.joinpath(*parts).read_text(encoding="utf-8")

    def test_one_version(self):
        version = re.search(r'LUCID_VERSION_TEXT "(.*)"', self.read("src", "config.h"))[1]
        header = re.search(r'LUCID_VERSION "(.*)"', self.read("include", "lucid.h"))[1]
        self.assertEqual(version, header)
        numbers = re.findall(r"LUCID_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)",
                             self.read("src", "config.h"))
        self.assertEqual(version, ".".join(numbers))
        self.assertRegex(self.read("CHANGELOG.md"), rf"(?m)^## {re.escape(version)}\b")

    def test_every_function_has_a_manual_entry(self):
        functions = set(re.findall(r"\b(lucid_\w+)\(", self.read("include", "lucid.h")))
        page = self.read("docs", "man", "liblucid.3")
        self.assertIn("lucid_malloc", functions)
        self.assertEqual(functions, set(re.findall(r"(?m)^\.Fn (lucid_\w+) \"", page)))
        self.assertEqual(functions, set(re.findall(r"(?m)^\.Nm (lucid_\w+)", page)))

    def test_documents_name_existing_files(self):
        """A path in backquotes, in a document of the top folder, is there or is built."""
        for page in SOURCE.glob("*.md"):
            for name in re.findall(r"`((?:src|tools|tests|scripts|docs|cmake|bench|demo|include)"
                                   r"/[\w./-]*)`", page.read_text(encoding="utf-8")):
                self.assertTrue((SOURCE / name).exists(), f"{page.name} names {name}")

    def test_packages_are_told_with_a_reason(self):
        for line in self.read("scripts", "packages.txt").splitlines():
            if line and not line.startswith("#"):
                self.assertRegex(line, r"^(build|demo|check|coverage|portability|soak) "
                                       r"+[a-z0-9.+-]+ +\S.+$")


main(House)
