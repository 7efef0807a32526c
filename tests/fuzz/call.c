#include "call.h"

#include "fail.h"
#include "misuse.h"
#include "shadow.h"

#include <errno.h>
#include <lucid.h>
#include <string.h>
#include <unistd.h>

#define ERRNO_BEFORE 12345 // no error of the system
#define LIVE_MAX ((size_t)256 << 20)

bool call_may_fail;

static struct slot *slot_from(unsigned first, bool used) {
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        struct slot *slot = &shadow[(first + i) % SHADOW_SLOTS];
        if ((slot->block != NULL) == used) {
            return slot;
        }
    }
    return NULL;
}

static size_t live_bytes(void) {
    size_t sum = 0;
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        sum += shadow[i].block != NULL ? shadow[i].usable : 0;
    }
    return sum;
}

// Keeps the memory of the fuzzer in bounds; impossible sizes stay.
static size_t bounded(size_t size) {
    return size <= PTRDIFF_MAX && live_bytes() + size > LIVE_MAX ? size % 1024 : size;
}

// What a call gave for `size` bytes. True: a block. False: NULL, and rightly so.
static bool judge(const void *block, size_t size, int error, const char *function) {
    if (block == NULL) {
        if (error != ENOMEM) {
            fail("%s(%zu) failed with errno %d", function, size, error);
        }
        if (size <= PTRDIFF_MAX && !call_may_fail) {
            fail("%s(%zu) found no memory", function, size);
        }
        return false;
    }
    if (size > PTRDIFF_MAX) {
        fail("%s(%zu) gave out the block %p", function, size, block);
    }
    return true;
}

static bool is_power(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

// ---- new blocks ---------------------------------------------------------------------------------

struct request {
    size_t size;
    size_t count;     // calloc
    size_t alignment; // as given
    size_t promised;  // the alignment that the block must have
    bool zeroed;
    bool invalid; // EINVAL is the right answer
    int error;    // of functions that return it instead of setting errno
    const char *function;
};

typedef void *allocate_function(struct request *request);

static void *by_malloc(struct request *request) {
    request->function = "malloc";
    return lucid_malloc(request->size);
}

static void *by_calloc(struct request *request) {
    request->function = "calloc";
    request->zeroed = true;
    size_t part = request->size / request->count;
    if (part * request->count != request->size) {
        return lucid_calloc(1, request->size);
    }
    return lucid_calloc(request->count, part);
}

static void *by_calloc_overflow(struct request *request) {
    request->function = "calloc";
    size_t part = SIZE_MAX / (request->count + 1) + 1 + request->size % 7;
    request->size = SIZE_MAX;
    return lucid_calloc(request->count + 1, part);
}

static void *by_aligned_alloc(struct request *request) {
    request->function = "aligned_alloc";
    request->promised = request->alignment;
    request->invalid = !is_power(request->alignment);
    return lucid_aligned_alloc(request->alignment, request->size);
}

static void *by_memalign(struct request *request) {
    request->function = "memalign";
    while (request->promised < request->alignment) {
        request->promised *= 2;
    }
    return lucid_memalign(request->alignment, request->size);
}

static void *by_posix_memalign(struct request *request) {
    request->function = "posix_memalign";
    request->promised = request->alignment;
    request->invalid = !is_power(request->alignment) || request->alignment % sizeof(void *) != 0;
    void *const untouched = request;
    void *block = untouched;
    request->error = lucid_posix_memalign(&block, request->alignment, request->size);
    if (errno != (request->error == ENOMEM ? ENOMEM : ERRNO_BEFORE)) {
        fail("posix_memalign returned %d and set errno to %d", request->error, errno);
    }
    if ((request->error != 0) != (block == untouched)) {
        fail("posix_memalign returned %d and %p", request->error, block);
    }
    return request->error != 0 ? NULL : block;
}

static void *by_valloc(struct request *request) {
    request->function = "valloc";
    request->promised = (size_t)sysconf(_SC_PAGESIZE);
    return lucid_valloc(request->size);
}

static void *by_pvalloc(struct request *request) {
    request->function = "pvalloc";
    size_t page = request->promised = (size_t)sysconf(_SC_PAGESIZE);
    void *block = lucid_pvalloc(request->size);
    if (block != NULL &&
        lucid_malloc_usable_size(block) < (request->size + page - 1) / page * page) {
        fail("pvalloc(%zu) did not round up to pages", request->size);
    }
    return block;
}

static void *by_realloc_null(struct request *request) {
    request->function = "realloc";
    return lucid_realloc(NULL, request->size);
}

static allocate_function *const allocate_functions[] = {
    by_malloc,         by_calloc, by_calloc_overflow, by_aligned_alloc, by_memalign,
    by_posix_memalign, by_valloc, by_pvalloc,         by_realloc_null,  by_malloc,
};

static void allocate(struct slot *slot, allocate_function *function, struct request *request) {
    errno = ERRNO_BEFORE;
    void *block = function(request);
    int error = request->error != 0 ? request->error : errno;
    if (request->invalid) {
        if (block != NULL || error != EINVAL) {
            fail("%s accepted the alignment %zu: %p, error %d", request->function,
                 request->alignment, block, error);
        }
        return;
    }
    if (judge(block, request->size, error, request->function)) {
        size_t promised = request->promised > 16 ? request->promised : 16;
        shadow_adopt(slot, block, request->size, promised, request->zeroed);
    }
}

void call_allocate(struct input *input) {
    unsigned way = input_byte(input);
    struct request request = {.size = bounded(input_size(input)), .promised = 16};
    request.alignment = input_alignment(input);
    request.count = 1 + way / 16;
    struct slot *slot = slot_from(input_byte(input) * 2, false);
    if (slot != NULL) {
        size_t ways = sizeof(allocate_functions) / sizeof(allocate_functions[0]);
        allocate(slot, allocate_functions[way % ways], &request);
    }
}

void call_burst(struct input *input) {
    unsigned count = input_byte(input);
    size_t size = bounded(input_size(input));
    size_t bound = LIVE_MAX / 4 / (count + 1);
    for (unsigned i = 0; i < count; i++) {
        struct slot *slot = slot_from(i, false);
        struct request request = {.size = size < bound ? size : size % 1024, .promised = 16};
        request.count = 1;
        if (slot == NULL) {
            return;
        }
        allocate(slot, i % 4 == 3 ? by_calloc : by_malloc, &request);
    }
}

// ---- resizing -----------------------------------------------------------------------------------

static void resized(struct slot *slot, void *block, size_t size, int error) {
    if (!judge(block, size, error, "realloc")) {
        shadow_verify(slot);
        return;
    }
    shadow_verify_copy(slot, block, size);
    size_t alignment = block == slot->block ? slot->alignment : 16;
    shadow_drop(slot);
    shadow_adopt(slot, block, size, alignment, false);
}

void call_resize(struct input *input) {
    struct slot *slot = slot_from(input_byte(input) * 2, true);
    size_t size = bounded(input_size(input));
    unsigned way = input_byte(input);
    if (slot == NULL) {
        return;
    }
    shadow_verify(slot);
    errno = ERRNO_BEFORE;
    if (way % 8 == 0) { // the size it has: must stay where it is
        size = slot->usable;
        if (lucid_realloc(slot->block, size) != slot->block) {
            fail("realloc to the usable size %zu moved", size);
        }
        return;
    }
    if (way % 8 == 1) {
        void *block = lucid_reallocarray(slot->block, SIZE_MAX / 2, 2 + way);
        resized(slot, block, SIZE_MAX, errno);
        return;
    }
    const void *old = slot->block;
    void *block =
        way % 2 ? lucid_reallocarray(slot->block, 1, size) : lucid_realloc(slot->block, size);
    if (size == 0) {
        if (block != NULL || errno != ERRNO_BEFORE) {
            fail("realloc(%p, 0) gave %p, errno %d", old, block, errno);
        }
        shadow_drop(slot);
        misuse_remember(old);
        return;
    }
    resized(slot, block, size, errno);
}

// ---- giving back --------------------------------------------------------------------------------

static void free_slot(struct slot *slot, unsigned way) {
    shadow_verify(slot);
    unsigned char *block = slot->block;
    errno = ERRNO_BEFORE;
    if (way % 4 == 1 && slot->alignment == 16) {
        lucid_free_sized(block, slot->size);
    } else if (way % 4 == 2) {
        lucid_free_aligned_sized(block, slot->alignment, slot->size);
    } else {
        lucid_free(block);
    }
    if (errno != ERRNO_BEFORE) {
        fail("free set errno to %d", errno);
    }
    shadow_drop(slot);
    misuse_remember(block);
}

void call_free(struct input *input) {
    struct slot *slot = slot_from(input_byte(input) * 2, true);
    unsigned way = input_byte(input);
    if (way == 255) {
        lucid_free(NULL);
        lucid_free_sized(NULL, 10);
        lucid_free_aligned_sized(NULL, 0, 10); // whatever the alignment
    }
    if (slot != NULL) {
        free_slot(slot, way);
    }
}

void call_free_many(struct input *input) {
    unsigned first = input_byte(input) * 2;
    unsigned count = input_byte(input);
    unsigned step = input_byte(input) % 3 + 1;
    for (unsigned i = 0; i < count; i++) {
        struct slot *slot = &shadow[(first + i * step) % SHADOW_SLOTS];
        if (slot->block != NULL) {
            free_slot(slot, i);
        }
    }
}

void call_free_all(void) {
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        if (shadow[i].block != NULL) {
            free_slot(&shadow[i], i);
        }
    }
}

void call_verify(struct input *input) {
    const struct slot *slot = slot_from(input_byte(input) * 2, true);
    if (slot != NULL) {
        shadow_verify(slot);
    }
    if (lucid_malloc_usable_size(NULL) != 0) {
        fail("malloc_usable_size(NULL) is not 0");
    }
}
