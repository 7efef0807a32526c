"""The operators of C++ in every form in which lucid and the C++ library can be linked."""

import os
import shutil

from onetest import BUILD, LIBRARY, LUCID, SOURCE, Case, main

HERE = SOURCE / "tests" / "cxx"


class Cxx(Case):
    def compiled(self, source, *flags):
        """The object, for this compiler of C++ to link."""
        result = self.folder / "program.o"
        self.succeed("c++", "-O1", "-std=c++17", "-fno-builtin", "-fsized-deallocation", "-w",
                     *flags, f"-I{SOURCE / 'tests' / 'stress'}", "-c", HERE / source, "-o", result)
        return result

    def linked(self, source, *flags):
        """In each way that the documentation names, and the C++ library in each way as well."""
        part = self.compiled(source, *flags)
        program = self.folder / "program"
        folder = os.path.dirname(LIBRARY)
        shared = [f"-L{folder}", "-llucid", f"-Wl,-rpath,{folder}"]
        forms = [shared, [*shared, "-static-libstdc++"]]
        for form in (BUILD / "lucid.o", BUILD / "liblucid.a"):
            forms += [[form], [form, "-static-libstdc++"], [form, "-static"], [form, "-static-pie"]]
        for form in forms:
            with self.subTest(form=form):
                self.succeed("c++", part, "-o", program, *form)
                self.succeed(program)

    def preloaded(self, source, *flags):
        part = self.compiled(source, *flags)
        program = self.folder / "program"
        self.succeed("c++", part, "-o", program)
        self.succeed(LUCID, "run", program)
        self.succeed(program, env={"LD_PRELOAD": LIBRARY, "LD_BIND_NOW": "1"})

    def both(self, source, *flags):
        self.linked(source, *flags)
        self.preloaded(source, *flags)

    def test_nothing_replaced(self):
        self.both("replaced.cc")

    def test_single_replaced(self):
        self.both("replaced.cc", "-DSINGLE")

    def test_array_replaced(self):
        self.both("replaced.cc", "-DARRAY")

    def test_aligned_replaced(self):
        self.both("replaced.cc", "-DALIGNED")

    def test_aligned_array_replaced(self):
        self.both("replaced.cc", "-DALIGNED_ARRAY")

    def test_handler_throws(self):
        self.both("handler.cc")

    def test_no_cxx_library(self):
        """A program in C links with the names as it would without them."""
        text = ("#include <stdlib.h>\n"
                "extern void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);\n"
                "extern void _ZdlPvm(void *pointer, size_t size);\n"
                "int main(void) {\n"
                "    volatile size_t large = PTRDIFF;\n"
                "    _ZdlPvm(_ZnwmRKSt9nothrow_t(100, 0), 100);\n"
                "    return _ZnwmRKSt9nothrow_t(large, 0) != 0;\n"
                "}\n").replace("PTRDIFF", "(size_t)-1 / 2")
        folder = os.path.dirname(LIBRARY)
        for form in ([f"-L{folder}", "-llucid", f"-Wl,-rpath,{folder}"], [BUILD / "lucid.o"],
                     [BUILD / "liblucid.a", "-static"], [BUILD / "lucid.o", "-static-pie"]):
            with self.subTest(form=form):
                self.succeed(self.compile(text, *form))


if shutil.which("c++") is None:
    print("no compiler for C++ is installed")
    raise SystemExit(77)
main(Cxx)
