"""The texts that the allocator writes about itself, read by parsers that know nothing of it."""

import json
import os
import re
import signal
import xml.etree.ElementTree

from onetest import BUILD, LIBRARY, SOURCE, Case, main, openmetrics_families

SHADOW = BUILD / "tests" / "stats" / "stats_shadow"


class Stats(Case):
    def shadow(self):
        """What a program with several threads counts, and its folder of texts."""
        return json.loads(self.succeed(SHADOW, "dump", self.folder))

    def near(self, said, shadow, what):
        self.assertLessEqual(abs(int(said) - shadow), shadow * 0.01, f"{what}: {said}, {shadow}")

    def text(self, name):
        return (self.folder / name).read_text(encoding="utf-8")

    def test_malloc_info_is_xml(self):
        shadow = self.shadow()
        root = xml.etree.ElementTree.fromstring(self.text("info.xml"))
        self.assertEqual((root.tag, root.get("version")), ("malloc", "1"))
        heaps = root.findall("heap")
        self.assertEqual([heap.get("nr") for heap in heaps], ["0"])
        for place in (root, heaps[0]):
            sizes = {(e.tag, e.get("type")): int(e.get("size")) for e in place
                     if e.get("size") is not None}
            kinds = [("total", "fast"), ("total", "rest"), ("system", "current"),
                     ("system", "max"), ("aspace", "total"), ("aspace", "mprotect")]
            self.assertLessEqual(set(kinds), set(sizes))
            used = (sizes["system", "current"] - sizes["total", "fast"] - sizes["total", "rest"])
            self.near(used, shadow["small_usable"] + shadow["large_usable"], "in use")
            self.near(sizes["total", "fast"], shadow["fsmblks"], "cached")
            self.near(sizes["system", "current"], shadow["arena"], "arena")
        mapped = root.find("total[@type='mmap']")
        self.assertEqual(int(mapped.get("count")), shadow["mapping_blocks"])
        self.near(mapped.get("size"), shadow["mapping_asked"], "mapped")
        before = 0
        for size in heaps[0].find("sizes"):
            low, high, total, blocks = (int(size.get(k)) for k in ("from", "to", "total", "count"))
            self.assertTrue(before < low <= high and total == high * blocks > 0)
            before = high

    def test_malloc_stats_is_as_of_the_c_library(self):
        shadow = self.shadow()
        text = self.text("stats.txt")
        self.assertTrue(text.startswith("Arena 0:\nsystem bytes     = "), text)
        arena, total = text.split("Of lucid:")[0].split("Total (incl. mmap):\n")
        numbers = [{k.strip(): int(v) for k, v in re.findall(r"(?m)^([a-z ]+?) *= +(\d+)$", part)}
                   for part in (arena, total)]
        self.near(numbers[0]["system bytes"], shadow["arena"], "arena")
        used = shadow["small_usable"] + shadow["large_usable"]
        self.near(numbers[0]["in use bytes"], used, "in use")
        self.near(numbers[1]["in use bytes"], used + shadow["mapping_asked"], "in use in all")
        self.assertGreaterEqual(numbers[1]["max mmap regions"], shadow["mapping_blocks"])
        self.assertGreaterEqual(numbers[1]["max mmap bytes"], shadow["mapping_asked"])
        for line in text.splitlines():
            self.assertRegex(line, r"^(Arena 0:|Total \(incl\. mmap\):|Of lucid:|"
                                   r"[a-z ]{17}= {1,10}\d+)$")

    def test_json(self):
        shadow = self.shadow()
        text = self.text("stats.json")
        self.assertEqual(text.count("\n"), 1)
        said = json.loads(text)
        self.assertEqual(said["schema"], "lucid.stats/1")
        self.assertEqual(said["name"], "stats_shadow")
        for name in ("small_blocks", "large_blocks", "mapping_blocks"):
            self.assertEqual(said[name], shadow[name], name)
        self.assertEqual(said["small_bytes"], shadow["small_usable"])
        self.assertEqual(said["large_bytes"], shadow["large_asked"])
        self.assertEqual(sum(c["used"] for c in said["classes"]), shadow["small_blocks"])
        self.assertEqual(sum(c["used"] * c["size"] for c in said["classes"]),
                         shadow["small_usable"])
        self.assertEqual(sum(c["cached"] * c["size"] for c in said["classes"]),
                         said["cached_bytes"])
        self.assertEqual(sum(c["spans"] for c in said["classes"]), said["spans"])
        self.assertGreater(said["resident_bytes"], said["live_bytes"] / 4)
        self.assertGreaterEqual(said["peak_resident_bytes"], said["resident_bytes"])
        header = (SOURCE / "include" / "lucid.h").read_text(encoding="utf-8")
        struct = re.search(r"struct lucid_stats \{(.*?)\n\};", header, re.DOTALL)[1]
        members = re.findall(r"uint64_t (\w+);", struct)
        self.assertEqual([name for name in said if name in members], members)

    def test_openmetrics(self):
        shadow = self.shadow()
        samples = {}
        for family in openmetrics_families(self, self.text("metrics.txt")):
            self.assertTrue(family.documentation.endswith("."), family)
            for sample in family.samples:
                samples[sample.name, *sorted(sample.labels.items())] = sample.value
        self.assertEqual(samples["lucid_live_blocks", ("kind", "small")], shadow["small_blocks"])
        self.assertEqual(samples["lucid_live_bytes", ("kind", "small")], shadow["small_usable"])
        self.assertEqual(samples["lucid_live_bytes", ("kind", "large")], shadow["large_asked"])
        self.assertEqual(samples["lucid_live_bytes", ("kind", "mapping")], shadow["mapping_asked"])
        parts = sum(value for key, value in samples.items()
                    if key[0] in ("lucid_live_bytes", "lucid_idle_bytes"))
        self.assertEqual(parts, samples["lucid_arena_bytes",] + samples["lucid_mapped_bytes",])
        used = sum(value * int(dict(key[1:])["size"]) for key, value in samples.items()
                   if key[0] == "lucid_class_blocks" and ("state", "used") in key)
        self.assertEqual(used, shadow["small_usable"])
        self.assertIn(("lucid_returned_bytes_total",), samples)

    def test_sampled_blocks_are_counted_everywhere(self):
        source = """#include <lucid.h>
            #include <malloc.h>
            int main(void) {
                for (int i = 0; i < 2000; i++) {
                    if (lucid_malloc(100) == NULL) { return 1; }
                }
                struct lucid_stats stats = {.size = sizeof(stats)};
                struct mallinfo2 info = lucid_mallinfo2();
                lucid_malloc_stats();
                return lucid_stats_get(&stats) != 0 || stats.guarded_blocks == 0 ||
                       info.hblks != stats.guarded_blocks || info.hblkhd != stats.mapped_bytes ||
                       printf("%zu %zu %zu\\n", info.hblks, info.hblkhd, info.arena) < 0 ||
                       lucid_malloc_info(0, stdout) != 0;
            }"""
        program = self.compile(source, "-I", SOURCE / "include", f"-Wl,-rpath,{BUILD}", LIBRARY)
        done = self.run_command(program, env={"LUCID_OPTIONS": "guard=1/5,summary=1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        first, info = done.stdout.split("\n", 1)
        blocks, mapped, arena = first.split()
        self.assertIn(f'<total type="mmap" count="{blocks}" size="{mapped}"/>', info)
        total = done.stderr.split("Total (incl. mmap):\n")[1]
        self.assertRegex(total, rf"^system bytes     = +{int(arena) + int(mapped)}\n")
        live = re.search(r"live at exit: (\d+) blocks", done.stderr)
        self.assertGreaterEqual(int(live[1]), 2000, done.stderr)

    def test_first_thread_has_ended(self):
        """The kernel's files of the process are empty then; those of its threads are not."""
        source = """#include <lucid.h>
            #include <pthread.h>
            #include <stdlib.h>
            static void *work(void *first) {
                struct lucid_stats stats = {.size = sizeof(stats)};
                if (pthread_join(*(pthread_t *)first, NULL) != 0 || lucid_stats_get(&stats) != 0 ||
                    stats.resident_bytes == 0 || stats.peak_resident_bytes == 0) {
                    exit(1);
                }
                for (int i = 0; i < 3000; i++) {
                    volatile char *block = lucid_malloc(64);
                    lucid_free((char *)block);
                    (void)block[0]; // a fault if it was sampled
                }
                exit(2);
            }
            int main(void) {
                static pthread_t first, other;
                first = pthread_self();
                pthread_create(&other, NULL, work, &first);
                pthread_exit(NULL);
            }"""
        program = self.compile(source, "-pthread", "-I", SOURCE / "include",
                               f"-Wl,-rpath,{BUILD}", LIBRARY)
        done = self.run_command("sh", "-c", f"ulimit -c 0; exec {program}",
                                env={"LUCID_OPTIONS": "guard=1/1"})
        self.assertEqual(done.returncode, -signal.SIGSEGV, done.stderr)
        self.assertRegex(done.stderr, r"use after free at(.|\n)* program\+0x")

    def test_names_of_programs_are_escaped(self):
        source = """#include <lucid.h>
            int main(void) { return lucid_stats_print_json(1) + lucid_stats_print_openmetrics(2); }
            """
        program = self.compile(source, "-I", SOURCE / "include", f"-Wl,-rpath,{BUILD}", LIBRARY)
        strange = self.folder / 'a "b\\\n\xe4{c'
        os.rename(program, strange)
        done = self.run_command(strange)
        self.assertEqual(json.loads(done.stdout)["name"], 'a "b\\???{c')
        families = openmetrics_families(self, done.stderr)
        self.assertEqual(families[0].samples[0].labels["name"], 'a "b\\???{c')


main(Stats)
