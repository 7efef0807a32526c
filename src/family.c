// The statistics and tuning members of the malloc family.
#include "alloc.h"
#include "arena.h"
#include "bin.h"
#include "export.h"
#include "fork.h"
#include "heap.h"
#include "init.h"
#include "options.h"
#include "os/os.h"
#include "release.h"
#include "text.h"
#include "trim.h"
#include "walk.h"

#include <errno.h>
#include <limits.h>
#include <lucid.h>
#include <malloc.h>
#include <stdio.h>

static bool take_account(struct account *account) {
    if (!init_ready()) {
        *account = (struct account){.arena_bytes = 0};
        return false;
    }
    fork_check();
    walk_account(account);
    return true;
}

EXPORT struct mallinfo2 lucid_mallinfo2(void) {
    struct account account;
    (void)take_account(&account);
    uint64_t used = account.used_bytes + account.large_bytes;
    return (struct mallinfo2){
        .arena = account.arena_bytes,
        .ordblks = account.free_blocks + account.pool_runs + (account.top_bytes > 0),
        .smblks = account.cached_blocks,
        .hblks = account.mapping_count,
        .hblkhd = account.mapping_bytes,
        .usmblks = 0,
        .fsmblks = account.cached_bytes,
        .uordblks = used,
        .fordblks = account.arena_bytes > used ? account.arena_bytes - used : 0,
        .keepcost = account.top_bytes,
    };
}
STANDARD_NAME(struct mallinfo2, mallinfo2, (void), lucid_mallinfo2)

static int clamp_int(size_t value) {
    return value > INT_MAX ? INT_MAX : (int)value;
}

EXPORT struct mallinfo lucid_mallinfo(void) {
    struct mallinfo2 wide = lucid_mallinfo2();
    return (struct mallinfo){
        .arena = clamp_int(wide.arena),
        .ordblks = clamp_int(wide.ordblks),
        .smblks = clamp_int(wide.smblks),
        .hblks = clamp_int(wide.hblks),
        .hblkhd = clamp_int(wide.hblkhd),
        .usmblks = clamp_int(wide.usmblks),
        .fsmblks = clamp_int(wide.fsmblks),
        .uordblks = clamp_int(wide.uordblks),
        .fordblks = clamp_int(wide.fordblks),
        .keepcost = clamp_int(wide.keepcost),
    };
}
STANDARD_NAME(struct mallinfo, mallinfo, (void), lucid_mallinfo)

static void add_amount(struct text *out, const char *label, uint64_t number) {
    text_add(out, label);
    text_add(out, " = ");
    text_add_number(out, number);
    text_add_char(out, '\n');
}

EXPORT void lucid_malloc_stats(void) {
    struct account account;
    (void)take_account(&account);
    char buffer[1024];
    struct text out = text_begin(buffer, sizeof(buffer));
    uint64_t used = account.used_bytes + account.large_bytes;
    text_add(&out, "Arena 0:\n");
    add_amount(&out, "system bytes     ", account.arena_bytes);
    add_amount(&out, "in use bytes     ", used);
    text_add(&out, "Total (incl. mmap):\n");
    add_amount(&out, "system bytes     ", account.arena_bytes + account.mapping_bytes);
    add_amount(&out, "in use bytes     ", used + account.mapping_bytes);
    add_amount(&out, "mmap regions     ", account.mapping_count);
    add_amount(&out, "cached bytes     ", account.cached_bytes);
    add_amount(&out, "pool bytes       ", account.pool_bytes);
    add_amount(&out, "metadata bytes   ", account.meta_bytes);
    os_write(2, buffer, out.length);
}
STANDARD_NAME(void, malloc_stats, (void), lucid_malloc_stats)

static void write_class(FILE *stream, unsigned class, const struct class_account *sums) {
    uint64_t idle = sums->free + sums->cached;
    if (idle == 0) {
        return;
    }
    size_t from = class == 1 ? 1 : sizeclass_size(class - 1) + 1;
    unsigned long long total = idle * sizeclass_size(class);
    (void)fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%llu\" count=\"%llu\"/>\n", from,
                  sizeclass_size(class), total, (unsigned long long)idle);
}

static void write_total(FILE *stream, const char *type, uint64_t count, uint64_t bytes) {
    (void)fprintf(stream, "<total type=\"%s\" count=\"%llu\" size=\"%llu\"/>\n", type,
                  (unsigned long long)count, (unsigned long long)bytes);
}

static void write_amount(FILE *stream, const char *element, const char *type, uint64_t bytes) {
    (void)fprintf(stream, "<%s type=\"%s\" size=\"%llu\"/>\n", element, type,
                  (unsigned long long)bytes);
}

static void write_arena(FILE *stream, const struct account *account) {
    uint64_t used = account->used_bytes + account->large_bytes;
    write_total(stream, "fast", account->cached_blocks, account->cached_bytes);
    write_total(stream, "rest", account->free_blocks + account->pool_runs,
                account->arena_bytes - used - account->cached_bytes);
    write_total(stream, "mmap", account->mapping_count, account->mapping_bytes);
    write_amount(stream, "system", "current", account->arena_bytes);
    write_amount(stream, "system", "max", account->arena_bytes);
    write_amount(stream, "aspace", "total", account->arena_bytes);
    write_amount(stream, "aspace", "mprotect", account->arena_bytes);
}

EXPORT int lucid_malloc_info(int options, FILE *stream) {
    if (options != 0) {
        return EINVAL;
    }
    struct account account;
    (void)take_account(&account);
    (void)fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", stream);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        write_class(stream, class, &account.classes[class]);
    }
    (void)fputs("</sizes>\n", stream);
    write_total(stream, "fast", account.cached_blocks, account.cached_bytes);
    write_total(stream, "rest", account.free_blocks + account.pool_runs,
                account.arena_bytes - account.used_bytes - account.large_bytes -
                    account.cached_bytes);
    write_amount(stream, "system", "current", account.arena_bytes);
    write_amount(stream, "system", "max", account.arena_bytes);
    write_amount(stream, "aspace", "total", account.arena_bytes);
    write_amount(stream, "aspace", "mprotect", account.arena_bytes);
    (void)fputs("</heap>\n", stream);
    write_arena(stream, &account);
    return fputs("</malloc>\n", stream) == EOF ? -1 : 0;
}
STANDARD_NAME(int, malloc_info, (int, FILE *), lucid_malloc_info)

static int set_option(enum option option, uint64_t value) {
    const struct option_row *row = &option_table[option];
    if (value < row->least || value > row->most) {
        return 0;
    }
    root.live.options.value[option] = value;
    root.live.options.source[option] = SOURCE_PROGRAM;
    return 1;
}

// Parameters without a meaning here are accepted, as the C library's callers expect; unknown
// ones are not, as the C library's own does.
EXPORT int lucid_mallopt(int parameter, int value) {
    if (!init_ready()) {
        return 0;
    }
    switch (parameter) {
    case M_MMAP_THRESHOLD:
        return value < 0 ? 0
                         : set_option(OPTION_MMAP_THRESHOLD, max_size((size_t)value, SMALL_MAX));
    case M_TRIM_THRESHOLD:
        return set_option(OPTION_PURGE, value >= 0);
    case M_MXFAST:
        return value >= 0 && value <= (int)(80 * sizeof(size_t) / 4);
    case M_TOP_PAD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}
STANDARD_NAME(int, mallopt, (int, int), lucid_mallopt)

EXPORT int lucid_malloc_trim(size_t keep) {
    if (!init_ready()) {
        return 0;
    }
    fork_check();
    struct heap *heap = heap_get();
    if (heap != NULL) {
        bin_empty_all(heap, "malloc_trim");
    }
    uint64_t trimmed = trim_all();
    return release_dirty(keep >> UNIT_SHIFT, 0) + trimmed > 0;
}
STANDARD_NAME(int, malloc_trim, (size_t), lucid_malloc_trim)

EXPORT const char *lucid_version(void) {
    return LUCID_VERSION_TEXT;
}
