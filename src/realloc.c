// realloc, reallocarray and malloc_usable_size.
#include "alloc.h"
#include "allowance.h"
#include "event.h"
#include "export.h"
#include "fork.h"
#include "free.h"
#include "harden.h"
#include "init.h"
#include "large.h"
#include "panic.h"

#include <errno.h>
#include <lucid.h>
#include <string.h>

// A small block stays where it is unless it would waste more than half of itself.
static bool stays(size_t room, size_t size) {
    return size <= room && (size > room / 2 || room <= 64);
}

// Where the block of that size is without a copy; NULL: it takes one. Hardened mode moves blocks
// whenever it can: the old address is useless then.
static void *without_copy(void *pointer, const struct block *block, size_t size) {
    if (harden_on() && block->kind != BLOCK_LARGE && block->region == NULL) {
        bool same = block->kind == BLOCK_SMALL
                        ? harden_resize(pointer, block->class, block->size, size)
                        : size == block->size;
        return same ? pointer : NULL;
    }
    if (block->kind == BLOCK_GUARDED) {
        return size == block->size ? pointer : NULL;
    }
    if (block->kind == BLOCK_SMALL) {
        return stays(block->size, size) ? pointer : NULL;
    }
    return large_resize(pointer, block, size);
}

static void *room_for(const struct block *block, size_t size) {
    void *room = NULL;
    if (large_outgrows(block, size)) {
        room = alloc_mapping(size);
    } else if (large_grows_on(block, size)) {
        room = alloc_growing(size);
    }
    if (room != NULL) {
        return room;
    }
    return likely(block->region == NULL) ? alloc_fast(size)
                                         : alloc_in(block->region, BLOCK_ALIGN, size, false);
}

static void *move(void *pointer, const struct block *block, size_t size) {
    void *copy = room_for(block, size);
    if (copy == NULL) {
        return NULL; // errno is ENOMEM; the old block is as it was
    }
    size_t front = large_move_end(copy, pointer, block, min_size(block->size, size));
    memcpy(copy, pointer, front);
    free_fast(pointer, "realloc");
    return copy;
}

// There is no memory for a smaller copy: the block serves, without its end if that can go.
static COLD void *shrink_in_place(void *pointer, const struct block *block, size_t size) {
    void *shrunk = pointer;
    if (block->kind == BLOCK_LARGE || (block->kind == BLOCK_MAPPING && !harden_on())) {
        shrunk = large_shrink(pointer, block, size);
    } else if (harden_on() && block->kind == BLOCK_SMALL && block->region == NULL) {
        harden_reseal(pointer, block->class, block->size, size);
    }
    free_note_large_left();
    event_raise(EVENT_RESIZE, shrunk, size, block->class, 1);
    return shrunk;
}

static void *resize(void *pointer, size_t size) {
    if (!init_ready()) {
        panic_misuse("realloc", "pointer that lucid never gave out", pointer);
    }
    fork_check();
    struct block block = block_of(pointer, "realloc");
    if (size > PTRDIFF_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    void *resized = without_copy(pointer, &block, size);
    if (resized != NULL) {
        event_raise(EVENT_RESIZE, resized, size, block.class, 1);
        return resized;
    }
    void *moved = move(pointer, &block, size);
    if (unlikely(moved == NULL) && allowance_is_limited()) {
        // What there is room for now, the copy and the block together might still have exceeded.
        moved = without_copy(pointer, &block, size);
    }
    if (moved == NULL && size <= block.size) {
        moved = shrink_in_place(pointer, &block, size);
    }
    return moved;
}

// The common case of a move, of a block in a bin's class of `room` bytes. NULL: it takes a closer
// look.
static void *move_plain(void *pointer, size_t room, size_t size) {
    void *copy = room != 0 && size <= PTRDIFF_MAX ? alloc_fast(size) : NULL;
    if (copy != NULL) {
        memcpy(copy, pointer, min_size(room, size));
        free_fast(pointer, "realloc");
    }
    return copy;
}

EXPORT void *lucid_realloc(void *pointer, size_t size) {
    if (pointer == NULL) {
        return alloc_fast(size);
    }
    if (size == 0) {
        free_fast(pointer, "realloc");
        return NULL;
    }
    size_t room = sizeclass_size(block_plain_class(pointer)); // 0: nothing stays in no room
    if (stays(room, size)) {
        return pointer;
    }
    int saved = errno; // of attempts that fail before one succeeds nothing is to be seen
    void *resized = move_plain(pointer, room, size);
    if (unlikely(resized == NULL)) {
        resized = resize(pointer, size);
        errno = resized != NULL ? saved : errno;
    }
    return resized;
}
STANDARD_NAME(void *, realloc, (void *, size_t), lucid_realloc)
GLIBC_NAME(void *, realloc, (void *, size_t), lucid_realloc)

EXPORT void *lucid_reallocarray(void *pointer, size_t count, size_t size) {
    size_t bytes;
    if (unlikely(__builtin_mul_overflow(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    return lucid_realloc(pointer, bytes);
}
STANDARD_NAME(void *, reallocarray, (void *, size_t, size_t), lucid_reallocarray)

static NOINLINE size_t usable_size(void *pointer) {
    if (!init_ready()) {
        panic_misuse("malloc_usable_size", "pointer that lucid never gave out", pointer);
    }
    fork_check();
    return block_of(pointer, "malloc_usable_size").size;
}

EXPORT size_t lucid_malloc_usable_size(void *pointer) {
    if (pointer == NULL) {
        return 0;
    }
    size_t room = sizeclass_size(block_plain_class(pointer));
    return likely(room != 0) ? room : usable_size(pointer);
}
STANDARD_NAME(size_t, malloc_usable_size, (void *), lucid_malloc_usable_size)
