"""resident = live + slack + free + cached + dirty + metadata + not ours: on real programs, on one
that does its best to prevent it, and on memory that looks resident and is not."""

import json
import os
import shutil
import signal
import subprocess

from onetest import LUCID, main

from account import AccountCase

THRASH = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void *fill_and_drop(void *block) {
    for (size_t size = 40 << 20;; madvise(block, size, MADV_DONTNEED))
        for (size_t at = 0; at < size; at += 4096) ((char *)block)[at] = 1;
}
static void *replace(void *unused) {
    static char *kept[20000];
    unsigned seed = 1;
    (void)unused;
    for (;;) {
        seed = seed * 1103515245 + 12345;
        char **one = &kept[(seed >> 8) % 20000];
        free(*one);
        *one = malloc(16 + (seed >> 5) % 2000);
        memset(*one, 1, 16);
    }
}
int main(void) {
    pthread_t thread[2];
    pthread_create(&thread[0], NULL, fill_and_drop, aligned_alloc(4096, 40 << 20));
    pthread_create(&thread[1], NULL, replace, NULL);
    puts("ready"); fflush(stdout); getchar();
    _exit(0);
}"""

ZEROS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define HUGE ((size_t)2 << 20)
static volatile int sum;
static void read_some(char *block, size_t size, size_t step) {
    for (size_t at = 0; at < size; at += step) sum += block[at];
}
int main(int argc, char **argv) {
    char *block = aligned_alloc(HUGE, 40 * HUGE);
    char *small = calloc(2 << 20, 1);
    madvise(block, 40 * HUGE, argc > 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    read_some(block, 30 * HUGE, argc > 1 ? HUGE : HUGE / 8);
    memset(block + 32 * HUGE, 1, 2 * HUGE);
    read_some(small, 2 << 20, 4096);
    (void)argv;
    puts("ready"); fflush(stdout); getchar();
    return 0;
}"""

# Takes the rights from parts of what it filled: of a small block, of a large one, and from a whole
# mapping and the end of another one.
CLOSED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define MIB ((size_t)1 << 20)
static void close_part(size_t size, size_t from, size_t length) {
    char *block = aligned_alloc(4096, size);
    memset(block, 1, size);
    if (mprotect(block + from, length, PROT_NONE)) exit(1);
}
int main(void) {
    for (int i = 0; i < 100; i++) close_part(8192, 4096, 4096);
    close_part(MIB, MIB / 4, MIB / 2);
    close_part(64 * MIB, 0, 64 * MIB);
    close_part(64 * MIB, 60 * MIB, 4 * MIB);
    puts("ready"); fflush(stdout); getchar();
    _Exit(0);
}"""

# Keeps blocks of 100 bytes, which take 112 each with a canary, and frees some that took 528.
HARDENED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char *kept[40000], *freed[1000];
int main(void) {
    for (int i = 0; i < 40000; i++) memset(kept[i] = malloc(100), 1, 100);
    for (int i = 0; i < 1000; i++) memset(freed[i] = malloc(520), 1, 520);
    for (int i = 0; i < 1000; i++) free(freed[i]);
    puts("ready"); fflush(stdout); getchar();
    return 0;
}"""

# Runs a command for which the kernel does not know how to scan the page map.
OLD_KERNEL = r"""
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xc0606610, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 77;
    execv(argv[1], argv + 1);
    return 1;
}"""


class Identity(AccountCase):
    def both_ways(self, pid):
        """As it is, and frozen."""
        stats = self.ask("stats", pid)
        self.check_identity(stats)
        frozen = self.ask("stats", "--freeze", pid)
        self.check_identity(frozen)
        self.assertLessEqual(abs(frozen["residue"]), 4096 * 16)
        return stats

    def live_and_core(self, pid):
        stats = self.both_ways(pid)
        self.assertLessEqual(abs(stats["smaps"] - self.rollup(pid)), stats["smaps"] * 0.01)
        self.need("gcore")
        self.succeed("gcore", "-o", self.folder / "core", pid)
        self.check_core(self.folder / f"core.{pid}", stats)

    # ---- five real programs, live and from a core ----------------------------------------------

    def test_identity_of_python(self):
        subject = self.python("""
x = {str(i): [i] * (i % 50) for i in range(100000)}
for i in range(0, 100000, 3): del x[str(i)]
print("ready", flush=True)
import sys
sys.stdin.read()""", env={"PYTHONMALLOC": "malloc"})
        self.live_and_core(subject.pid)
        self.finish(subject)

    def test_identity_of_sqlite(self):
        self.need("sqlite3")
        process = self.spawn("sqlite3", ":memory:", stdin=subprocess.PIPE, text=True,
                             cwd=self.folder)
        process.stdin.write(
            "create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c "
            "where x<100000) insert into t select x,hex(randomblob(20)) from c;\n"
            "delete from t where a % 3 = 0;\n.output ready\nselect 1;\n.output\n")
        process.stdin.flush()
        ready = self.folder / "ready"
        self.wait_until(lambda: ready.exists() and ready.read_text(), "the table")
        self.live_and_core(process.pid)
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)

    def test_identity_of_redis(self):
        self.need("redis-check-rdb", "redis-benchmark", "redis-cli")
        socket = self.folder / "socket"
        # Debian's redis-tools has the server's program under the name of its checker.
        server = self.folder / "redis-server"
        server.symlink_to(shutil.which("redis-check-rdb"))
        process = self.spawn(server, "--port", 0, "--unixsocket", socket, "--save", "",
                             "--dir", self.folder)
        self.wait_until(socket.exists, "the socket")
        self.succeed("redis-benchmark", "-s", socket, "-q", "-n", 20000, "-r", 20000, "-d", 700,
                     "-t", "set,lpush,hset")
        self.live_and_core(process.pid)
        self.succeed("redis-cli", "-s", socket, "flushall")
        self.check_identity(self.ask("stats", process.pid))

    def test_identity_of_a_compiler(self):
        compiler = self.succeed("gcc", "-print-prog-name=cc1").strip()
        self.need(compiler)
        lines = [f"int f{i}(int a, int b) {{ int s = 0; for (int i = a; i < b; i++) "
                 f"s += i * {i} ^ (a << (b & 7)); return s > {i} ? s : a / (b | 1); }}"
                 for i in range(20000)]
        source = self.write("large.c", "\n".join(lines))
        process = self.spawn(compiler, "-quiet", "-O2", source, "-o", "/dev/null")
        self.wait_until(lambda: self.rollup(process.pid) > 60 << 20, "a busy compiler")
        self.check_identity(self.ask("stats", process.pid))
        process.send_signal(signal.SIGSTOP)
        self.live_and_core(process.pid)

    def test_identity_of_perl(self):
        self.need("perl")
        subject = self.start("-e", "my %h; $h{$_} = 'x' x ($_ % 900) for 1..50000; "
                             "delete @h{grep { $_ % 3 } keys %h}; $| = 1; print qq(ready\\n); <>",
                             program=shutil.which("perl"))
        self.live_and_core(subject.pid)
        self.finish(subject)

    def test_identity_of_programs_that_end(self):
        programs = {
            "sqlite3": ("sqlite3", ":memory:",
                        "create table t(a,b); with recursive c(x) as (select 1 union all select "
                        "x+1 from c where x<50000) insert into t select x,hex(randomblob(20)) "
                        "from c; select count(*) from t;"),
            "perl": ("perl", "-e", "my %h; $h{$_} = 'x' x ($_ % 90) for 1..50000; print 1"),
            "jq": ("jq", "-n", "[range(50000) | {a: ., b: tostring}] | length"),
            "git": ("git", "-C", os.environ["LUCID_SOURCE"], "log", "--stat", "-20"),
            "node": ("node", "-e", "let a = []; for (let i = 0; i < 1e5; i++) a.push({i}); "
                     "console.log(a.length)"),
        }
        seen = 0
        for name, words in programs.items():
            if shutil.which(words[0]) is not None:
                with self.subTest(name):
                    self.check_identity(self.ask("stats", "--", *words))
                    seen += 1
        if seen < 3:
            self.skipTest(f"only {seen} of the programs are installed")

    # ---- what makes it hard ----------------------------------------------------------------------

    def test_identity_of_a_busy_program(self):
        """Two threads, one of which makes 40 MiB come and go; sampled at any moment of it."""
        subject = self.program(THRASH, "-pthread")
        resident = set()
        for _ in range(10):
            stats = self.ask("stats", subject.pid)
            self.check_identity(stats)
            resident.add(stats["smaps"] >> 20)
            self.check_identity(self.ask("stats", "--freeze", subject.pid))
        self.assertGreater(len(resident), 1, "it did not move")

    def test_identity_of_pages_without_rights(self):
        """They stay in memory, and blocks in use stay blocks in use."""
        subject = self.program(CLOSED)
        blocks = (129 << 20) + 100 * 8192
        stats = self.both_ways(subject.pid)
        self.assertAlmostEqual(stats["resident"]["live"], blocks, delta=1 << 20)
        self.assertLess(stats["resident"]["other"], 1 << 20)
        self.assertLess(stats["untouched"], 1 << 20)
        self.assertEqual(stats["blocks"]["mappings"], 2)
        self.need("gcore")
        self.succeed("gcore", "-o", self.folder / "core", subject.pid)
        self.check_core(self.folder / f"core.{subject.pid}", stats)

    def check_zeros(self, subject, *first):
        pid = subject.pid
        stats = self.ask("stats", pid) if not first else self.through(first, pid)
        self.check_identity(stats)
        # Only what was written is resident: less than a tenth of what was read.
        self.assertLess(stats["resident"]["live"], 12 << 20)
        self.assertGreater(stats["resident"]["live"], 4 << 20)
        self.assertGreater(stats["zeros"], 2 << 20)

    def through(self, first, pid):
        done = self.run_command(*first, "stats", "--json", pid)
        if done.returncode == 77:
            self.skipTest("no filter on system calls can be set here")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    # ---- what only hardened mode knows -----------------------------------------------------------

    def test_identity_of_hardened_blocks(self):
        subject = self.program(HARDENED, env={"LUCID_OPTIONS": "harden=1"})
        stats = self.ask("stats", subject.pid)
        self.check_identity(stats)
        parts, classes = stats["resident"], {c["size"]: c for c in stats["classes"]}
        self.assertAlmostEqual(parts["live"], 40000 * 100, delta=20000)
        self.assertAlmostEqual(parts["slack"], 40000 * 12, delta=20000)
        self.assertEqual(stats["blocks"]["small_slack_most"], parts["slack"])
        self.assertAlmostEqual(stats["quarantined"], 1000 * 528, delta=5000)
        self.assertEqual(parts["cached"], stats["quarantined"])
        self.assertAlmostEqual(stats["blocks"]["small"], 40000, delta=100)
        self.assertEqual(classes[528]["blocks"], 0)
        self.assertEqual(classes[528]["cached"], classes[528]["cached_blocks"] * 528)
        text = self.lucid("stats", subject.pid).stdout
        self.assertRegex(text, "slack inside blocks .* behind hardened small ones")
        self.assertIn("quarantine of hardened mode, counted with thread caches", text)
        text = self.lucid("explain", subject.pid).stdout
        self.assertRegex(" ".join(text.split()),
                         r"- 4\d\d\.\dK \(11%\) .* is rounding and canaries\.")
        self.finish(subject)

    def test_identity_without_small_zeros(self):
        self.check_zeros(self.program(ZEROS))

    def test_identity_without_huge_zeros(self):
        subject = self.start("huge", program=self.compile(ZEROS))
        self.check_zeros(subject)

    def test_identity_without_zeros_on_older_kernels(self):
        old = self.compile(OLD_KERNEL, name="old")
        program = self.compile(ZEROS)
        self.check_zeros(self.start(program=program), old, LUCID)
        self.check_zeros(self.start("huge", program=program), old, LUCID)


main(Identity)
