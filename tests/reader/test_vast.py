"""Reading programs that hold far more address space than memory."""

import re
import resource
import shutil
from pathlib import Path

from onetest import BUILD, LUCID, SOURCE, main
from target import ReaderCase

OBSTACLE = BUILD / "tests" / "reader" / "libreader_obstacle.so"
BLOCKS = 64
LITTLE = 128 << 20  # address space
NEEDLE = "needle in a haystack"

# Blocks of 2 GiB, which the kernel lets pass although their sum is more than the machine has. Of
# each only two pages are written, and the text lies across the line between them.
VAST = f"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {{
    static char *blocks[{BLOCKS}];
    for (unsigned i = 0; i < {BLOCKS}; i++) {{
        if ((blocks[i] = malloc((size_t)1 << 31)) == NULL) {{
            puts("ready refused=1");
            return 0;
        }}
        unsigned long line = ((unsigned long)blocks[i] + ((size_t)(i + 7) << 23)) & -4096ul;
        strcpy((char *)line - 10, "{NEEDLE}");
        if (argc > 1) {{
            madvise((void *)(line - 4096), 8192, MADV_PAGEOUT);
        }}
    }}
    puts("ready");
    fflush(stdout);
    return (int)read(0, blocks, 1);
}}"""

# A block that was never written, and the kernel keeps two mappings of it apart.
CUT = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    char *block = malloc((size_t)8 << 20);
    unsigned long line = ((unsigned long)block + (3 << 20)) & -4096ul;
    if (madvise((void *)line, 4096, MADV_DONTFORK) != 0) {
        return 1;
    }
    printf("ready block=%p\\n", (void *)block);
    fflush(stdout);
    return (int)read(0, &line, 1);
}"""

# Two blocks with mappings of their own. Of one the program takes all rights away, and with a word
# it unmaps the middle of the other.
LOCKED = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {
    size_t size = (size_t)64 << 20;
    char *locked = malloc(size);
    char *gone = malloc(size);
    memset(locked, 1, 4096);
    if (mprotect((void *)((unsigned long)locked & -4096ul), size, PROT_NONE) != 0 ||
        (argc > 1 && munmap((void *)((unsigned long)gone + (size / 2) & -4096ul), 4096) != 0)) {
        return 1;
    }
    printf("ready locked=%p gone=%p\\n", (void *)locked, (void *)gone);
    fflush(stdout);
    return (int)read(0, &size, 1);
}"""

# A block of 8 MiB with a value in front of a page that was unmapped, and twice behind it.
HOLE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned long block = (unsigned long)malloc((size_t)8 << 20);
    void *hole = (void *)((block + (1 << 20)) & -page);
    memset((void *)block, 1, (size_t)8 << 20);
    for (unsigned i = 0; i < 3; i++) {
        *(unsigned long *)(block + ((size_t)i * 3 << 20)) = 0x1122334455667788;
    }
    if (munmap(hole, page) != 0) {
        return 1;
    }
    printf("ready block=%p\\n", (void *)block);
    fflush(stdout);
    return (int)read(0, &page, 1);
}"""

# The registry of the threads' heaps is a loop, or that of the program's own heaps with a word.
LOOP = """
#include <dlfcn.h>
#include <lucid.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "layout.h"
int main(int argc, char **argv) {
    struct lucid_root *root = dlsym(RTLD_DEFAULT, "lucid_root");
    lucid_heap *(*new)(const char *) = dlsym(RTLD_DEFAULT, "lucid_heap_new");
    if (malloc(1) == NULL || new("mine") == NULL) {
        return 1;
    }
    if (argc > 1) {
        root->live.regions.count = 5000000;
        root->live.regions.first->next = root->live.regions.first;
    } else {
        root->live.heap_count = 500000;
        root->live.heaps->next = root->live.heaps;
    }
    puts("ready");
    fflush(stdout);
    (void)read(0, argv, 1);
    _exit(0);
}"""


class Vast(ReaderCase):
    def vast(self, *words):
        subject = self.start(*words, program=self.compile(VAST, "-D_GNU_SOURCE", "-w"))
        if "refused" in subject.facts:
            self.skipTest("the kernel does not promise more memory than there is here")
        return subject

    def field(self, subject, name):
        """KiB of a line of the status of the process."""
        status = Path(f"/proc/{subject.pid}/status").read_text(encoding="utf-8")
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M).group(1))

    def calls(self, *command):
        """The system calls that the command makes."""
        if shutil.which("strace") is None:
            self.skipTest("strace is not installed")
        log = self.folder / "log"
        self.succeed("strace", "-o", log, LUCID, *command)
        return len(log.read_text(encoding="utf-8").splitlines())

    def check_found(self, subject, **more):
        """The text is found in each block, and no page of the process is there that was not."""
        before = [self.field(subject, name) for name in ("VmPTE", "VmRSS", "VmSwap")]
        found = self.ask("find", "--string", NEEDLE, subject.pid, **more)["found"]
        self.assertEqual(len({place["address"] for place in found}), BLOCKS)
        self.assertEqual(len(found), BLOCKS)
        after = [self.field(subject, name) for name in ("VmPTE", "VmRSS", "VmSwap")]
        self.assertEqual(before, after)

    def test_find_leaves_untouched_pages_alone(self):
        """128 GiB in pieces of 4 MiB were 131,000 calls, and 2,100 are these now. Pieces that reach
        over a line between two mappings were read with all their untouched pages."""
        subject = self.vast()
        self.check_found(subject)
        calls = self.calls("find", "--string", NEEDLE, subject.pid)
        self.assertLess(calls, 5000)

    def test_find_of_zeros(self):
        """What was never written is zeros, and is found without being touched, also where a piece
        reaches over a line between two mappings."""
        subject = self.start(program=self.compile(CUT, "-D_GNU_SOURCE", "-w"))
        before = self.field(subject, "VmPTE")
        answer = self.ask("find", "--limit", "1", subject.pid, "0")
        self.assertGreaterEqual(answer["count"], (8 << 20) // 8)
        self.assertEqual(self.field(subject, "VmPTE"), before)

    def test_find_on_a_kernel_that_does_not_scan(self):
        env = {"LD_PRELOAD": str(OBSTACLE), "OBSTACLE_SCAN": "1"}
        self.check_found(self.vast(), env=env)

    def test_find_of_pages_in_swap(self):
        subject = self.vast("out")
        if self.field(subject, "VmSwap") < BLOCKS * 8:
            self.skipTest("nothing was swapped out: there is no swap here, or no room in it")
        found = self.ask("find", "--string", NEEDLE, subject.pid)["found"]
        self.assertEqual(len(found), BLOCKS)

    def test_find_around_a_hole(self):
        """A piece of a block that is not there hides nothing that is beside it."""
        program = self.compile(HOLE, "-D_GNU_SOURCE", "-w")
        subject = self.start(program=program)
        found = self.ask("find", subject.pid, hex(0x1122334455667788))["found"]
        self.assertEqual([place["offset"] for place in found], [0, 3 << 20, 6 << 20])

    def test_check_of_a_block_without_rights(self):
        """It is there. One of which a part was unmapped is not."""
        program = self.compile(LOCKED, "-D_GNU_SOURCE", "-w")
        subject = self.start(program=program)
        answer = self.ask("check", subject.pid)
        self.assertEqual(answer["findings"], [])
        subject = self.start("unmap", program=program)
        findings = self.ask("check", subject.pid, code=1)["findings"]
        self.assertEqual([(finding["rule"], int(finding["address"], 16)) for finding in findings],
                         [("mapping-gone", subject.address("gone"))])

    def test_endless_registries(self):
        """Followed to its forged length, such a chain took a gigabyte and a quarter of a minute."""
        program = self.compile(LOOP, "-D_GNU_SOURCE", "-w", f"-I{SOURCE}/src",
                               f"-I{SOURCE}/include")
        for words, name in (((), "heaps"), (("own",), "regions")):
            subject = self.start(*words, program=program)
            self.refuse("arena", subject.pid, says=f"registry of {name}",
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LITTLE, LITTLE)))

    def test_stats_of_untouched_blocks(self):
        """A look at each page of 128 GiB was 6,500 calls, and 2,400 are these now. A kernel that
        does not scan needs more, and both ways lead to the same numbers."""
        subject = self.vast()
        stats = self.ask("stats", subject.pid)
        self.assertTrue(stats["closes"])
        self.assertGreaterEqual(stats["resident"]["live"], BLOCKS * 8192)
        self.assertEqual(stats["resident"]["live"] + stats["untouched"],
                         (BLOCKS << 31) + stats["blocks"]["small_bytes"])
        env = {"LD_PRELOAD": str(OBSTACLE), "OBSTACLE_SCAN": "1"}
        linear = self.ask("stats", subject.pid, env=env)
        for name in ("resident", "sum", "untouched", "swapped", "huge"):
            self.assertEqual(linear[name], stats[name], name)
        self.assertLess(self.calls("stats", subject.pid), 4000)


if __name__ == "__main__":
    main(Vast)
