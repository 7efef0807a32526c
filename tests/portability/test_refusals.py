#!/usr/bin/env python3
"""What is not supported is refused with a sentence: when it is built, else when it starts."""

import re
import shutil

import onetest

BASE = "src/base.h"


class Refusals(onetest.Case):
    def refused(self, sentence, *command):
        done = self.run_command(*command, cwd=onetest.SOURCE)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(sentence, done.stderr)
        return done

    def test_refuses_32_bit_machines(self):
        sentence = "lucid needs 64-bit Linux"
        compilers = [("cc", "-m32"), ("cc", "-mx32"), ("clang", "--target=arm-linux-gnueabihf"),
                     ("clang", "--target=i686-linux-gnu"), ("arm-linux-gnueabihf-gcc",)]
        for compiler in compilers:
            if shutil.which(compiler[0]) is not None:
                done = self.refused(sentence, *compiler, "-ffreestanding", "-fsyntax-only", BASE)
                self.assertEqual(len(re.findall("error:", done.stderr)), 1, done.stderr)
        # So does the configuration, before anything is compiled.
        self.refused(sentence, "cmake", "-S", ".", "-B", self.folder / "build",
                     "-DCMAKE_C_FLAGS=-mx32",
                     "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY")
        if shutil.which("clang") is not None:
            self.refused(sentence, "cmake", "-S", ".", "-B", self.folder / "arm",
                         "-DCMAKE_C_COMPILER=clang;--target=arm-linux-gnueabihf",
                         "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=arm",
                         "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY")

    def test_refuses_machines_never_tried(self):
        if shutil.which("clang") is None:
            self.skipTest("clang, which compiles for any machine, is not installed")
        command = ("clang", "--target=riscv64-linux-gnu", "-E", "-nostdinc", BASE)
        self.refused("lucid is tested on x86-64 and aarch64; -DLUCID_UNTESTED_MACHINE", *command)
        done = self.run_command(*command, "-DLUCID_UNTESTED_MACHINE", cwd=onetest.SOURCE)
        self.assertNotIn("lucid is tested", done.stderr)

    def test_refuses_an_old_c_library(self):
        self.write("features.h", "#include_next <features.h>\n#undef __GLIBC_MINOR__\n"
                                 "#define __GLIBC_MINOR__ 31\n")
        self.refused("lucid needs glibc 2.33 or newer, or musl.", "cc", "-fsyntax-only",
                     f"-I{self.folder}", BASE)

    def test_refuses_pages_larger_than_a_unit(self):
        """At start, because only the kernel knows. Here a library says it in the kernel's place."""
        other = self.compile("#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <sys/auxv.h>\n"
                             "unsigned long getauxval(unsigned long type) {\n"
                             "  unsigned long (*next)(unsigned long) = dlsym(RTLD_NEXT,"
                             " \"getauxval\");\n"
                             "  return type == AT_PAGESZ ? 131072 : next(type); }\n",
                             "-shared", "-fPIC", name="auxv.so")
        done = self.run_command("/bin/echo", "x", env={"LD_PRELOAD": f"{other}:{onetest.LIBRARY}"})
        self.assertEqual(done.returncode, -6)
        self.assertRegex(done.stderr, r"^echo\(\d+\) lucid: this machine's pages are larger than "
                                      r"this build of lucid can manage; page size 0x20000\n$")


if __name__ == "__main__":
    onetest.main(Refusals)
