"""Targets whose memory or threads are told about in another way than usual: what is said of them
must be true, and agree with what the program knows about itself."""

from pathlib import Path

from onetest import BUILD, SOURCE, main
from target import ReaderCase

# Every second block that a bin is refilled for is a sample, until all slots are in use.
GUARDED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    char *block[200], *freed = NULL;
    setvbuf(stdout, NULL, _IONBF, 0); // a buffer would get the slot of what is freed
    for (int i = 0; i < 200; i++) {
        block[i] = malloc(1000 + i);
        memset(block[i], 'G', 1000 + i);
        strcpy(block[i], "needle in a sample");
    }
    for (int i = 0; i < 200 && freed == NULL; i++) {
        if (block[i] > (char *)sbrk(0)) {
            free(freed = block[i]);
            block[i] = block[199];
        }
    }
    printf("ready pid=%d freed=%p blocks=", (int)getpid(), (void *)freed);
    for (int i = 0; i < 199; i++) printf("%p%s", (void *)block[i], i < 198 ? "," : "\n");
    fflush(stdout);
    char byte;
    return (int)read(0, &byte, 1);
}
"""


class Truth(ReaderCase):
    def test_thread_number_stands_for_its_process(self):
        """ps -L, top and perf show threads by numbers of their own."""
        subject = self.start("giver", env={"LUCID_OPTIONS": "helper=0"})
        tasks = [int(task.name) for task in Path(f"/proc/{subject.pid}/task").iterdir()]
        (thread,) = set(tasks) - {subject.pid}
        arena = self.ask("arena", thread)
        self.assertEqual(arena["target"]["pid"], subject.pid)
        numbers = [heap["tid"] for heap in arena["threads"] if heap["state"] == "live"]
        self.assertEqual(len(numbers), len(set(numbers)), "two threads with one number")
        self.assertIn(subject.pid, numbers)
        self.assertIn(f"({subject.pid})", self.lucid("verify", thread).stdout)

    # ---- hardened mode -------------------------------------------------------------------------

    def check_quarantined(self, subject, target):
        blocks, heap = self.blocks(target)
        freed = blocks[subject.address("freed")]
        self.assertEqual(freed["state"], "cached")
        self.assertNotIn("thread", freed)
        for name in ("a", "b", "pointer"):
            self.assertEqual(blocks[subject.address(name)]["state"], "used", name)
        self.assertGreaterEqual(heap["summary"]["cached"]["bytes"], 3000)

    def test_freed_blocks_in_quarantine_are_not_used(self):
        subject, dump = self.start_to_dump("demo", env={"LUCID_OPTIONS": "harden=1"})
        self.check_quarantined(subject, subject.pid)
        answer = self.ask("block", subject.pid, subject.facts["freed"])
        self.assertEqual(answer["block"]["state"], "cached")
        arena = self.ask("arena", subject.pid)["arena"]
        self.assertGreaterEqual(arena["cached_bytes"], 3000)
        self.assertIn("in the quarantine", self.lucid("arena", subject.pid).stdout)
        self.lucid("check", subject.pid)
        self.check_quarantined(subject, dump())

    def test_quarantine_does_not_extend_to_own_heaps(self):
        subject = self.start("heaps", env={"LUCID_OPTIONS": "harden=1"})
        blocks, _ = self.blocks(subject.pid)
        self.assertEqual(blocks[subject.address("block")]["state"], "used")
        heaps = {heap["name"]: heap for heap in self.ask("arena", subject.pid)["own_heaps"]}
        self.assertEqual(heaps["parser"]["blocks"], 1002)

    def test_ring_of_the_quarantine_is_metadata(self):
        """Eight bytes for each block in it: half a megabyte here."""
        program = self.compile("""
            #include <stdio.h>
            #include <stdlib.h>
            int main(void) {
                void **block = malloc(65536 * sizeof(*block));
                for (int i = 0; i < 65536; i++) block[i] = malloc(20);
                for (int i = 0; i < 65536; i++) free(block[i]);
                puts("ready");
                fflush(stdout);
                return getchar() == 'x';
            }""")
        subject = self.start(program=program, env={"LUCID_OPTIONS": "harden=1,quarantine=4M"})
        stats = self.ask("stats", subject.pid)
        self.assertGreaterEqual(stats["quarantined"], 65536 * 32)
        self.assertGreaterEqual(stats["resident"]["metadata"], 65536 * 8)
        self.assertLess(stats["resident"]["other"], 65536 * 4)
        self.assertTrue(stats["closes"])

    # ---- guard pages ---------------------------------------------------------------------------

    def guarded(self):
        subject = self.start(program=self.compile(GUARDED), env={"LUCID_OPTIONS": "guard=1/1"})
        blocks, heap = self.blocks(subject.pid)
        samples = {address: block for address, block in blocks.items()
                   if block.get("kind") == "guarded"}
        self.assertGreater(len(samples), 20)
        return subject, blocks, samples, heap

    def test_sampled_blocks_are_blocks(self):
        subject, blocks, samples, heap = self.guarded()
        for i, text in enumerate(subject.facts["blocks"].split(",")):
            block = blocks[int(text, 16)]
            self.assertEqual(block["state"], "used")
            if block.get("kind") == "guarded" and block["size"] != 1199:
                self.assertEqual((block["size"], block["asked"]), (1000 + i, 1000 + i))
        used = [block for block in blocks.values() if block["state"] == "used"]
        self.assertEqual(heap["summary"]["used"]["blocks"], len(used))
        self.assertGreaterEqual(self.ask("find", "--string", "needle in a sample",
                                         subject.pid)["count"], 199)
        address, sample = max(samples.items())
        answer = self.ask("block", subject.pid, hex(address + sample["size"] - 1))
        self.assertEqual(int(answer["block"]["address"], 16), address)
        self.assertEqual(answer["block"]["kind"], "guarded")
        self.refuse("block", subject.pid, subject.facts["freed"], code=1,
                    says="lucid's guard pages, where no block in use has it")

    def test_sampled_blocks_are_counted(self):
        subject, _, samples, _ = self.guarded()
        bytes_asked = sum(block["asked"] for block in samples.values())
        self.assertEqual(self.ask("arena", subject.pid)["arena"]["guarded_bytes"], bytes_asked)
        stats = self.ask("stats", subject.pid)
        self.assertEqual(stats["blocks"]["guarded"], len(samples))
        self.assertEqual(stats["blocks"]["guarded_asked"], bytes_asked)
        self.assertEqual(stats["blocks"]["mappings"], 0)
        self.assertGreaterEqual(stats["resident"]["live"], 200 * 1000)
        self.assertLess(stats["resident"]["other"], len(samples) * 4096)
        self.assertTrue(stats["closes"])
        self.lucid("check", subject.pid)

    # ---- cores without the heap ----------------------------------------------------------------

    def check_left_out(self, **more):
        subject, dump = self.start_to_dump("demo", **more)
        Path(f"/proc/{subject.pid}/coredump_filter").write_text("0x10", encoding="ascii")
        core = dump()
        for command in ("heap", "bins"):
            self.refuse(command, core, says=("left out the memory that lucid's heap is in",
                                             "coredump_filter"))

    def test_core_without_the_heap(self):
        self.check_left_out()

    def test_core_of_a_static_program_without_the_heap(self):
        """The root lies on a page that the core left out and the file has as it was before."""
        program = self.compile((SOURCE / "tests" / "reader" / "subject.c").read_text(),
                               BUILD / "liblucid.a", "-static", f"-I{SOURCE / 'src'}", "-pthread",
                               "-w")
        self.check_left_out(program=program, library=None)


if __name__ == "__main__":
    main(Truth)
