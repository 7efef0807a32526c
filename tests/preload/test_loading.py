#!/usr/bin/env python3
"""Every way in which the library can be loaded, and what may stand beside it."""

import os
import shutil

import onetest

PROGRAM = r"""
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
extern const char *lucid_version(void) __attribute__((weak));
int main(void) {
    char *all[500];
    for (int i = 0; i < 500; i++) {
        all[i] = calloc(1, (size_t)i * 200 + 1);
        memset(all[i], i, (size_t)i * 200 + 1);
    }
    for (int i = 0; i < 500; i++) {
        free(all[i]);
    }
    printf("%s\n", lucid_version ? lucid_version() : "not lucid");
    return 0;
}
"""

# Calls malloc and dlsym inside mmap, open and pthread_create, as careless tools do.
INTERPOSER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
static int calls;
void *mmap(void *a, size_t n, int p, int f, int d, off_t o) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    real = dlsym(RTLD_NEXT, "mmap");
    free(malloc(100));
    calls++;
    return real(a, n, p, f, d, o);
}
int munmap(void *a, size_t n) {
    static int (*real)(void *, size_t);
    real = dlsym(RTLD_NEXT, "munmap");
    free(malloc(50000));
    return real(a, n);
}
void *sbrk(intptr_t by) {
    static void *(*real)(intptr_t);
    real = dlsym(RTLD_NEXT, "sbrk");
    return real(by);
}
char *getenv(const char *name) {
    static char *(*real)(const char *);
    real = dlsym(RTLD_NEXT, "getenv");
    free(malloc(10));
    return real(name);
}
int pthread_setspecific(pthread_key_t key, const void *value) {
    static int (*real)(pthread_key_t, const void *);
    real = dlsym(RTLD_NEXT, "pthread_setspecific");
    free(malloc(3000));
    return real(key, value);
}
__attribute__((constructor)) static void begin(void) { free(calloc(7, 99)); }
__attribute__((destructor)) static void end(void) { free(malloc(12345)); }
"""

THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *work(void *a) {
    for (int i = 0; i < 3000; i++) free(malloc((size_t)i * 10));
    return a;
}
int main(void) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    puts("done");
    return 0;
}
"""

# glibc has these in its library, but in no header.
SECOND_NAMES = r"""
#include <stdio.h>
#include <stdlib.h>
extern const char *lucid_version(void) __attribute__((weak));
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), __libc_free(void *);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void *__libc_valloc(size_t), *__libc_pvalloc(size_t);
"""


class Loading(onetest.Case):
    def preload(self, *libraries, **env):
        return {"LD_PRELOAD": ":".join(str(library) for library in libraries), **env}

    def shared(self, text, name, *flags):
        return self.compile(text, "-shared", "-fPIC", *flags, name=name)

    def test_preload(self):
        program = self.compile(PROGRAM)
        self.assertEqual(self.succeed(program), "not lucid\n")
        self.assertRegex(self.succeed(program, env=self.preload(onetest.LIBRARY)),
                         r"^\d+\.\d+\.\d+\n$")

    def test_bind_now(self):
        program = self.compile(PROGRAM)
        for value in ("1", ""):
            out = self.succeed(program, env=self.preload(onetest.LIBRARY, LD_BIND_NOW=value))
            self.assertNotIn("not lucid", out)

    def test_audit(self):
        audit = self.shared("#define _GNU_SOURCE\n#include <link.h>\n#include <stdlib.h>\n"
                            "unsigned la_version(unsigned v) { free(malloc(100)); return v; }\n"
                            "unsigned la_objopen(struct link_map *m, Lmid_t l, uintptr_t *c) {"
                            " (void)m, (void)l, (void)c; free(malloc(1000));"
                            " return LA_FLG_BINDTO | LA_FLG_BINDFROM; }\n", "audit.so")
        program = self.compile(THREADS)
        env = self.preload(onetest.LIBRARY, LD_AUDIT=str(audit))
        self.assertEqual(self.succeed(program, env=env), "done\n")
        self.succeed("ls", "-l", self.folder, env=env)

    def test_interposers(self):
        other = self.shared(INTERPOSER, "other.so", "-ldl")
        for source in (PROGRAM, THREADS):
            program = self.compile(source)
            for order in ((onetest.LIBRARY, other), (other, onetest.LIBRARY)):
                out = self.succeed(program, env=self.preload(*order))
                self.assertNotIn("not lucid", out)

    def test_early_constructor(self):
        early = self.shared("#include <pthread.h>\n#include <stdlib.h>\n#include <sys/wait.h>\n"
                            "#include <unistd.h>\n"
                            "static void *w(void *a) { free(malloc(99)); return a; }\n"
                            "__attribute__((constructor)) static void c(void) {\n"
                            "  pthread_t t; void *p = malloc(5000);\n"
                            "  pthread_create(&t, NULL, w, NULL); pthread_join(t, NULL);\n"
                            "  pid_t c = fork(); if (c == 0) { free(p); _exit(0); }\n"
                            "  int s; waitpid(c, &s, 0); free(p); if (s != 0) _exit(9); }\n",
                            "early.so")
        program = self.compile(PROGRAM, early, f"-Wl,-rpath,{self.folder}", "-Wl,--no-as-needed")
        for libraries in ((onetest.LIBRARY,), (early, onetest.LIBRARY)):
            said = self.succeed(program, env=self.preload(*libraries))
            self.assertNotIn("not lucid", said)

    def test_dlopen_and_dlclose(self):
        program = self.compile(r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    void *kept = NULL;
    for (int i = 0; i < 5; i++) {
        void *lucid = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
        if (!lucid) { puts(dlerror()); return 1; }
        void *(*take)(size_t) = dlsym(lucid, "lucid_malloc");
        void (*give)(void *) = dlsym(lucid, "lucid_free");
        char *block = take(1000);
        memset(block, i, 1000);
        free(malloc(500)); /* the C library's */
        if (kept) give(kept);
        kept = block;
        dlclose(lucid);
        memset(kept, 1, 1000); /* blocks outlive the handle */
    }
    puts("fine");
    return 0;
}
""", "-ldl")
        self.assertEqual(self.succeed(program, onetest.LIBRARY), "fine\n")

    def test_static_tls_used_up(self):
        """Other libraries have taken most of the spare room before ours is opened."""
        libraries = [self.shared(f"__thread char room{i}[{size}] __attribute__((tls_model("
                                 f"\"initial-exec\")));\nchar *at{i}(void) {{ return room{i}; }}\n",
                                 f"tls{i}.so") for i, size in enumerate((700, 400, 200, 100, 40))]
        program = self.compile(r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    int refused = 0;
    for (int i = 1; i < argc - 1; i++) refused += dlopen(argv[i], RTLD_NOW) == NULL;
    void *lucid = dlopen(argv[argc - 1], RTLD_NOW);
    if (!lucid) { puts(dlerror()); return 1; }
    void *(*take)(unsigned long) = (void *(*)(unsigned long))dlsym(lucid, "lucid_malloc");
    printf("%d refused, lucid %s\n", refused, take(100) ? "works" : "fails");
    return 0;
}
""", "-ldl")
        self.assertIn("lucid works", self.succeed(program, *libraries, onetest.LIBRARY))

    def test_names_with_libc_in_front(self):
        """glibc's second names lead to the same heap, also through somebody who counts on them."""
        program = SECOND_NAMES + r"""
int main(void) {
    free(__libc_memalign(256, 100)); free(__libc_valloc(1)); free(__libc_pvalloc(1));
    free(realloc(__libc_malloc(100), 5000)); __libc_free(__libc_realloc(calloc(2, 3), 9));
    void *block; /* nobody in front of this one */
    if (posix_memalign(&block, 64, 100) != 0) return 1;
    free(block); free(__libc_calloc(3, 4)); free(aligned_alloc(128, 256));
    puts(lucid_version ? lucid_version() : "not lucid");
    return 0;
}
"""
        counter = self.shared(SECOND_NAMES + r"""
void *malloc(size_t n) { return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return __libc_realloc(p, n); }
void free(void *p) { __libc_free(p); }
""", "counter.so")
        archive = onetest.BUILD / "liblucid.a"
        for flags, env in (((), self.preload(onetest.LIBRARY)), ((archive,), {}),
                           ((), self.preload(counter, onetest.LIBRARY)),
                           ((archive, "-static"), {})):
            with self.subTest(flags=flags, env=env):
                said = self.succeed(self.compile(program, *flags), env=env)
                self.assertRegex(said, r"^\d+\.\d+\.\d+\n$")

    def test_deepbind_plugin(self):
        """A plugin that looks into its own scope first has the C library's malloc."""
        plugin = self.shared("#include <stdlib.h>\n#include <string.h>\n"
                             "char *copied(void) { return strdup(\"from the C library\"); }\n"
                             "char *own(void) { return strcpy(malloc(30), \"of its own\"); }\n"
                             "char *both(void) { char *p = own(); free(p); return copied(); }\n",
                             "plugin.so")
        program = self.compile(r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    void *plugin = dlopen(argv[argc - 2], RTLD_NOW | RTLD_DEEPBIND);
    if (!plugin) { puts(dlerror()); return 1; }
    char *(*give)(void) = dlsym(plugin, argv[argc - 1]);
    char *text = give();
    puts(text);
    free(text);
    return 0;
}
""", "-ldl")
        env = self.preload(onetest.LIBRARY)
        self.assertEqual(self.succeed(program, plugin, "own"), "of its own\n")
        # What the C library allocates for the plugin, and what the plugin frees itself, is fine.
        self.assertEqual(self.succeed(program, plugin, "copied", env=env), "from the C library\n")
        self.assertEqual(self.succeed(program, plugin, "both", env=env), "from the C library\n")
        # A block of the other malloc is refused, with a line that says so, and breaks no heap.
        done = self.run_command(program, plugin, "own", env=env)
        self.assertEqual(done.returncode, -6)
        self.assertRegex(done.stderr, r"^program\(\d+\) lucid: free\(\): pointer freed already or "
                                      r"never given out 0x[0-9a-f]+ \(in no block of lucid's\)\n$")

    def test_options_are_read(self):
        program = self.compile(PROGRAM)
        done = self.run_command(program, env=self.preload(onetest.LIBRARY, LUCID_OPTIONS="prge=1"))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"^program\(\d+\) lucid: LUCID_OPTIONS: no option is called "
                                      r"'prge'; did you mean 'purge'\?\n$")

    def test_options_before_the_c_library_begins(self):
        """A program's .preinit_array runs before glibc knows its environment, and a static program
        allocates before glibc knows its name."""
        early = PROGRAM + ("static void *kept;\n"
                           "static void before_all(void) { kept = malloc(10); }\n"
                           "__attribute__((section(\".preinit_array\"), used))"
                           " static void (*entry)(void) = before_all;\n")
        archive = onetest.BUILD / "liblucid.a"
        options = {"LUCID_OPTIONS": "prge=1"}
        for flags, env in (((), self.preload(onetest.LIBRARY)), ((archive,), {}),
                           ((archive, "-static"), {})):
            with self.subTest(flags=flags):
                program = self.compile(early, *flags)
                done = self.run_command(program, "word", env={**options, **env})
                self.assertEqual(done.returncode, 0)
                self.assertRegex(done.stderr, r"^program\(\d+\) lucid: LUCID_OPTIONS: no option is "
                                              r"called 'prge'; did you mean 'purge'\?\n$")

    def test_privileged_programs_ignore_options(self):
        """File capabilities make a program as privileged as set-user-ID does (AT_SECURE)."""
        if os.getuid() != 0 or shutil.which("setpriv") is None:
            self.skipTest("only root can make a set-user-ID program and run it as somebody else")
        self.folder.chmod(0o755)
        copy = self.folder / "liblucid.so.0"
        shutil.copy(onetest.LIBRARY, copy)
        copy.chmod(0o755)
        program = self.compile(PROGRAM, copy, f"-Wl,-rpath,{self.folder}", "-Wl,--no-as-needed")
        env = {"LUCID_OPTIONS": "prge=1"}
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program)
        self.assertIn("prge", self.run_command(*user, env=env).stderr)
        program.chmod(0o4755)
        done = self.run_command(*user, env=env)
        if done.returncode != 0 and "nosuid" in open("/proc/mounts", encoding="utf-8").read():
            self.skipTest("the file system ignores the set-user-ID bit")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("not lucid", done.stdout)


if __name__ == "__main__":
    onetest.main(Loading)
