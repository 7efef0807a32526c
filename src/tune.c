// What a program may change while it runs: options by name, mallopt,
// and giving memory back at once.
#include "bin.h"
#include "export.h"
#include "fork.h"
#include "heap.h"
#include "init.h"
#include "options.h"
#include "os/os.h"
#include "purge.h"
#include "release.h"
#include "trim.h"

#include <errno.h>
#include <lucid.h>
#include <malloc.h>
#include <string.h>

// ---- options ------------------------------------------------------------------------------------

static bool is_in_range(enum option option, uint64_t value) {
    return value >= option_table[option].least && value <= option_table[option].most;
}

// pre: the value is in range, the option may be set at any time.
static void set_option(enum option option, uint64_t value) {
    struct option_values *options = &root.live.options;
    bool changes = __atomic_load_n(&options->value[option], __ATOMIC_RELAXED) != value;
    __atomic_store_n(&options->value[option], value, __ATOMIC_RELAXED);
    __atomic_store_n(&options->source[option], SOURCE_PROGRAM, __ATOMIC_RELAXED);
    if (option == OPTION_PURGE_AGE) {
        __atomic_store_n(&root.live.giving.age, (uint32_t)value, __ATOMIC_RELAXED);
    }
    if (changes &&
        (option == OPTION_PURGE || option == OPTION_PURGE_AGE || option == OPTION_HELPER)) {
        fork_check();
        purge_reconsider();
    }
}

static int fail(int number) {
    errno = number;
    return -1;
}

EXPORT int lucid_option_set(const char *name, const char *value) {
    uint64_t number;
    if (!init_ready()) {
        return fail(ENOMEM);
    }
    enum option option = option_find(name, strlen(name));
    if (option == OPTION_COUNT) {
        return fail(ENOENT);
    }
    if (option_table[option].moment != ANY_TIME) {
        return fail(EPERM);
    }
    if (!option_parse(&option_table[option], value, strlen(value), &number)) {
        return fail(EINVAL);
    }
    set_option(option, number);
    return 0;
}

EXPORT int lucid_option_get(const char *name, char *value, size_t room) {
    char buffer[40];
    if (!init_ready()) {
        return fail(ENOMEM);
    }
    enum option option = option_find(name, strlen(name));
    if (option == OPTION_COUNT) {
        return fail(ENOENT);
    }
    struct text text = text_begin(buffer, sizeof(buffer));
    option_write(&text, &option_table[option],
                 __atomic_load_n(&root.live.options.value[option], __ATOMIC_RELAXED));
    if (text.length >= room) {
        return fail(ERANGE);
    }
    memcpy(value, buffer, text.length + 1);
    return 0;
}

static int try_set(enum option option, uint64_t value) {
    if (!is_in_range(option, value)) {
        return 0;
    }
    set_option(option, value);
    return 1;
}

static int set_threshold(int value) {
    return value < 0 ? 0 : try_set(OPTION_MMAP_THRESHOLD, max_size((size_t)value, SMALL_MAX));
}

// What has no meaning here is accepted where leaving it undone is within its meaning, as with hints
// and upper limits that hold anyway; what would be promised and not done is refused.
EXPORT int lucid_mallopt(int parameter, int value) {
    if (!init_ready()) {
        return 0;
    }
    switch (parameter) {
    case M_MMAP_THRESHOLD:
        return set_threshold(value);
    case M_MMAP_MAX:
        return value == 0 ? try_set(OPTION_MMAP_THRESHOLD, MAPPING_THRESHOLD_MAX) : value > 0;
    case M_TRIM_THRESHOLD:
        return try_set(OPTION_PURGE, value >= 0);
    case M_MXFAST:
        return value >= 0 && value <= (int)(80 * sizeof(size_t) / 4);
    case M_PERTURB:
        return (value & 0xff) == 0;
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return value > 0; // there is one
    case M_TOP_PAD:
    case M_CHECK_ACTION:
        return 1;
    default:
        return 0;
    }
}
STANDARD_NAME(int, mallopt, (int, int), lucid_mallopt)

// ---- giving back --------------------------------------------------------------------------------

// Everything but the pool: what the thread has in its bins, what it asks the others for, and the
// free pages of spans. Returns the bytes that went to the kernel.
static uint64_t empty_threads(const char *function) {
    fork_check();
    struct heap *heap = heap_get();
    if (heap != NULL) {
        bin_empty_all(heap, function);
    }
    heap_ask_others(heap);
    if (!os_single_threaded()) {
        purge_sleepers();
    }
    return trim_all();
}

EXPORT int lucid_malloc_trim(size_t keep) {
    if (!init_ready()) {
        return 0;
    }
    uint64_t given = empty_threads("malloc_trim");
    return given + release_beyond(keep >> UNIT_SHIFT) > 0;
}
STANDARD_NAME(int, malloc_trim, (size_t), lucid_malloc_trim)

EXPORT size_t lucid_trim(void) {
    if (!init_ready()) {
        return 0;
    }
    uint64_t given = empty_threads("lucid_trim");
    return given + (release_all() << UNIT_SHIFT);
}
