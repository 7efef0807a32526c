"""Targets whose memory or threads are told about in another way than usual: what is said of them
must be true, and agree with what the program knows about itself."""

from pathlib import Path

from onetest import BUILD, SOURCE, main
from target import ReaderCase


class Truth(ReaderCase):
    def test_thread_number_stands_for_its_process(self):
        """ps -L, top and perf show threads by numbers of their own."""
        subject = self.start("busy", 2, 0)
        thread = max(int(task.name) for task in Path(f"/proc/{subject.pid}/task").iterdir()
                     if (task / "comm").read_text() == "reader_subject\n")
        self.assertNotEqual(thread, subject.pid)
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
