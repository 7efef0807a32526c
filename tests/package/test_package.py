"""Installs into a folder of its own and uses what is there as another project would."""

import os
import re
import shutil

from onetest import BUILD, LIBRARY, SOURCE, Case, main

CONSUMER = SOURCE / "tests" / "package" / "consumer"
PREFIX = "/opt/somewhere"


class Package(Case):
    def setUp(self):
        super().setUp()
        self.stage = self.folder / "stage"
        self.succeed("cmake", "--install", BUILD, "--prefix", PREFIX,
                     env={"DESTDIR": str(self.stage)})
        self.prefix = self.stage / PREFIX.lstrip("/")
        self.lib = next(path for path in self.prefix.glob("lib*/**/liblucid.a")).parent
        self.include = self.prefix / "include"
        self.version = re.search(r'LUCID_VERSION "(.*)"',
                                 (self.include / "lucid.h").read_text(encoding="utf-8"))[1]

    def build_consumer(self, *flags, language="c", front=()):
        """Compiles the consumer with its flags behind it, as the documentation says."""
        source = CONSUMER / ("consumer.c" if language == "c" else "consumer.cpp")
        program = self.folder / "consumer"
        self.succeed("cc" if language == "c" else "c++", "-O2", *front, source, "-o", program,
                     *flags)
        return program

    def assert_lucid(self, program, shared):
        """It runs, and has lucid from the shared library exactly if it should."""
        needed = re.findall(r"NEEDED.*\[(.*)\]", self.succeed("readelf", "-d", program))
        self.assertEqual("liblucid.so.0" in needed, shared, needed)
        output = self.succeed(program, env={"LD_LIBRARY_PATH": str(self.lib)} if shared else {})
        self.assertEqual(output, f"lucid {self.version}\n")

    def pkg_config(self, *words):
        shown = self.succeed("pkg-config", *words, "lucid", env={
            "PKG_CONFIG_PATH": str(self.lib / "pkgconfig"),
            "PKG_CONFIG_SYSROOT_DIR": str(self.stage)})
        return shown.split()

    def test_consumer_fails_without_lucid(self):
        """The other tests would be worth nothing if it did not."""
        program = self.build_consumer(f"-I{self.include}", f"-L{self.lib}", "-llucid",
                                      "-Wl,--no-as-needed")
        own = self.compile("""
            #include <stddef.h>
            static char memory[200 << 20];
            static size_t used;
            void *malloc(size_t n) { void *p = memory + used; used += (n + 31) & ~15ul; return p; }
            void free(void *p) { (void)p; }
            void *calloc(size_t n, size_t m) { return malloc(n * m); }
            void *realloc(void *p, size_t n) { (void)p; return malloc(n); }
            """, "-shared", "-fPIC", "-fno-builtin", name="libown.so")
        done = self.run_command(program, env={"LD_LIBRARY_PATH": str(self.lib),
                                              "LD_PRELOAD": str(own)})
        self.assertNotEqual(done.returncode, 0)

    def test_installed_files(self):
        files = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*")
                 if not path.is_dir()}
        lib = str(self.lib.relative_to(self.prefix))
        for name in ("bin/lucid", "include/lucid.h", f"{lib}/liblucid.a", f"{lib}/lucid.o",
                     f"{lib}/liblucid.so", f"{lib}/liblucid.so.0",
                     f"{lib}/liblucid.so.{self.version}", f"{lib}/pkgconfig/lucid.pc",
                     f"{lib}/cmake/Lucid/LucidConfig.cmake", "share/man/man1/lucid.1",
                     "share/man/man3/liblucid.3", "share/man/man7/lucid-options.7",
                     "share/bash-completion/completions/lucid", "share/zsh/site-functions/_lucid",
                     "share/doc/lucid/LICENSE", "share/doc/lucid/README.md"):
            self.assertIn(name, files)
        self.assertEqual(os.readlink(self.lib / "liblucid.so"), "liblucid.so.0")
        self.assertEqual(os.readlink(self.lib / "liblucid.so.0"), f"liblucid.so.{self.version}")

    def test_exports(self):
        """Exactly these names, the libc ones without a version, ours with LUCID_0."""
        shown = self.succeed("nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY)
        names = {line.split()[2] for line in shown.splitlines()} - {"LUCID_0"}
        wanted = (SOURCE / "tests" / "package" / "exports.txt").read_text(encoding="utf-8").split()
        self.assertEqual(sorted(names), sorted(wanted))

    def test_object_and_archive_define_the_same_names(self):
        wanted = (SOURCE / "tests" / "package" / "exports.txt").read_text(encoding="utf-8").split()
        wanted = {name.partition("@")[0] for name in wanted}
        for name in ("lucid.o", "liblucid.a"):
            shown = self.succeed("nm", "--extern-only", "--defined-only", self.lib / name)
            names = {line.split()[2] for line in shown.splitlines() if len(line.split()) == 3}
            self.assertEqual(names, wanted, name)

    def test_library_needs_only_libc(self):
        shown = self.succeed("readelf", "-d", LIBRARY)
        self.assertEqual(re.findall(r"NEEDED.*\[(.*)\]", shown), ["libc.so.6"])
        self.assertIn("[liblucid.so.0]", shown)
        self.assertIn("NODELETE", shown)
        self.assertIn("BIND_NOW", shown)

    def test_thread_local_storage_is_small(self):
        shown = self.succeed("readelf", "-lW", LIBRARY)
        size = re.search(r"^ *TLS(?: +0x[0-9a-f]+){4} +(0x[0-9a-f]+)", shown, re.MULTILINE)
        self.assertLessEqual(int(size[1], 16), 64)

    def test_header_compiles_alone(self):
        source = self.write("header.c", "#include <lucid.h>\nextern int filler;\n")
        strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror", "-c"]
        for compiler in ("gcc", "clang"):
            if shutil.which(compiler):
                for standard in ("c99", "c11", "gnu17"):
                    self.succeed(compiler, *strict, f"-std={standard}", f"-I{self.include}", source,
                                 "-o", self.folder / "header.o")
        strict.remove("-Wstrict-prototypes")
        for standard in ("c++98", "c++11", "c++20"):
            self.succeed("c++", *strict, f"-std={standard}", f"-I{self.include}", "-x", "c++",
                         source, "-o", self.folder / "header.o")

    def test_link_shared(self):
        self.assert_lucid(self.build_consumer(f"-L{self.lib}", "-llucid",
                                              front=[f"-I{self.include}"]), True)

    def test_link_archive(self):
        self.assert_lucid(self.build_consumer(self.lib / "liblucid.a",
                                              front=[f"-I{self.include}"]), False)

    def test_link_archive_by_name(self):
        program = self.build_consumer(f"-L{self.lib}", "-Wl,-Bstatic", "-llucid", "-Wl,-Bdynamic",
                                      front=[f"-I{self.include}"])
        self.assert_lucid(program, False)

    def test_link_object(self):
        self.assert_lucid(self.build_consumer(self.lib / "lucid.o",
                                              front=[f"-I{self.include}"]), False)

    def test_link_all_static(self):
        for form in ("liblucid.a", "lucid.o"):
            program = self.build_consumer("-static", self.lib / form, front=[f"-I{self.include}"])
            self.assertIn("statically linked", self.succeed("file", program)
                          if shutil.which("file") else "statically linked")
            self.assert_lucid(program, False)

    def test_link_without_position_independence(self):
        program = self.build_consumer("-no-pie", self.lib / "lucid.o",
                                      front=["-fno-pie", f"-I{self.include}"])
        self.assert_lucid(program, False)

    def test_link_cpp(self):
        include = [f"-I{self.include}"]
        self.assert_lucid(self.build_consumer(f"-L{self.lib}", "-llucid", language="c++",
                                              front=include), True)
        self.assert_lucid(self.build_consumer(self.lib / "liblucid.a", language="c++",
                                              front=include), False)
        self.assert_lucid(self.build_consumer(self.lib / "lucid.o", "-static", language="c++",
                                              front=include), False)

    def test_pkg_config(self):
        self.assertEqual(self.pkg_config("--modversion"), [self.version])
        program = self.build_consumer(*self.pkg_config("--libs"), front=self.pkg_config("--cflags"))
        self.assert_lucid(program, True)
        [lucid_object] = self.pkg_config("--variable=object")
        if not lucid_object.startswith(str(self.stage)):
            lucid_object = str(self.stage) + lucid_object
        program = self.build_consumer(lucid_object, front=self.pkg_config("--cflags"))
        self.assert_lucid(program, False)

    def test_cmake_package(self):
        tree = self.folder / "build"
        self.succeed("cmake", "-S", CONSUMER, "-B", tree, f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.succeed("cmake", "--build", tree)
        for form, shared in (("lucid", True), ("static", False), ("object", False)):
            for language in ("c", "cpp"):
                self.assert_lucid(tree / f"{language}_{form}", shared)

    def test_cmake_package_refuses_another_version(self):
        project = self.folder / "project"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.20)\nproject(other C)\n"
            "find_package(Lucid 0.99 REQUIRED)\n", encoding="utf-8")
        done = self.run_command("cmake", "-S", project, "-B", self.folder / "build",
                                f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("0.99", done.stderr)

    def test_installed_command_finds_the_installed_library(self):
        done = self.run_command(self.prefix / "bin" / "lucid", "run", "sh", "-c",
                                'echo "$LD_PRELOAD"')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith(str(self.lib.resolve())), done.stdout)

    def test_make_install(self):
        """The front door, with a Debian prefix and a build folder of its own."""
        if not (SOURCE / "Makefile").exists() or shutil.which("make") is None:
            self.skipTest("make is not installed")
        stage = self.folder / "debian"
        self.succeed("make", "-C", SOURCE, "install", f"BUILD={self.folder}/make-build",
                     "PREFIX=/usr", f"DESTDIR={stage}", "OPTIONS=-DLUCID_TESTS=OFF")
        command = stage / "usr" / "bin" / "lucid"
        done = self.run_command(command, "run", "sh", "-c", 'echo "$LD_PRELOAD"')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"/usr/lib/[a-z0-9_-]+-linux-gnu/liblucid\.so\.")


main(Package)
