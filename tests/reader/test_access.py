"""Reading where not everything may be read, and heaps of other versions of the library."""

import json
import os
import re
import resource
import shlex
import shutil
import signal
import struct
import subprocess

from onetest import BUILD, LIBRARY, LUCID, SOURCE, build_option, main
from target import NOBODY, SUBJECT, ReaderCase

OBSTACLE = BUILD / "tests" / "reader" / "libreader_obstacle.so"
FLOODED = BUILD / "tests" / "reader" / "reader_flooded"


class Access(ReaderCase):
    # ---- permissions -------------------------------------------------------------------------

    def hindered(self, command, *words, **obstacles):
        """The command, with such things in its way."""
        env = {f"OBSTACLE_{name.upper()}": str(value) for name, value in obstacles.items()}
        return self.run_command(LUCID, command, *words, env={"LD_PRELOAD": str(OBSTACLE), **env})

    def as_nobody(self, *words, **more):
        # The build tree may lie where nobody else may look.
        command = self.folder / "lucid"
        if not command.exists():
            shutil.copy(LUCID, command)
            command.chmod(0o755)
        return self.run_command(command, *words, user=NOBODY, group=NOBODY, **more)

    def as_nobody_hindered(self, command, *words, **obstacles):
        shim = self.folder / "obstacle.so"
        if not shim.exists():
            shutil.copy(OBSTACLE, shim)
        env = {f"OBSTACLE_{name.upper()}": str(value) for name, value in obstacles.items()}
        return self.as_nobody(command, *words, env={"LD_PRELOAD": str(shim), **env})

    def sleeper(self):
        process = subprocess.Popen(["sleep", "100"], user=NOBODY, group=NOBODY)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        program = f"/proc/{process.pid}/exe"
        while os.readlink(program).rsplit("/", 1)[1] not in ("sleep", "coreutils"):
            pass
        return process.pid

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")

    def test_nothing_is_stopped(self):
        """Without --freeze no command traces the process or sends it a signal."""
        subject = self.start("demo")
        for command in ("heap", "arena", "bins", "map", "check", "layout"):
            done = self.hindered(command, subject.pid, stop=1)
            self.assertEqual(done.returncode, 0, done.stderr)
        done = self.hindered("block", subject.pid, subject.facts["a"], "--refs", stop=1)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.hindered("heap", "--freeze", subject.pid, stop=1)
        self.assertEqual(done.returncode, -signal.SIGABRT)

    def test_layout_without_the_right_to_trace(self):
        self.need_root()
        pid = self.sleeper()
        scope = self.write("scope", "1\n")
        done = self.as_nobody_hindered("layout", "--json", pid, memory=1, yama=scope)
        self.assertEqual(done.returncode, 0, done.stderr)
        layout = json.loads(done.stdout)
        self.assertFalse(layout["memory_readable"])
        self.assertIn("ptrace_scope is 1", layout["obstacle"])
        self.assertTrue(any(m["resident"] for m in layout["mappings"]))
        self.assertIn("break", layout)
        done = self.as_nobody_hindered("layout", pid, memory=1, yama=scope)
        self.assertIn("Not shown: the exact break", done.stdout)

    def test_ptrace_scope_is_named(self):
        self.need_root()
        pid = self.sleeper()
        for value, says in ((0, "without CAP_SYS_PTRACE"), (1, "only an ancestor"),
                            (2, "only who has CAP_SYS_PTRACE"), (3, "until the next start")):
            scope = self.write("scope", f"{value}\n")
            done = self.as_nobody_hindered("heap", pid, memory=1, yama=scope)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(says, done.stderr)
            self.assertIn(f"sudo lucid heap {pid}" if value < 3 else "core file", done.stderr)

    def test_advice_is_the_command_as_it_was_typed(self):
        """All of it, so that a shell takes it for the same words."""
        self.need_root()
        pid = str(self.start("demo").pid)
        for words in (("ctl", pid, "set", "purge_age=2s"), ("block", pid, "0x10", "-C", "3"),
                      ("find", "--string", "it's so", pid), ("find", pid, "--string", "$HOME;`ls`"),
                      ("layout", pid), ("heap", "--json", pid)):
            done = self.as_nobody(*words)
            self.assertEqual(done.returncode, 2, done.stdout)
            advice = re.search("run `sudo lucid (.*)`", done.stderr)
            self.assertIsNotNone(advice, done.stderr)
            self.assertEqual(shlex.split(advice[1]), list(words))
        for text in ("x" * 600, "two\nlines", "\x1b[31m"):
            done = self.as_nobody("find", pid, "--string", text)
            self.assertIn("run the same command with sudo", done.stderr)

    def test_undumpable_process_is_named(self):
        self.need_root()
        program = self.compile("""
            #include <stdio.h>
            #include <sys/prctl.h>
            #include <unistd.h>
            int main(void) {
                prctl(PR_SET_DUMPABLE, 0);
                puts("ready");
                fflush(stdout);
                pause();
            }""")
        subject = self.start(library=None, program=program, user=NOBODY, group=NOBODY)
        self.addCleanup(subject.process.kill)
        done = self.as_nobody("layout", subject.pid)
        self.assertEqual(done.returncode, 2)
        self.assertIn("not dumpable", done.stderr)
        self.assertIn(f"sudo lucid layout {subject.pid}", done.stderr)

    def test_hidden_process_is_named(self):
        self.need_root()
        if self.run_command("unshare", "-m", "true").returncode != 0:
            self.skipTest("no right to make a mount namespace")
        subject = self.start("demo")
        command = self.folder / "lucid"
        shutil.copy(LUCID, command)
        done = self.run_command(
            "unshare", "-m", "sh", "-c",
            "mount -t proc -o hidepid=2 proc /proc && "
            f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {command} "
            f"heap {subject.pid}")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("hidepid", done.stderr)
        self.assertIn(f"sudo lucid heap {subject.pid}", done.stderr)

    def test_traced_process_is_not_frozen(self):
        subject = self.start("demo")
        tracer = subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(subject.pid)],
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(tracer.stderr.close)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.terminate)
        self.assertIn("attached", tracer.stderr.readline())
        self.refuse("heap", "--freeze", subject.pid, says=[f"process {tracer.pid} traces it",
                                                            "leave out --freeze"])
        self.lucid("heap", subject.pid)

    def flooded(self, word):
        process = subprocess.Popen([FLOODED, word], env={"LD_PRELOAD": LIBRARY}, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def test_a_frozen_process_loses_no_signal(self):
        for sent in (20_000, 100_000, 500_000):
            process = self.flooded(str(sent))
            process.stdin.write("\n")
            process.stdin.flush()
            frozen = 0
            while process.poll() is None:
                frozen += self.run_command(LUCID, "arena", "--freeze", process.pid).returncode == 0
            self.assertEqual(int(process.stdout.readline()), sent, f"frozen {frozen} times")
            if frozen >= 100:
                break

    def test_what_does_not_stop_is_named(self):
        process = self.flooded("vfork")
        self.refuse("arena", "--freeze", process.pid,
                    says=["does not stop", "leave out --freeze"])
        self.lucid("arena", process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.wait(timeout=60), 0)

    def fixed_field(self, subject, name, size):
        """A field of the part of the root that is fixed, out of the process."""
        root = int(self.ask("arena", subject.pid)["heap"]["root"], 16)
        golden = (SOURCE / "tests" / "reader" / "layout.txt").read_text()
        offset = int(re.search(rf"^root_fixed\.{name} (\d+)", golden, re.M).group(1))
        with open(f"/proc/{subject.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(root + offset)
            return int.from_bytes(memory.read(size), "little")

    def test_secrets_are_not_shown(self):
        """The word that canaries are made of is in no answer, and contents only where asked."""
        subject = self.start("demo")
        mark = self.fixed_field(subject, "mark", 8)
        self.assertNotEqual(mark, 0)
        for command in ("heap", "arena", "bins", "map", "check", "layout"):
            for words in ((), ("--json",)):
                text = self.lucid(command, *words, subject.pid).stdout
                self.assertNotIn(f"{mark:x}", text)
                self.assertNotIn("AAAA", text)
                self.assertNotIn("41414141", text)

    def test_pictures_are_private(self):
        subject = self.start("demo")
        picture = self.write("open.svg", "seen by all", mode=0o644)
        self.lucid("map", "--svg", picture, subject.pid)
        self.assertEqual(picture.stat().st_mode & 0o777, 0o600)
        text = self.lucid("map", "--svg", "/dev/stdout", subject.pid).stdout
        self.assertTrue(text.startswith("<svg"))

    # ---- processes that have ended in part -----------------------------------------------------

    def headless(self, **more):
        """A process whose first thread has ended, while two others go on."""
        program = self.compile("""
            #include <pthread.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            #include <unistd.h>
            static pthread_t first;
            static void *doze(void *nothing) { pause(); return nothing; }
            static void *work(void *nothing) {
                char *block = malloc(40);
                char byte;
                pthread_join(first, NULL);
                printf("ready block=%p break=%p\\n", strcpy(block, "look here"), sbrk(0));
                fflush(stdout);
                _exit((int)read(0, &byte, 1));
                return nothing;
            }
            int main(void) {
                pthread_t thread;
                first = pthread_self();
                pthread_create(&thread, NULL, doze, NULL);
                pthread_create(&thread, NULL, work, NULL);
                pthread_exit(NULL);
            }""", "-pthread", name="headless")
        subject = self.start(program=program, env={"LUCID_OPTIONS": "ctl=1"}, **more)
        with open(f"/proc/{subject.pid}/stat", encoding="ascii") as state:
            while state.read().rsplit(") ", 1)[1][0] != "Z":
                state.seek(0)
        return subject

    def test_first_thread_has_ended(self):
        subject = self.headless()
        block = int(subject.facts["block"], 16)
        blocks, _ = self.blocks(subject.pid)
        self.assertEqual(blocks[block]["state"], "used")
        self.lucid("check", "--freeze", subject.pid)
        layout = self.ask("layout", subject.pid)
        self.assertEqual(layout["break"]["now"]["address"], subject.facts["break"])
        self.assertEqual(layout["process"]["state"], "S")
        self.assertGreater(layout["process"]["resident"], 0)
        self.assertTrue(self.ask("stats", subject.pid)["closes"])
        self.assertEqual(self.ask("block", subject.pid, hex(block))["page"], "resident")
        for command in ("arena", "bins", "map", "explain", "frag", "options"):
            self.lucid(command, subject.pid)
        self.lucid("top", "--once", subject.pid)
        self.assertIn("in use", self.lucid("verify", subject.pid).stdout)
        self.assertIn("gave back", self.lucid("ctl", subject.pid, "trim").stdout)
        self.finish(subject)

    def test_first_thread_has_ended_and_its_files_are_gone(self):
        subject = self.headless()
        (self.folder / "headless").unlink()
        layout = self.ask("layout", subject.pid)
        self.assertEqual(layout["program"]["end"]["source"], "symbol")

    def test_first_thread_ends_while_top_watches(self):
        program = self.compile("""
            #include <pthread.h>
            #include <signal.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            static void leave(int signal) { (void)signal; pthread_exit(NULL); }
            static void *doze(void *nothing) { free(malloc(40)); for (;;) pause(); return nothing; }
            int main(void) {
                pthread_t thread;
                free(malloc(3000));
                pthread_create(&thread, NULL, doze, NULL);
                signal(SIGUSR1, leave);
                puts("ready");
                fflush(stdout);
                for (;;) pause();
            }""", "-pthread", "-fexceptions")
        subject = self.start(program=program)
        self.addCleanup(subject.process.kill)
        top = subprocess.Popen([LUCID, "top", "--batch", "--json", "--interval", "0.1",
                                str(subject.pid)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(top.stdout.close)
        self.addCleanup(top.wait)
        self.addCleanup(top.kill)
        self.assertIn(self.state_in_reading(top, subject.pid), ("R", "S"))
        os.kill(subject.pid, signal.SIGUSR1)
        while self.state_in_reading(top, subject.pid) not in ("Z", None):
            pass
        self.assertIn(self.state_in_reading(top, subject.pid), ("Z", None))

    def state_in_reading(self, top, tid):
        """What the next reading of top --batch --json says of the thread, if it has it."""
        text = ""
        while True:
            line = top.stdout.readline()
            self.assertTrue(line, text)
            text += line
            try:
                threads = json.loads(text)["threads"]
            except ValueError:
                continue
            return {thread["tid"]: thread["state"] for thread in threads}.get(tid)

    def test_zombie_is_named(self):
        process = subprocess.Popen(["true"])
        self.addCleanup(process.wait)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        for command in ("heap", "layout", "verify"):
            self.refuse(command, process.pid, says=[f"process {process.pid} (true) has ended",
                                                    "zombie"])

    def test_process_without_memory_that_is_no_zombie_yet(self):
        subject, kill = self.start_to_linger("demo")
        self.lucid("heap", subject.pid)
        kill()
        for command in ("heap", "layout", "verify", "stats"):
            done = self.refuse(command, subject.pid, says=f"process {subject.pid} (")
            self.assertIn("has ended", done.stderr)

    def meanwhile(self, shell, says):
        """This happens to a process in the middle of being read. Whenever it does, the command
        tells that, unless it has read all by then."""
        program = self.compile("""
            #include <signal.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            static void leave(int signal) {
                char *none[] = {NULL};
                execle("/bin/sleep", "sleep", "100", (char *)NULL, none);
                _exit(signal);
            }
            int main(void) {
                free(malloc(3000));
                signal(SIGUSR1, leave);
                puts("ready");
                fflush(stdout);
                for (;;) pause();
            }""")
        answered = 0
        for reading in (*range(1, 12), 15, 20, 25, 30, 100000):
            subject = self.start(program=program)
            self.addCleanup(subject.process.kill)
            done = self.hindered("arena", subject.pid, read=reading,
                                 shell=shell.format(pid=subject.pid, program=program))
            subject.process.kill()
            if done.returncode == 0:
                answered = reading
                continue
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(says, done.stderr, f"before reading {reading}")
        self.assertEqual(answered, 100000)

    def test_process_that_ends_while_it_is_read(self):
        self.meanwhile("kill -9 {pid}; until grep -q '^State:.Z' /proc/{pid}/status; do :; done",
                       "has ended; `ps -e` lists")

    def test_process_that_executes_another_program_while_it_is_read(self):
        self.meanwhile("kill -USR1 {pid}; until [ $(readlink /proc/{pid}/exe) != {program} ]; "
                       "do :; done", "runs another program now")

    def test_kernel_thread_is_named(self):
        if not os.path.exists("/proc/2/comm"):
            self.skipTest("kernel threads are not seen here")
        with open("/proc/2/stat", encoding="ascii") as state:
            if int(state.read().rsplit(") ", 1)[1].split()[6]) & 0x00200000 == 0:
                self.skipTest("process 2 is no kernel thread here")
        for command in ("heap", "verify"):
            self.refuse(command, 2, says="it is a kernel thread")

    def test_first_thread_has_ended_and_it_is_foreign(self):
        self.need_root()
        subject = self.headless()
        for command in ("heap", "verify"):
            done = self.as_nobody(command, subject.pid)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn("it belongs to user 0", done.stderr)
            self.assertIn(f"sudo lucid {command} {subject.pid}", done.stderr)

    # ---- what a core does not say ----------------------------------------------------------------

    def test_a_core_holds_what_is_in_use(self):
        """gcore writes reserved addresses down too."""
        subject = self.start("demo")
        if self.fixed_field(subject, "tables_reserved", 4) != 0:
            self.skipTest("the tables need a reservation here")
        self.assertLess(self.gcore(subject).stat().st_size, 128 << 20)

    def test_layout_of_a_core_adds_up(self):
        core = self.gcore(self.start("demo"))
        mappings = [mapping for mapping in self.ask("layout", core)["mappings"]
                    if int(mapping["start"], 16) < 1 << 63]
        told = re.search(r" mappings, (\S+)([MG]) of addresses", self.lucid("layout", core).stdout)
        size = sum(mapping["size"] for mapping in mappings) / (1 << {"M": 20, "G": 30}[told[2]])
        self.assertAlmostEqual(float(told[1]), size, delta=0.06)

    def test_vdso_of_a_core_has_its_name(self):
        """gcore writes it down without one, the kernel's cores do not name it either."""
        subject = self.start("demo")
        for target in (subject.pid, self.gcore(subject)):
            names = {mapping["name"]: mapping["owner"]
                     for mapping in self.ask("layout", target)["mappings"]}
            self.assertEqual(names.get("[vdso]"), "vdso", names)

    def test_files_that_a_core_does_not_name(self):
        """The list of files stands at the end of gcore's core, and is cut off."""
        core = self.gcore(self.start("demo"))
        os.truncate(core, core.stat().st_size * 99 // 100)
        text = self.lucid("layout", core).stdout
        self.assertNotRegex(text, "(?m) of $")
        self.assertIn("a program or library, not named here", text)

    def elf(self, kind, *segments):
        """An ELF file of this machine: its header and those of its segments."""
        with open(LUCID, "rb") as command:
            machine = struct.unpack_from("<H", command.read(64), 18)[0]
        return b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
            "<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0) + \
            b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments)

    def test_layout_of_a_core_with_many_mappings(self):
        """The text looks up no more for each of them than JSON does, which is the measure."""
        count = 30000
        core = self.folder / "core"
        core.write_bytes(self.elf(4, *[(1, 6, 64 + 56 * count, 0x10000000 + i * 0x2000,
                                        0, 0, 0x1000, 0x1000) for i in range(count)]))
        seconds = []
        for more in ((), ("--json",)):
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            text = self.lucid("layout", *more, core).stdout
            seconds.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        self.assertEqual(len(json.loads(text)["mappings"]), count)
        self.assertLess(seconds[0], 3 * seconds[1])

    def test_core_that_names_a_device(self):
        """Of a program whose file is something else by now, which is not even opened."""
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        program = self.elf(3, (1, 5, 0, 0, 0, 4096, 4096, 4096))
        files = struct.pack("<QQQQQ", 1, 4096, 4096, 8192, 0) + bytes(fifo) + b"\0"
        notes = struct.pack("<III", 5, len(files), 0x46494C45) + b"CORE\0\0\0\0"
        notes += files + bytes(-len(files) % 4)
        at = 64 + 2 * 56
        core = self.folder / "core"
        core.write_bytes(self.elf(4, (4, 0, at, 0, 0, len(notes), 0, 4),
                                  (1, 5, at + len(notes), 4096, 0, len(program), 4096, 4096)) +
                         notes + program)
        log = self.folder / "log"
        text = self.succeed("strace", "-e", "trace=open,openat", "-o", log, LUCID, "layout", core)
        self.assertIn("fifo", text)
        self.assertNotIn("fifo", log.read_text(encoding="utf-8"))

    # ---- cores that are cut off ----------------------------------------------------------------

    def assert_says_it_is_cut_off(self, core):
        """At whatever length: the commands answer with the core's lack, or refuse because of it."""
        size = core.stat().st_size
        refused = 0
        for percent in (99, 95, 80, 60, 40, 20, 10, 5, 1):
            os.truncate(core, size * percent // 100)
            self.assertIn("The core is cut off: ", self.lucid("layout", core).stdout)
            for command in ("heap", "check", "stats", "arena", "explain", "options"):
                done = self.run_command(LUCID, command, core)
                self.assertIn(done.returncode, (0, 1, 2), done.stderr)
                refused += done.returncode == 2
                text = done.stderr if done.returncode == 2 else done.stdout
                self.assertRegex(text, r"is cut off: \S+ of \S+ are missing")
                if done.returncode == 2:
                    self.assertEqual(len(text.splitlines()), 1, text)
                    self.assertIn("ulimit -c unlimited", text)
                    self.assertIn("room on the disk", text)
        self.assertGreater(refused, 0)

    def test_core_of_gcore_that_is_cut_off(self):
        core = self.gcore(self.start("demo"))
        self.assertEqual(self.ask("layout", core)["target"]["missing"], 0)
        size = core.stat().st_size
        os.truncate(core, size - 12345)
        # What gdb appends behind the memory, a table of sections, is not missed.
        self.assertIn(self.ask("layout", core)["target"]["missing"], range(1, 12346))
        self.assert_says_it_is_cut_off(core)

    def test_core_of_the_kernel_that_is_cut_off(self):
        _, dump = self.start_to_dump("demo")
        self.assert_says_it_is_cut_off(dump())

    def test_core_of_another_malloc_that_is_cut_off(self):
        """It may be lucid's that is gone: nothing is said of what else it could be."""
        self.assert_says_it_is_cut_off(self.gcore(self.start("demo", library=None)))

    # ---- other versions ------------------------------------------------------------------------

    def library_with(self, *changes):
        """The library from sources with changes to layout.h."""
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(SOURCE / "src", source)
        header = source / "layout.h"
        text = header.read_text()
        for old, new in changes:
            self.assertEqual(len(re.findall(old, text, re.M)), 1, old)
            text = re.sub(old, new, text, flags=re.M)
        header.write_text(text)
        library = self.folder / "liblucid.so"
        self.succeed("cc", "-shared", "-fPIC", "-O0", "-std=gnu11", "-D_GNU_SOURCE",
                     "-DLUCID_CHECKED=0", "-DLUCID_STRESS=0", "-DLUCID_OVERRIDE=1",
                     f"-DLUCID_PAGE_SIZE={build_option('LUCID_PAGE_SIZE')}",
                     "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-builtin",
                     "-I", SOURCE / "include", "-I", source, "-o", library,
                     *sorted(source.glob("*.c")), *sorted(source.glob("os/*.c")), "-pthread")
        return library

    def test_library_of_another_version_is_named(self):
        library = self.library_with((r"^#define LUCID_LAYOUT_VERSION \d+u?",
                                     "#define LUCID_LAYOUT_VERSION 77u"))
        subject = self.start("demo", library=library)
        for command in ("heap", "check", "map", "stats"):
            self.refuse(command, subject.pid, says=["heap layout 77", "this tool reads layout 1",
                                                    "use the lucid command of that version"])
        self.assertIn("Allocated with brk", self.lucid("layout", subject.pid).stdout)

    def test_library_with_larger_structures_is_read(self):
        library = self.library_with(
            (r"^(    struct lucid_region \*region;\n)(};\n\n// A block with an mmap)",
             r"\1    uint64_t later[8];\n\2"),
            (r"sizeof\(struct run\) == 64 \+ SPAN_WORDS \* 8", "sizeof(struct run) % 64 == 0"),
            (r"^(    uint64_t guard_next;.*)$", r"\1\n    uint64_t later[5];"),
            (r"^(    struct bin nobody\[CLASS_COUNT\];)(\n};)$", r"\1\n    uint64_t later[9];\2"),
            (r"^(    struct sizeclass classes\[CLASS_COUNT\];)$", r"\1\n    uint64_t later[3];"))
        self.check_demo(self.start("demo", library=library))
        busy = self.start("busy", 3, 1000, library=library)
        self.lucid("check", busy.pid)
        self.assertIn("faults=0", busy.process.stdout.read())

    # ---- cost ----------------------------------------------------------------------------------

    def instructions(self, *words):
        out = self.folder / "callgrind.out"
        self.succeed("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q",
                     self.folder / "command", *words)
        return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))

    def test_a_block_costs_few_instructions(self):
        """Ten million rows of JSON took 0.6 s when each cost 877 instructions; now it is 507."""
        if shutil.which("valgrind") is None:
            self.skipTest("valgrind is not installed")
        self.succeed("objcopy", "--strip-debug", LUCID, self.folder / "command")
        costs = []
        for count in (20000, 120000):
            subject = self.start("many", count, 16)
            costs.append(self.instructions("heap", "--json", subject.pid))
        each = (costs[1] - costs[0]) / 100000
        print(f"{each:.0f} instructions a block")
        self.assertLess(each, 700)

    # ---- gdb, installed --------------------------------------------------------------------------

    def test_gdb_loads_the_installed_plugin(self):
        """Installed, and looked at from where it will be: the plugin comes with the library and
        finds the command by itself."""
        cache = (BUILD / "CMakeCache.txt").read_text()
        prefix = re.search(r"^CMAKE_INSTALL_PREFIX:PATH=(.*)$", cache, re.M).group(1)
        if shutil.which("gdb") is None or prefix == "/usr" or not os.path.isdir(prefix):
            self.skipTest(f"needs gdb, and a prefix that can be replaced, not {prefix}")
        if self.run_command("unshare", "-m", "true").returncode != 0:
            self.skipTest("no right to make a mount namespace")
        self.succeed("cmake", "--install", BUILD, env={"DESTDIR": str(self.folder)})
        installed = next((self.folder / prefix[1:]).glob("lib/**/liblucid.so"))
        library = f"{prefix}/{installed.relative_to(self.folder / prefix[1:])}"
        script = self.write("look", f"""
            mount --bind {self.folder}{prefix} {prefix}
            LD_PRELOAD={library} {SUBJECT} demo < {self.fifo()} > {self.folder}/facts &
            until grep -q ready {self.folder}/facts; do sleep 0.05; done
            env PATH=/usr/bin:/bin gdb -q -batch -nx \\
                -iex 'add-auto-load-safe-path {prefix}' \\
                -iex 'add-auto-load-scripts-directory {prefix}/share/gdb/auto-load' \\
                -p $! -ex 'lucid arena' -ex 'lucid bins' -ex 'lucid find --string {'B' * 15}'
            kill $!
            """)
        done = self.run_command("unshare", "-m", "sh", script, env={"DEBUGINFOD_URLS": ""})
        self.assertIn("grows with the program break", done.stdout, done.stderr)
        facts = (self.folder / "facts").read_text()
        block = re.search(r"b=(\S+)", facts).group(1)
        self.assertIn(f"used block {block}", done.stdout)

    def fifo(self):
        """A standard input that never ends."""
        path = self.folder / "input"
        os.mkfifo(path)
        holder = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, holder)
        return path


if __name__ == "__main__":
    main(Access)
