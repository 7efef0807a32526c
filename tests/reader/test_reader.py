"""Reading heaps: the answers are what the program itself knows, from whatever the heap is read."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import xml.etree.ElementTree as ElementTree

from pathlib import Path
from onetest import BUILD, LIBRARY, LUCID, SOURCE, build_option, main
from target import NOBODY, SUBJECT, ReaderCase

KEEPERS = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *freed[3];
static pthread_barrier_t ready;
static void *keep(void *number) {
    char name[16], *block[100];
    sprintf(name, "keeper-%ld", (long)number);
    pthread_setname_np(pthread_self(), name);
    for (int i = 0; i < 100; i++) block[i] = memset(malloc(500), 1, 500);
    for (int i = 0; i < 100; i++) free(block[i]);
    freed[(long)number] = block[99];
    pthread_barrier_wait(&ready);
    for (;;) pause();
}
int main(void) {
    pthread_t thread;
    pthread_barrier_init(&ready, NULL, 4);
    for (long i = 0; i < 3; i++) pthread_create(&thread, NULL, keep, (void *)i);
    pthread_barrier_wait(&ready);
    printf("ready pid=%d freed=%p,%p,%p\n", (int)getpid(), freed[0], freed[1], freed[2]);
    fflush(stdout);
    while (getchar() != EOF) {}
    _exit(0);
}"""


class Reader(ReaderCase):
    # ---- the commands on a living process ----------------------------------------------------

    def test_heap_lists_the_blocks(self):
        subject = self.start("demo")
        heap = self.check_demo(subject)
        self.assertEqual(heap["target"]["pid"], subject.pid)
        self.assertEqual(heap["target"]["mode"], "live")
        self.assertEqual(heap["blocks_not_shown"], 0)
        addresses = [int(block["address"], 16) for block in heap["blocks"]]
        self.assertEqual(addresses, sorted(addresses))
        for block in heap["blocks"]:
            self.assertRegex(block["address"], "^0x[0-9a-f]+$")
        self.finish(subject)

    def test_heap_filters(self):
        subject = self.start("demo")
        cached = self.ask("heap", "--state", "cached", subject.pid)["blocks"]
        self.assertTrue(cached)
        self.assertEqual({block["state"] for block in cached}, {"cached"})
        sixteen = self.ask("heap", "--class", 16, subject.pid)["blocks"]
        self.assertEqual({block["size"] for block in sixteen}, {16})
        large = self.ask("heap", "--min", "1M", subject.pid)["blocks"]
        self.assertEqual([int(block["address"], 16) for block in large],
                         [subject.address("mapping")])
        self.refuse("heap", "--class", 17, subject.pid, says="gets a block of 32", code=64)

    def test_heap_limit_is_told(self):
        subject = self.start("many", 5000, 40)
        heap = self.ask("heap", "--limit", 10, subject.pid)
        self.assertEqual(len(heap["blocks"]), 10)
        self.assertGreater(heap["blocks_not_shown"], 4980)
        text = self.lucid("heap", "--limit", 10, subject.pid).stdout
        self.assertIn("more rows are not shown", text)
        self.assertRegex(text, r"\d+ +-  top\n")

    def test_many_blocks_are_all_there(self):
        count = 1000000
        subject = self.start("many", count, 16)
        start = time.monotonic()
        heap = self.ask("heap", subject.pid)
        print(f"{count} blocks in {time.monotonic() - start:.2f} s, JSON parsed")
        used = [b for b in heap["blocks"] if b["state"] == "used" and b["size"] == 16]
        self.assertGreaterEqual(len(used), count)
        self.assertLess(len(used), count + 100)
        self.assertEqual(heap["summary"]["used"]["blocks"],
                         len([b for b in heap["blocks"] if b["state"] == "used"]))

    def test_block_shows_owner_and_neighbours(self):
        subject = self.start("demo")
        a, b = subject.address("a"), subject.address("b")
        answer = self.ask("block", subject.pid, hex(b + 5), "-C", "1", "--refs")
        self.assertEqual(int(answer["block"]["address"], 16), b)
        self.assertEqual(answer["offset"], 5)
        self.assertEqual(answer["page"], "resident")
        self.assertEqual(bytes.fromhex(answer["contents"])[:15], b"B" * 15)
        self.assertIn(a, [int(row["address"], 16) for row in answer["around"]])
        self.assertIn(subject.address("pointer") + 3 * 8,
                      [int(at, 16) for at in answer["references"]])
        text = self.lucid("block", subject.pid, hex(a)).stdout
        self.assertIn(f"{a:#x}:\t0x41414141\t0x41414141\t0x00004141", text)

    def test_block_that_is_none(self):
        subject = self.start("demo")
        self.refuse("block", subject.pid, "0x10", says=["0x10 is in no block", "lucid layout"],
                    code=1)
        self.refuse("block", subject.pid, "ten", says="ten is not an address", code=64)
        top = self.ask("heap", subject.pid)["top"]["address"]
        self.assertEqual(self.ask("block", subject.pid, top)["block"]["kind"], "top")

    def test_block_that_is_none_as_json(self):
        """The answer is an object here, too, and nothing else."""
        for library, allocator in ((LIBRARY, "lucid"), (None, "glibc")):
            subject = self.start("demo", library=library)
            with open(f"/proc/{subject.pid}/maps", encoding="ascii") as maps:
                stack = next(line.split("-")[0] for line in maps if "[stack]" in line)
            for target in (subject.pid, self.gcore(subject)):
                answer = self.ask("block", target, "0x10", code=1)
                self.assertEqual(answer["heap"]["allocator"], allocator)
                self.assertEqual((answer["asked_about"], answer["block"], answer["region"]),
                                 ("0x10", None, None))
            done = self.lucid("block", "--json", subject.pid, f"0x{stack}", code=1)
            self.assertEqual(json.loads(done.stdout)["region"], "[stack]")
            self.assertEqual(done.stderr, "")

    def test_find_value_and_string(self):
        subject = self.start("demo")
        found = self.ask("find", subject.pid, subject.facts["b"])["found"]
        self.assertIn(subject.address("pointer"), [int(at["address"], 16) for at in found])
        found = self.ask("find", "--string", "B" * 15, subject.pid)["found"]
        self.assertEqual([int(at["address"], 16) for at in found], [subject.address("b")])
        self.lucid("find", "--string", "certainly not in there", subject.pid, code=1)
        self.refuse("find", subject.pid, says="either a VALUE or --string", code=64)

    def test_arena_adds_up(self):
        subject = self.start("busy", 2, 1500)
        arena = self.ask("arena", "--freeze", subject.pid)["arena"]
        parts = ("span_bytes", "large_bytes", "pool_bytes", "foreign_bytes", "moving_bytes",
                 "top_bytes")
        self.assertEqual(sum(arena[part] for part in parts),
                         int(arena["end"], 16) - int(arena["start"], 16))
        small = ("used_bytes", "cached_bytes", "free_bytes", "uncarved_bytes", "tail_bytes")
        self.assertEqual(sum(arena[part] for part in small), arena["span_bytes"])

    def test_bins_agree_with_heap(self):
        subject = self.start("demo")
        heap = self.ask("heap", subject.pid)
        for row in self.ask("bins", subject.pid)["classes"]:
            of_class = [b for b in heap["blocks"] if b.get("class") == row["class"]]
            for state in ("used", "cached", "free"):
                self.assertEqual(row[state], len([b for b in of_class if b["state"] == state]))
            self.assertEqual(row["blocks"], len(of_class) + row["uncarved"])

    def test_own_heaps(self):
        subject = self.start("heaps")
        self.assertEqual(self.ask("check", subject.pid)["findings"], [])
        arena = self.ask("arena", subject.pid)
        rows = {row["name"]: row for row in arena["own_heaps"]}
        self.assertEqual(set(rows), {"parser", "empty"})
        self.assertEqual(int(rows["parser"]["heap"], 16), subject.address("parser"))
        self.assertEqual(rows["parser"]["blocks"], 1002)
        large = -(-100000 // arena["arena"]["unit"]) * arena["arena"]["unit"]
        self.assertEqual(rows["parser"]["used_bytes"], 1000 * 112 + large + (64 << 20))
        self.assertEqual((rows["parser"]["larges"], rows["parser"]["mappings"]), (1, 1))
        self.assertEqual((rows["empty"]["blocks"], rows["empty"]["bytes"]), (0, 0))
        blocks, _ = self.blocks(subject.pid)
        used = [b for b in blocks.values() if b["state"] == "used" and b["size"] == 112]
        self.assertGreaterEqual(len(used), 1000)
        block = self.ask("block", subject.pid, subject.facts["block"])["block"]
        self.assertEqual((block["state"], block["size"]), ("used", 112))
        for name in ("block", "large", "mapping"):
            found = self.ask("block", subject.pid, subject.facts[name])["block"]
            self.assertEqual(int(found["own_heap"], 16), subject.address("parser"), name)
        text = self.lucid("block", subject.pid, subject.facts["large"]).stdout
        self.assertIn(f"own heap  {subject.facts['parser']} parser", text)
        self.assertRegex(self.lucid("arena", subject.pid).stdout, r"OWN HEAP.*\n  empty .*\n"
                                                                  r"|OWN HEAP(.|\n)*  parser +1002")
        stats = self.ask("stats", subject.pid)
        self.assertEqual(stats["own_heaps"], self.ask("arena", subject.pid)["own_heaps"])
        self.assertTrue(stats["closes"])
        self.assertGreaterEqual(stats["resident"]["live"], 1000 * 112 + 100000)
        self.assertIn("parser", self.lucid("stats", subject.pid).stdout)
        self.finish(subject)

    def test_map_and_picture(self):
        subject = self.start("many", 20000, 100)
        cells = self.ask("map", subject.pid)
        live = sum(cell["live"] for cell in cells["cells"])
        summary = self.ask("heap", subject.pid)["summary"]
        mappings = [b for b in self.ask("heap", subject.pid)["blocks"]
                    if b.get("kind") == "mapping"]
        self.assertEqual(live, summary["used"]["bytes"] - sum(b["size"] for b in mappings))
        self.assertIn("one cell", self.lucid("map", subject.pid).stdout)
        shades = self.lucid("map", subject.pid, env={"LC_ALL": "C.UTF-8"}).stdout
        self.assertIn("█████", shades)
        letters = self.lucid("map", subject.pid, env={"LC_ALL": "C"}).stdout
        self.assertTrue(letters.isascii(), letters)
        shades = shades.translate(str.maketrans("█▓▒░·", "#x+-."))
        self.assertEqual(letters.splitlines()[1:], shades.splitlines()[1:])  # without the time
        first = self.ask("heap", "--class", 112, "--limit", 1, subject.pid)["blocks"][0]
        near = self.ask("map", "--zoom", first["address"], subject.pid)
        self.assertEqual(near["cell_bytes"], 64)
        at = (int(first["address"], 16) - int(near["start"], 16)) // 64
        self.assertEqual(near["cells"][at]["live"], 64)
        self.assertIn("one cell = 64",
                      self.lucid("map", "--zoom", first["address"], subject.pid).stdout)
        self.refuse("map", "--zoom", "0x1000", subject.pid, says="not in the arena", code=64)
        picture = self.folder / "heap.svg"
        self.lucid("map", "--svg", picture, subject.pid)
        self.assertEqual(stat.S_IMODE(picture.stat().st_mode), 0o600)
        drawing = ElementTree.parse(picture)
        squares = [e for e in drawing.iter("{http://www.w3.org/2000/svg}rect")
                   if " c" in e.get("class", "") and e.get("rx")]
        page = int(build_option("LUCID_PAGE_SIZE")) or os.sysconf("SC_PAGESIZE")
        self.assertEqual(len(squares), len(self.ask("map", "--cell", page, subject.pid)["cells"]))
        self.assertEqual(len(self.ask("map", "--cell", "1T", subject.pid)["cells"]), 1)
        for size in (15, (1 << 40) + 1, 1 << 58, (1 << 64) - 1):
            self.refuse("map", "--zoom", first["address"], "--cell", size, subject.pid,
                        says="--cell a size from 16 to 1T", code=64)
        self.refuse("map", "--svg", "/nonexistent/x.svg", subject.pid, says="cannot be written")

    def test_layout_of_lucid(self):
        subject = self.start("demo")
        layout = self.ask("layout", subject.pid)
        self.assertEqual(int(layout["break"]["now"]["address"], 16), subject.address("break"))
        allocated = layout["break"]["allocated"]
        self.assertEqual(allocated, int(layout["break"]["now"]["address"], 16) -
                         int(layout["break"]["start"]["address"], 16))
        self.assertEqual(layout["break"]["lucid"] + layout["break"]["foreign"], allocated)
        self.assertEqual(layout["break"]["gap"], int(layout["break"]["start"]["address"], 16) -
                         int(layout["program"]["end"]["address"], 16))
        self.assertIn("Allocated with brk:", self.lucid("layout", subject.pid).stdout)

    def test_layout_agrees_with_the_kernel(self):
        subject = self.start("demo", library=None)
        layout = self.ask("layout", subject.pid)
        with open(f"/proc/{subject.pid}/maps", encoding="ascii") as maps:
            lines = [line.split()[0] for line in maps]
        self.assertEqual([f"{int(m['start'], 16):08x}-{int(m['end'], 16):08x}"
                          for m in layout["mappings"]], lines)
        with open(f"/proc/{subject.pid}/stat", encoding="ascii") as stat_file:
            fields = stat_file.read().rsplit(")", 1)[1].split()
        self.assertEqual(int(layout["break"]["start"]["address"], 16), int(fields[44]))
        symbols = self.succeed("nm", SUBJECT)
        bias = int(layout["mappings"][0]["start"], 16)
        for name, key in (("_edata", "edata"), ("_end", "end")):
            value = int(re.search(rf"^([0-9a-f]+) \w {name}$", symbols, re.M).group(1), 16)
            self.assertEqual(int(layout["program"][key]["address"], 16), bias + value)

    # ---- glibc's heap ------------------------------------------------------------------------

    def test_glibc_heap(self):
        subject = self.start("demo", library=None)
        blocks, heap = self.blocks(subject.pid)
        self.assertEqual(heap["heap"]["allocator"], "glibc")
        self.assertTrue(heap["heap"]["best_effort"])
        first = heap["blocks"][0]
        self.assertTrue(first["tcache"])
        self.assertEqual(first["size_word"], "0x291")
        a = blocks[subject.address("a")]
        self.assertEqual((a["chunk_size"], a["size_word"], a["state"]), (32, "0x21", "used"))
        self.assertEqual(int(heap["top"]["chunk"], 16) + heap["top"]["chunk_size"],
                         subject.address("break"))
        block = self.ask("block", subject.pid, subject.facts["b"])
        self.assertEqual(block["block"]["size_word"], "0x21")
        large = self.ask("heap", "--min", 50000, "--state", "used", subject.pid)["blocks"]
        self.assertEqual([int(b["address"], 16) for b in large], [subject.address("large")])
        limited = self.ask("heap", "--limit", 1, subject.pid)
        self.assertEqual(limited["blocks_not_shown"], len(heap["blocks"]) - 1)
        self.refuse("heap", "--class", 16, subject.pid, says="runs on glibc's malloc", code=64)
        self.assertIn("best effort", self.lucid("arena", subject.pid).stdout)

    # ---- forms of the library and the program ------------------------------------------------

    def variant(self, name, *flags, source=None):
        source = source or SOURCE / "tests" / "reader" / "subject.c"
        program = self.folder / name
        self.succeed("cc", "-O1", "-D_GNU_SOURCE", "-DLUCID_CHECKED=0", "-DLUCID_STRESS=0",
                     "-I", SOURCE / "src", "-o", program, source, *flags, "-pthread")
        return program

    def test_stripped(self):
        library = self.folder / "liblucid.so"
        shutil.copy(LIBRARY, library)
        program = self.folder / "subject"
        shutil.copy(SUBJECT, program)
        self.succeed("strip", "--strip-all", library)
        self.succeed("strip", "--strip-all", program)
        self.check_demo(self.start("demo", library=library, program=program))

    def test_static(self):
        program = self.variant("static", BUILD / "liblucid.a", "-static")
        self.succeed("strip", "--strip-all", program)
        heap = self.check_demo(self.start("demo", library=None, program=program))
        self.assertEqual(heap["heap"]["found_by"], "ELF note")

    def test_static_pie(self):
        program = self.variant("static-pie", BUILD / "liblucid.a", "-static-pie", "-fPIE")
        self.check_demo(self.start("demo", library=None, program=program))

    def test_dlopened(self):
        text = """
            #include <dlfcn.h>
            #include <stdio.h>
            #include <unistd.h>
            int main(int argc, char **argv) {
                void *handle = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
                void *(*take)(size_t) = handle ? dlsym(handle, "lucid_malloc") : NULL;
                if (!take) { puts(dlerror()); return 1; }
                printf("ready block=%p\\n", take(40));
                fflush(stdout);
                char byte;
                return (int)read(0, &byte, 1);
            }"""
        program = self.compile(text, "-ldl")
        subject = self.start(LIBRARY, library=None, program=program)
        blocks, _ = self.blocks(subject.pid)
        self.assertEqual(blocks[subject.address("block")]["state"], "used")

    def test_forked_child(self):
        subject = self.start("fork")
        self.assertNotEqual(subject.pid, subject.process.pid)
        self.check_demo(subject)
        self.lucid("check", subject.pid)

    def test_two_heaps(self):
        text = """
            #include <dlfcn.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            int main(int argc, char **argv) {
                void *handle = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
                void *(*take)(size_t) = handle ? dlsym(handle, "lucid_malloc") : NULL;
                printf("ready own=%p other=%p\\n", malloc(30), take ? take(3000) : NULL);
                fflush(stdout);
                char byte;
                return (int)read(0, &byte, 1);
            }"""
        program = self.compile(text, BUILD / "liblucid.a", "-ldl", "-pthread")
        subject = self.start(LIBRARY, library=None, program=program)
        found = {}
        for number in ("1", "2"):
            blocks, heap = self.blocks("--root", number, subject.pid)
            self.assertEqual(len(heap["heap"]["roots"]), 2)
            for name in ("own", "other"):
                if subject.address(name) in blocks:
                    found[name] = number
        self.assertEqual(set(found), {"own", "other"})
        self.assertNotEqual(found["own"], found["other"])
        self.refuse("heap", "--root", "3", subject.pid, says="2 lucid heaps", code=64)

    def test_deleted_files(self):
        library = self.folder / "liblucid.so"
        shutil.copy(LIBRARY, library)
        program = self.folder / "subject"
        shutil.copy(SUBJECT, program)
        subject = self.start("demo", library=library, program=program)
        library.unlink()
        program.unlink()
        self.check_demo(subject)
        layout = self.ask("layout", subject.pid)
        self.assertEqual(layout["program"]["end"]["source"], "symbol")

    def test_other_mount_namespace(self):
        if os.geteuid() != 0 or self.run_command("unshare", "-m", "true").returncode != 0:
            self.skipTest("no right to make a mount namespace")
        inner = self.folder / "inner"
        inner.mkdir()
        shell = (f"mount -t tmpfs none {inner} && cp {SUBJECT} {inner}/subject && "
                 f"cp {LIBRARY} {inner}/liblucid.so && "
                 f"LD_PRELOAD={inner}/liblucid.so exec {inner}/subject demo")
        subject = self.start(library=None, program="unshare", first=(),
                             *("-m", "sh", "-c", shell))
        self.assertFalse((inner / "subject").exists())
        self.check_demo(subject)
        layout = self.ask("layout", subject.pid)
        self.assertEqual(layout["program"]["end"]["source"], "symbol")

    # ---- containers --------------------------------------------------------------------------

    def start_in_a_container(self):
        """Three threads that keep freed blocks and sleep, as the first process of a PID namespace.
        With what the kernel calls them out here, by their numbers out here."""
        isolated = ("unshare", "-pf", "--mount-proc", "--kill-child")
        if os.geteuid() != 0 or self.run_command(*isolated, "true").returncode != 0:
            self.skipTest("no right to make a PID namespace")
        program = self.compile(KEEPERS, "-pthread")
        subject = self.start("-pf", "--mount-proc", "--kill-child", "env",
                             f"LD_PRELOAD={LIBRARY}", "LUCID_OPTIONS=helper=0", program,
                             library=None, program="unshare")
        self.assertEqual(subject.facts["pid"], "1")
        subject.pid = int(self.succeed("pgrep", "-P", subject.process.pid))
        tasks = Path(f"/proc/{subject.pid}/task")
        names = {int(task.name): (task / "comm").read_text().strip() for task in tasks.iterdir()}
        self.assertEqual(len(names), 4)
        return subject, names

    def names_of(self, answer):
        return {thread["tid"]: thread["name"] for thread in answer["threads"]}

    def test_threads_of_a_container(self):
        subject, names = self.start_in_a_container()
        for more in ((), ("--freeze",)):
            arena = self.ask("arena", *more, subject.pid)
            self.assertEqual(self.names_of(arena), names)
        self.assertFalse(any(thread["inside"] for thread in arena["threads"]))
        self.assertEqual(self.names_of(self.ask("stats", subject.pid)), names)
        text = self.lucid("arena", subject.pid).stdout
        for tid, name in names.items():
            self.assertRegex(text, rf"(?m)^ +{tid} +{name} ")
        keepers = [str(tid) for tid, name in names.items() if name.startswith("keeper")]
        for address in subject.facts["freed"].split(","):
            block = self.lucid("block", subject.pid, address).stdout
            self.assertIn(re.search(r"of thread (\d+) keeper", block).group(1), keepers)
        explained = self.ask("explain", subject.pid)
        self.assertEqual({thread["asleep"] for thread in explained["threads"]}, {True})
        self.assertLessEqual(self.names_of(explained).items(), names.items())
        self.assertIn("are those of 4 that were asleep",
                      self.lucid("explain", subject.pid).stdout)
        top = self.ask("top", "--once", subject.pid)
        self.assertEqual(self.names_of(top), names)
        self.assertEqual({thread["state"] for thread in top["threads"]}, {"S"})
        self.finish(subject)

    def test_threads_of_a_container_in_gdb(self):
        if shutil.which("gdb") is None:
            self.skipTest("gdb is not installed")
        subject, names = self.start_in_a_container()
        text = self.gdb("-p", subject.pid, "-ex", f"source {SOURCE / 'tools/gdb/lucid-gdb.py'}",
                        "-ex", "lucid arena --json")
        self.assertEqual(self.names_of(self.first_json(text)), names)

    def test_32_bit_is_refused(self):
        source = self.write("p.s", ".globl _start\n_start: mov $29,%eax\nint $0x80\njmp _start\n")
        program = self.folder / "p32"
        built = self.run_command("cc", "-m32", "-nostdlib", "-static", "-o", program, source)
        if built.returncode != 0:
            self.skipTest("the compiler makes no 32-bit programs")
        process = subprocess.Popen([program])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        time.sleep(0.1)
        if process.poll() is not None:
            self.skipTest("the kernel runs no 32-bit programs")
        for command in ("layout", "heap"):
            self.refuse(command, process.pid, says="32-bit")

    # ---- permissions -------------------------------------------------------------------------

    def as_nobody(self, *words):
        # The build tree may lie where nobody else may look: the command is handed over by number.
        command = self.folder / "lucid"
        shutil.copy(LUCID, command)
        command.chmod(0o755)
        return self.run_command(command, *words, user=NOBODY, group=NOBODY)

    def test_other_user_own_process(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        library = self.folder / "liblucid.so"
        program = self.folder / "subject"
        shutil.copy(LIBRARY, library)
        shutil.copy(SUBJECT, program)
        subject = self.start("demo", library=library, program=program, user=NOBODY, group=NOBODY)
        done = self.as_nobody("heap", "--json", subject.pid)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(subject.facts["a"], done.stdout)

    def test_foreign_process_is_refused(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        subject = self.start("demo")
        done = self.as_nobody("heap", subject.pid)
        self.assertEqual(done.returncode, 2)
        self.assertIn("sudo", done.stderr)
        self.assertIn(str(subject.pid), done.stderr)
        done = self.as_nobody("layout", subject.pid)
        self.assertEqual(done.returncode, 2)
        self.assertIn("sudo", done.stderr)

    # ---- cores -------------------------------------------------------------------------------

    def test_core_of_gcore(self):
        subject = self.start("demo")
        core = self.gcore(subject)
        heap = self.check_demo(subject, core)
        self.assertEqual(heap["target"]["mode"], "core")
        self.lucid("check", core)
        block = self.ask("block", core, subject.facts["a"])
        self.assertEqual(bytes.fromhex(block["contents"])[:10], b"A" * 10)
        layout = self.ask("layout", core)
        self.assertEqual(int(layout["break"]["now"]["address"], 16), subject.address("break"))

    def test_core_of_the_kernel(self):
        subject, dump = self.start_to_dump("demo")
        core = dump()
        self.check_demo(subject, core)
        self.lucid("check", core)

    # A heap of the program's own counts its spans where threads do, though there is none yet.
    def test_heap_without_a_thread(self):
        subject, dump = self.start_to_dump("lone")
        self.assertEqual(self.ask("stats", subject.pid)["threads"], [])
        self.lucid("check", subject.pid)
        self.lucid("check", dump())

    # The kernel leaves out of a core what was never written.
    def test_core_with_a_thread_that_only_frees(self):
        subject, dump = self.start_to_dump("giver")
        self.lucid("check", subject.pid)
        self.lucid("check", dump())

    def test_truncated_core(self):
        subject = self.start("demo")
        whole = self.gcore(subject).read_bytes()
        for part in (0, 3, 63, 100, 1000, 5000, 20000, len(whole) // 2, len(whole) - 5000):
            cut = self.folder / "cut"
            cut.write_bytes(whole[:part])
            for command in ("heap", "layout", "check"):
                done = self.run_command(LUCID, command, cut)
                self.assertIn(done.returncode, (0, 1, 2), f"{command} of {part}\n{done.stderr}")
                if done.returncode == 2:
                    self.assertIn(str(cut), done.stderr)

    def test_core_that_shrinks_while_it_is_read(self):
        """What was found by then may be printed; then comes one sentence, and no signal."""
        core = self.gcore(self.start("many", 200000, 64))
        search = subprocess.Popen([LUCID, "find", core, "0", "--width", "1", "--limit", "0"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # It waits until its places are read out of the pipe, which has room for few of them.
        search.stdout.read(1)
        os.truncate(core, 0)
        _, said = search.communicate(timeout=60)
        self.assertEqual(search.returncode, 2, said)
        self.assertRegex(said, rf"\Alucid find: core file {core} .*became shorter while it was "
                               r"read; .*\n\Z")

    def test_damaged_cores(self):
        seeds = []
        for words, library in ((("demo",), LIBRARY), (("many", 3000, 70), LIBRARY),
                               (("demo",), None)):
            subject = self.start(*words, library=library)
            seed = self.folder / f"seed{len(seeds)}"
            if library:
                self.succeed("python3", SOURCE / "tests" / "reader" / "seed_core.py", subject.pid,
                             seed, env={"LUCID": LUCID})
                self.lucid("check", seed)
            else:
                shutil.copy(self.gcore(subject), seed)
                self.assertEqual(self.ask("heap", seed)["heap"]["allocator"], "glibc")
                continue
            seeds.append(seed)
        fuzz = BUILD / "tests" / "reader" / "reader_fuzz"
        print(self.succeed(fuzz, *seeds, "-n", 300, "-s", os.getpid()))
        # What libFuzzer found (tests/reader/fuzz): patches that lead into every corner.
        corpus = sorted((SOURCE / "tests" / "reader" / "corpus").iterdir())
        self.assertGreater(len(corpus), 50)
        for seed in seeds:
            print(self.succeed(fuzz, *corpus, env={"LUCID_FUZZ_BASE": str(seed)}))

    def test_not_a_core(self):
        text = self.write("text", "hello\n" * 1000)
        self.refuse("heap", text, says=[str(text), "not a core file"])
        self.refuse("heap", SUBJECT, says=[SUBJECT, "put -- before it"])
        self.refuse("heap", self.folder, says="not a file")
        self.refuse("heap", "/nonexistent", says="/nonexistent cannot be opened")

    def test_compressed_core(self):
        """Whoever has the command that is advised gets a core with it that can be read."""
        core = self.gcore(self.start("demo"))
        begins = {"gzip": "1f8b0800", "xz": "fd377a585a00", "zstd": "28b52ffd24", "lz4":
                  "04224d1864", "bzip2": "425a6839"}
        for way, begin in begins.items():
            packed = self.folder / f"core.{way}"
            packed.write_bytes(bytes.fromhex(begin) + bytes(1000))
            if shutil.which(way) is not None:
                self.succeed("sh", "-c", f"{way} -1c {core} > {packed}")
            done = self.refuse("heap", packed, says=f"{packed} is compressed with {way}; ")
            if shutil.which(way) is not None:
                advised = re.search(r"`(.*) FILE > core`", done.stderr)[1]
                self.succeed("sh", "-c", f"{advised} {packed} > {self.folder}/unpacked")
                self.lucid("check", self.folder / "unpacked")

    # ---- bad input ---------------------------------------------------------------------------

    def test_process_that_is_not_there(self):
        self.refuse("heap", "4194304", says=["no process 4194304", "ps -e"])
        self.refuse("layout", "99999999999", says="no process 99999999999")

    def test_process_without_lucid(self):
        subject = self.start("demo", library=None)
        for command in ("bins", "map", "check"):
            self.refuse(command, subject.pid, says=["does not run on lucid", "lucid run"])

    def test_wrong_usage(self):
        for words in (("heap",), ("heap", "1", "2"), ("heap", "--nonsense", "1"),
                      ("block", "1"), ("heap", "--state", "blue", "1"),
                      ("heap", "--break", "f", "1"), ("heap", "--"), ("tour", "--nonsense")):
            self.assertEqual(self.run_command(LUCID, *words).returncode, 64, words)
        for command in ("heap", "block", "arena", "bins", "map", "check", "find", "layout", "tour"):
            text = self.lucid(command, "--help").stdout
            self.assertIn("example: lucid " + command, text)

    # ---- programs that the command starts ------------------------------------------------------

    def test_launched_program_at_its_end(self):
        done = self.lucid("heap", "--json", "--", "sh", "-c", "echo hello; exit 3")
        heap = json.loads(done.stdout)
        self.assertEqual(heap["target"]["mode"], "stopped")
        self.assertTrue(heap["blocks"])
        self.assertIn("hello", done.stderr)
        self.assertIn("exit code 3", done.stderr)

    def test_launched_program_at_a_function(self):
        program = self.compile("""
            #include <stdlib.h>
            #include <string.h>
            void *kept;
            __attribute__((noinline)) void here(void) { __asm__ volatile(""); }
            int main(void) {
                kept = malloc(1000);
                strcpy(kept, "look here");
                here();
                free(kept);
                return 0;
            }""")
        found = self.ask("find", "--string", "look here", "--break", "here", "--", program)
        self.assertEqual([at["state"] for at in found["found"]], ["used"])
        self.refuse("heap", "--break", "nowhere", "--", program, says="no function nowhere")

    def test_launched_program_that_crashes(self):
        program = self.compile("""
            #include <stdlib.h>
            int main(void) { char *p = malloc(77); p[0] = 1; abort(); }""")
        done = self.lucid("heap", "--json", "--", program)
        sizes = [b["size"] for b in json.loads(done.stdout)["blocks"] if b["state"] == "used"]
        self.assertIn(80, sizes)
        self.assertIn("signal 6", done.stderr)

    # ---- while it works ------------------------------------------------------------------------

    def has_ended(self, subject):
        """Or is about to: its threads are gone, and it only counts its faults."""
        try:
            return subject.process.wait(1) is not None
        except subprocess.TimeoutExpired:
            return False

    def test_reading_changes_nothing(self):
        """1,000 looks while four threads allocate: no false fault, and the target's results are
        right. It works until it is told to stop, so that every look is at a heap in motion."""
        subject = self.start("busy", 4, 0)
        moved = []

        def look():
            for _ in range(250):
                done = self.run_command(LUCID, "check", subject.pid)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                moved.append("changed while they were read" in done.stdout)

        self.in_parallel(look, 4)
        print(f"{len(moved)} looks, {sum(moved)} of them with runs that moved")
        self.assertEqual(len(moved), 1000)
        subject.process.stdin.close()
        self.assertIn("faults=0", subject.process.stdout.read())
        self.assertEqual(subject.process.wait(), 0)

    def test_frozen_anywhere_in_the_allocator(self):
        subject = self.start("busy", 3, 4000)
        for _ in range(100):
            if subject.process.poll() is not None:
                break
            done = self.run_command(LUCID, "check", "--freeze", subject.pid)
            if done.returncode != 0 and self.has_ended(subject):
                break
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("changed while they were read", done.stdout)
        self.assertIn("faults=0", subject.process.stdout.read())

    # The kernel refuses to trace a thread that is dead and still listed,
    # as if a right were missing.
    def test_frozen_while_threads_end(self):
        subject = self.start("ends")
        for _ in range(300):
            self.lucid("check", "--freeze", subject.pid)

    def test_stopped_target(self):
        subject = self.start("busy", 3, 3000)
        for _ in range(20):
            os.kill(subject.pid, signal.SIGSTOP)
            self.lucid("check", subject.pid)
            os.kill(subject.pid, signal.SIGCONT)
            time.sleep(0.01)

    # ---- damage --------------------------------------------------------------------------------

    def damaged(self, what, rule, *, word=None):
        subject = self.start("damage", what)
        answer = self.ask("check", subject.pid, code=1)
        self.assertIn(rule, [finding["rule"] for finding in answer["findings"]])
        if word:
            self.assertIn(subject.facts[word], answer["findings"][0]["text"])

    def test_damage_is_named(self):
        self.damaged("bit", "span-count")
        self.damaged("count", "span-count")
        self.damaged("twice", "cached-twice", word="block")
        self.damaged("interior", "cached-interior")
        self.damaged("unit", "unit-entry")
        self.damaged("tiling", "tiling")
        self.damaged("list", "list-member")
        self.damaged("owner", "own-heap")

    def test_a_span_in_the_making_is_no_damage(self):
        subject = self.start("damage", "nothing")
        self.assertEqual(self.ask("check", subject.pid, code=0)["findings"], [])

    def test_damaged_root_is_named(self):
        self.refuse("check", self.start("damage", "top").pid, says=["is damaged", "top is"])
        self.refuse("check", self.start("damage", "heaps").pid,
                    says=["is damaged", "a thread's heap"])

    # ---- the layout ----------------------------------------------------------------------------

    def test_layout_is_pinned(self):
        """Readers of other versions rely on it: what changes needs a new LUCID_LAYOUT_VERSION.
        Before the first release, LUCID_UPDATE=1 with this test writes the file anew."""
        golden = SOURCE / "tests" / "reader" / "layout.txt"
        fields = [line.split()[0] for line in golden.read_text().splitlines() if "." in line]
        source = self.write("fields.c", """
            #include "layout.h"
            #include <stdio.h>
            #define FIELD(s, f) printf("%s.%s %zu %zu\\n", #s, #f, offsetof(struct s, f), \\
                                       sizeof(((struct s *)0)->f))
            int main(void) {
                printf("version %u\\n", LUCID_LAYOUT_VERSION);
                printf("classes %u\\n", CLASS_COUNT);
            """.replace("\\\\", "\\") + "".join(
                "FIELD({}, {});\n".format(*field.split(".")) for field in fields) + "return 0; }")
        self.succeed("cc", "-D_GNU_SOURCE", "-DLUCID_CHECKED=0", "-DLUCID_STRESS=0", "-I",
                     SOURCE / "src", "-o", self.folder / "fields", source)
        now = self.succeed(self.folder / "fields")
        if os.environ.get("LUCID_UPDATE"):
            golden.write_text(now)
        self.assertEqual(golden.read_text(), now,
                         "the layout changed: raise LUCID_LAYOUT_VERSION in src/layout.h")

    # ---- gdb -----------------------------------------------------------------------------------

    def gdb(self, *words, env=None):
        plain = {"LUCID": LUCID, "DEBUGINFOD_URLS": ""}
        plain.update(env or {})
        return self.succeed("gdb", "-q", "-batch", "-nx", *words, env=plain)

    def first_json(self, text):
        return json.JSONDecoder().raw_decode(text[text.index('{"schema"'):])[0]

    def test_gdb_plugin(self):
        if shutil.which("gdb") is None:
            self.skipTest("gdb is not installed")
        subject = self.start("demo")
        outside = self.ask("heap", subject.pid)["blocks"]
        plugin = SOURCE / "tools" / "gdb" / "lucid-gdb.py"
        text = self.gdb("-p", subject.pid, "-ex", f"source {plugin}", "-ex", "lucid heap --json")
        inside = self.first_json(text)
        self.assertEqual(inside["target"]["mode"], "gdb")
        self.assertEqual(inside["blocks"], outside)
        text = self.gdb("-p", subject.pid, "-ex", f"source {plugin}",
                        "-ex", f"lucid block (char*){subject.facts['b']}+3 -C 2",
                        "-ex", "lucid check", "-ex", "lucid layout")
        self.assertIn("0x42424242\t0x42424242", text)
        self.assertIn("every rule holds", text)
        self.assertIn("Allocated with brk", text)
        self.finish(subject)

    def test_gdb_plugin_on_a_core(self):
        if shutil.which("gdb") is None:
            self.skipTest("gdb is not installed")
        subject = self.start("demo")
        core = self.gcore(subject)
        text = self.gdb(SUBJECT, core, "-ex", f"source {SOURCE / 'tools/gdb/lucid-gdb.py'}",
                        "-ex", "lucid heap --json")
        heap = self.first_json(text)
        self.assertIn(subject.facts["a"], [block["address"] for block in heap["blocks"]])

    # ---- the tour ------------------------------------------------------------------------------

    def tour_steps(self, *words):
        """Each step as it happens: the process stands still until the next one is asked for."""
        process = subprocess.Popen([LUCID, "tour", "--json", "--wait", *words], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        text = ""
        while True:
            line = process.stdout.readline()
            if not line:
                break
            text += line
            start = text.find('{"step"')
            try:
                step = json.loads(text[start:].strip().rstrip(","))
            except ValueError:
                continue
            text = ""
            yield step
            process.stdin.write("\n")
            process.stdin.flush()

    def choose_break_in_gdb(self):
        """Where a processor has more registers than this gdb can write back, the call of a function
        fails and harms the process; there gdb prints the C library's variable behind sbrk(0)."""
        self.break_in_gdb = ["-ex", "p (char*)sbrk(0)"]
        with subprocess.Popen(["sleep", "100"], stderr=subprocess.DEVNULL) as process:
            done = self.run_command("gdb", "-q", "-batch", "-nx", "-p", process.pid,
                                    *self.break_in_gdb, env={"DEBUGINFOD_URLS": ""})
            process.kill()
        if "Couldn't write extended state status" in done.stderr:
            self.break_in_gdb = ["-iex", "set auto-solib-add off", "-ex", "sharedlibrary libc.so",
                                 "-ex", "p *(char**)&__curbrk"]

    def check_against_gdb(self, seen):
        words = ["-p", seen["pid"], "-ex", "info proc mappings", *self.break_in_gdb]
        if "words_at" in seen:
            words += ["-ex", f"x/12wx {seen['words_at']}"]
        text = self.gdb(*words)
        now = re.search(r"\$1 = (0x[0-9a-f]+)", text).group(1)
        if now == "0x0":  # the C library's variable: nobody has called sbrk yet
            now = hex(int(Path(f"/proc/{seen['pid']}/stat").read_text().split()[46]))
        self.assertEqual(seen["break_now"], now)
        if "words_at" in seen:
            shown = re.findall(r"^0x[0-9a-f]+[^:]*:((?:\t0x[0-9a-f]{8}){4})$", text, re.M)
            self.assertEqual(sum((row.split() for row in shown), []), seen["words"])
        if seen["allocated"]:
            heap = re.search(r"(0x[0-9a-f]+)\s+(0x[0-9a-f]+).*\[heap\]", text)
            self.assertEqual((seen["break_start"], seen["break_now"]), heap.groups())
        if "region_start" in seen:
            self.assertRegex(text, rf"{seen['region_start']}\s+{seen['region_end']}")

    def test_tour_agrees_with_gdb(self):
        if shutil.which("gdb") is None:
            self.skipTest("gdb is not installed")
        names = []
        self.choose_break_in_gdb()
        for step in self.tour_steps("--libc"):
            names.append(step["step"])
            self.assertEqual([seen["allocator"] for seen in step["seen"]], ["lucid", "glibc"])
            for seen in step["seen"]:
                self.check_against_gdb(seen)
        self.assertEqual(names, ["start", "malloc-10", "fill-10", "malloc-15", "free-10",
                                 "malloc-large"])

    def test_tour_tells_the_story(self):
        steps = {step["step"]: step["seen"] for step in
                 json.loads(self.lucid("tour", "--json", "--libc").stdout)["steps"]}
        glibc = steps["fill-10"][1]
        self.assertEqual(glibc["words"][:5], ["0x00000021", "0x00000000", "0x41414141",
                                              "0x41414141", "0x00004141"])
        self.assertEqual(glibc["blocks"][0]["state"], "tcache")
        self.assertEqual(glibc["blocks"][0]["size"], 0x290)
        lucid = steps["fill-10"][0]
        # The first block can be the first of all memory behind the break's start.
        at = (int(lucid["pointer"], 16) - int(lucid["words_at"], 16)) // 4
        self.assertIn(at, (0, 2))
        self.assertEqual(lucid["words"][at:at + 3], ["0x41414141", "0x41414141", "0x00004141"])
        for seen in steps["free-10"]:
            here = [row for row in seen["blocks"] if row["state"] == "cached"]
            self.assertTrue(here)
            self.assertEqual(seen["bin"]["blocks"][0], seen["pointer"])
        sizes = [step[1]["top"]["size_word"] for step in (steps["fill-10"], steps["malloc-15"])]
        self.assertEqual(int(sizes[0], 16) - int(sizes[1], 16), 0x20)
        self.assertIn(f"from {sizes[0]} to {sizes[1]}", steps["malloc-15"][1]["sentence"])
        self.assertIn("IS_MMAPPED", steps["malloc-large"][1]["sentence"])
        for before, after in zip(steps["free-10"], steps["malloc-large"]):
            self.assertEqual(before["break_now"], after["break_now"])

    def test_tour_of_a_program(self):
        program = self.compile("""
            #include <stdlib.h>
            #include <string.h>
            int main(void) {
                char *a = malloc(10);
                memset(a, 'A', 9);
                char *volatile b = malloc(15);
                free(b);
                char *volatile c = malloc(50 << 20);
                free(c);
                free(a);
                return 0;
            }""")
        for option in ([], ["--libc"]):
            steps = json.loads(self.lucid("tour", "--json", *option, program).stdout)["steps"]
            self.assertEqual([step["step"] for step in steps],
                             ["start", "malloc", "malloc", "free", "malloc-large", "end"])
            self.assertIn("malloc(10)", steps[1]["title"])


if __name__ == "__main__":
    main(Reader)
