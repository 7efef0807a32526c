// The statistics of the C library's malloc: mallinfo, malloc_info, malloc_stats. All of them walk
// the tables (walk.h); nothing is counted on the fast paths.
#include "export.h"
#include "fork.h"
#include "init.h"
#include "os/os.h"
#include "root.h"
#include "text.h"
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

// Bytes that programs may use, as malloc_usable_size tells them: of the arena only, as in the C
// library, where blocks with a mapping of their own are counted as such.
static uint64_t bytes_in_use(const struct account *account) {
    return account->used_bytes - account->padding + account->large_usable;
}

static uint64_t bytes_free(const struct account *account) {
    uint64_t used = bytes_in_use(account);
    return account->arena_bytes > used ? account->arena_bytes - used : 0;
}

// Blocks with a mapping of their own; those between guard pages are such, too.
static uint64_t blocks_apart(const struct account *account) {
    return account->mapping_count + account->guarded_count;
}

static uint64_t bytes_apart(const struct account *account) {
    return account->mapping_bytes + account->guarded_count * root.fixed.page_size;
}

EXPORT struct mallinfo2 lucid_mallinfo2(void) {
    struct account account;
    (void)take_account(&account);
    return (struct mallinfo2){
        .arena = account.arena_bytes,
        .ordblks = account.free_blocks + account.pool_runs + (account.top_bytes > 0),
        .smblks = account.cached_blocks,
        .hblks = blocks_apart(&account),
        .hblkhd = bytes_apart(&account),
        .usmblks = 0, // as in the C library for long
        .fsmblks = account.cached_bytes,
        .uordblks = bytes_in_use(&account),
        .fordblks = bytes_free(&account),
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

// In the C library's columns.
static void add_amount(struct text *out, const char *label, uint64_t number) {
    uint64_t tens = 1;
    text_add(out, label);
    text_add(out, "= ");
    for (unsigned i = 1; i < 10; i++) {
        tens *= 10;
    }
    for (; tens > 1 && number < tens; tens /= 10) {
        text_add_char(out, ' ');
    }
    text_add_number(out, number);
    text_add_char(out, '\n');
}

EXPORT void lucid_malloc_stats(void) {
    struct account account;
    (void)take_account(&account);
    const struct mapping_table *mappings = &root.live.mappings;
    char buffer[1024];
    struct text out = text_begin(buffer, sizeof(buffer));
    uint64_t used = bytes_in_use(&account);
    text_add(&out, "Arena 0:\n");
    add_amount(&out, "system bytes     ", account.arena_bytes);
    add_amount(&out, "in use bytes     ", used);
    text_add(&out, "Total (incl. mmap):\n");
    add_amount(&out, "system bytes     ", account.arena_bytes + bytes_apart(&account));
    add_amount(&out, "in use bytes     ", used + bytes_apart(&account));
    add_amount(&out, "max mmap regions ", mappings->most_count);
    add_amount(&out, "max mmap bytes   ", mappings->most_bytes);
    text_add(&out, "Of lucid:\n");
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

// What both the one heap and the whole end with. The arena never shrinks, so that its present size
// is the largest it had; all of it may be written to.
static void write_system(FILE *stream, const struct account *account) {
    write_amount(stream, "system", "current", account->arena_bytes);
    write_amount(stream, "system", "max", account->arena_bytes);
    write_amount(stream, "aspace", "total", account->arena_bytes);
    write_amount(stream, "aspace", "mprotect", account->arena_bytes);
}

static void write_free(FILE *stream, const struct account *account) {
    uint64_t idle = bytes_free(account);
    write_total(stream, "fast", account->cached_blocks, account->cached_bytes);
    write_total(stream, "rest",
                account->free_blocks + account->pool_runs + (account->top_bytes > 0),
                idle > account->cached_bytes ? idle - account->cached_bytes : 0);
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
    write_free(stream, &account);
    write_system(stream, &account);
    (void)fputs("</heap>\n", stream);
    write_free(stream, &account);
    write_total(stream, "mmap", blocks_apart(&account), bytes_apart(&account));
    write_system(stream, &account);
    (void)fputs("</malloc>\n", stream);
    return ferror(stream) ? -1 : 0;
}
STANDARD_NAME(int, malloc_info, (int, FILE *), lucid_malloc_info)

EXPORT const char *lucid_version(void) {
    return LUCID_VERSION_TEXT;
}
