// Feeds damaged core files to everything that reads them: the ELF reader, the search for the
// root, the reader, the checks, glibc's walk. Nothing may crash, hang or take memory without
// bound; AddressSanitizer and UndefinedBehaviorSanitizer look for the rest.
//
//   fuzz_core FILE... [-n RUNS] [-s SEED]    each file as it is, then RUNS damaged copies of them
//
// Under libFuzzer only LLVMFuzzerTestOneInput is used. With LUCID_FUZZ_BASE=FILE an input is a list
// of patches to that core, so that the fuzzer spends its time behind the ELF headers:
//   4 bytes offset, 1 byte how (add, set one byte, set eight), 8 bytes value
#include "explain/story.h"
#include "glibc/glibc.h"
#include "heap/cells.h"
#include "heap/check.h"
#include "heap/rows.h"
#include "heap/scan.h"
#include "heap/tally.h"
#include "layout/break.h"
#include "util/human.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note_found(uint64_t address, void *context) {
    *(uint64_t *)context ^= address;
}

// What find, block --refs and map do.
static void look_around(struct target *target, struct snapshot *snapshot) {
    const struct reader *reader = &snapshot->reader;
    uint64_t seen = 0;
    struct scan scan = {.target = target,
                        .length = 8,
                        .step = 8,
                        .low = reader->fixed.base,
                        .high = reader_tables_end(reader),
                        .found = note_found,
                        .context = &seen};
    struct cells cells;
    scan_rest(&scan, snapshot);
    scan_heap(&scan, snapshot);
    uint64_t start = reader_address(reader, 1);
    uint64_t end = reader_address(reader, reader->live.limit);
    uint64_t size = reader->fixed.page_size;
    while ((end - start) / size > 4096) {
        size *= 2;
    }
    cells_cut(&cells, snapshot, start, end, size);
    cells_free(&cells);
}

// Accounts for every page of the core.
static void explain_heap(struct session *session) {
    static struct reasons reasons;
    static struct story story;
    if (reasons_take(&reasons, session)) {
        story_tell(&story, &reasons, session);
        reasons_free(&reasons);
    }
}

static void read_heap(struct session *session) {
    static struct snapshot snapshot;
    struct target *target = &session->target;
    const struct root_places *places = &session->places;
    static struct tally tally;
    struct findings findings;
    struct rows rows;
    struct row row;
    for (size_t i = 0; i < places->count; i++) {
        if (!snapshot_take(&snapshot, target, places, &places->list[i])) {
            snapshot_say_fault(&snapshot);
            snapshot_free(&snapshot);
            continue;
        }
        tally_heap(&tally, &snapshot);
        check_snapshot(&findings, &snapshot);
        findings_free(&findings);
        rows_begin(&rows, &snapshot);
        for (unsigned n = 0; n < 2000000 && rows_next(&rows, &row); n++) {
            if (n % 1000 == 0) {
                struct row found;
                rows_find(&snapshot, row.address, &found);
            }
        }
        look_around(target, &snapshot);
        session->snapshot = &snapshot;
        explain_heap(session);
        snapshot_free(&snapshot);
    }
}

static void read_core(const char *path) {
    static struct session session;
    struct target *target = &session.target;
    memset(&session, 0, sizeof(session));
    target->memory_fd = -1;
    if (target_open_core(target, path)) {
        struct glibc_walk walk;
        struct process process;
        struct images images;
        struct break_map map;
        locate_roots(&session.places, target);
        read_heap(&session);
        process_read(&process, target);
        images_find(&images, target);
        break_read(&map, target, &process, &images);
        images_free(&images);
        if (glibc_walk_heap(&walk, target)) {
            glibc_walk_free(&walk);
        }
    }
    target_close(target);
}

static uint8_t *load(const char *path, size_t *size);

#define PATCH 13u

// The base with the patches applied; valid until the next call.
static const uint8_t *patched(const char *base, const uint8_t *data, size_t size, size_t *length) {
    static uint8_t *original;
    static uint8_t *copy;
    static size_t base_size;
    if (original == NULL) {
        original = load(base, &base_size);
        copy = malloc(base_size);
    }
    if (copy == NULL || base_size < 16) {
        abort();
    }
    memcpy(copy, original, base_size);
    for (size_t at = 0; at + PATCH <= size; at += PATCH) {
        uint32_t offset;
        uint64_t value;
        uint64_t old;
        memcpy(&offset, data + at, 4);
        memcpy(&value, data + at + 5, 8);
        offset %= (uint32_t)base_size - 8;
        if (data[at + 4] % 3 == 1) {
            copy[offset] = (uint8_t)value;
            continue;
        }
        memcpy(&old, copy + offset / 8 * 8, 8);
        value += data[at + 4] % 3 == 0 ? old : 0;
        memcpy(copy + offset / 8 * 8, &value, 8);
    }
    *length = base_size;
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int file = -1;
    char path[64];
    const char *base = getenv("LUCID_FUZZ_BASE");
    if (base != NULL) {
        data = patched(base, data, size, &size);
    }
    if (file < 0) {
        file = memfd_create("core", 0);
        FILE *nowhere = fopen("/dev/null", "w");
        stderr = nowhere != NULL ? nowhere : stderr; // a sanitizer writes to descriptor 2 itself
    }
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    read_core(path);
    return 0;
}

static uint8_t *load(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc((size_t)16 << 20);
    if (file == NULL || bytes == NULL) {
        fprintf(stderr, "fuzz_core: %s cannot be read\n", path);
        exit(2);
    }
    *size = fread(bytes, 1, (size_t)16 << 20, file);
    fclose(file);
    return bytes;
}

#ifndef LUCID_FUZZER
static uint64_t state;

static uint64_t next_random(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 20;
}

static void damage(uint8_t *bytes, size_t size) {
    static const uint64_t words[] = {
        0, 1, 8, 0x1000, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX, UINT64_MAX - 4095};
    unsigned hits = 1 + (unsigned)next_random() % 8;
    for (unsigned i = 0; i < hits && size >= 8; i++) {
        size_t at = next_random() % (size - 7);
        // Most of a core is zeros; what says something is more worth damaging.
        for (unsigned try = 0; try < 16 && bytes[at] == 0; try++) {
            at = next_random() % (size - 7);
        }
        uint64_t word = words[next_random() % (sizeof(words) / sizeof(words[0]))];
        switch (next_random() % 4) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << next_random() % 8);
            break;
        case 1:
            bytes[at] = (uint8_t)next_random();
            break;
        case 2:
            memcpy(bytes + at / 8 * 8, &word, 8);
            break;
        default:
            memcpy(bytes + at / 4 * 4, bytes + next_random() % (size - 7) / 4 * 4, 4);
            break;
        }
    }
}

int main(int argc, char **argv) {
    unsigned long runs = 0;
    int files = 1;
    while (files < argc && argv[files][0] != '-') {
        files++;
    }
    for (int i = files; i + 1 < argc; i += 2) {
        unsigned long value = strtoul(argv[i + 1], NULL, 10);
        runs = strcmp(argv[i], "-n") == 0 ? value : runs;
        state = strcmp(argv[i], "-s") == 0 ? value : state;
    }
    for (int i = 1; i < files; i++) {
        size_t size = 0;
        uint8_t *bytes = load(argv[i], &size);
        uint8_t *copy = malloc(size + 1);
        alarm(20);
        LLVMFuzzerTestOneInput(bytes, size);
        for (unsigned long run = 0; run < runs && copy != NULL; run++) {
            memcpy(copy, bytes, size);
            damage(copy, size);
            alarm(20); // a hang ends the process
            LLVMFuzzerTestOneInput(copy, next_random() % 16 == 0 ? next_random() % size : size);
        }
        free(copy);
        free(bytes);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%lu runs of %d files, peak memory %ld KiB\n", runs, files - 1, usage.ru_maxrss);
    return 0;
}
#endif
