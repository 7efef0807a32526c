#include "fence.h"

#include "allowance.h"
#include "canary.h"
#include "event.h"
#include "mapping.h"
#include "meta.h"
#include "os/os.h"
#include "panic.h"

#include <string.h>

#define KEPT_MAX 64u
#define KEPT_BYTES_MAX ((uint64_t)256 << 20)

// Freed fenced blocks, oldest first.
static struct {
    _Atomic uint32_t lock;
    uint32_t count;
    uint64_t bytes;
    struct mapping *blocks; // KEPT_MAX of them; NULL: none was freed yet, or there is no memory
} kept;

// In the table a fenced block's mapping is its own pages; the pages of the fence, one before and
// one behind, are understood. Borders are what lies on its own pages before and behind it.
static uintptr_t inside_end(const struct mapping *mapping) {
    return mapping->start + mapping->length;
}

static uint8_t border_byte(const struct mapping *mapping) {
    return canary_fill(canary_key(root.fixed.mark, mapping->address));
}

static void fill_borders(const struct mapping *mapping) {
    uintptr_t start = mapping->start;
    uintptr_t end = mapping->address + mapping->asked;
    memset((void *)start, border_byte(mapping), mapping->address - start);
    memset((void *)end, border_byte(mapping), inside_end(mapping) - end);
}

static bool is_filled(uintptr_t start, uintptr_t end, uint8_t byte) {
    const unsigned char *bytes = (const unsigned char *)start;
    for (size_t i = 0; i < end - start; i++) {
        if (bytes[i] != byte) {
            return false;
        }
    }
    return true;
}

static void check_borders(const struct mapping *mapping, const char *function) {
    uint8_t byte = border_byte(mapping);
    if (!is_filled(mapping->start, mapping->address, byte)) {
        panic_mapped(function, "buffer underflow of", (void *)mapping->address, mapping);
    }
    if (!is_filled(mapping->address + mapping->asked, inside_end(mapping), byte)) {
        panic_mapped(function, "buffer overflow of", (void *)mapping->address, mapping);
    }
}

static bool unmap_fenced(const struct mapping *mapping) {
    size_t page = root.fixed.page_size;
    return os_unmap((void *)(mapping->start - page), mapping->length + 2 * page);
}

// Address space for `inside` bytes at a multiple of `alignment` with a page before and behind.
// Returns where the inside begins. What alignment needs beyond that is given back if possible.
static uintptr_t reserve_fenced(size_t inside, size_t alignment) {
    size_t page = root.fixed.page_size;
    size_t spare = alignment > page ? alignment - page : 0;
    if (spare > PTRDIFF_MAX - inside - 2 * page) {
        return 0;
    }
    size_t length = inside + spare + 2 * page;
    uintptr_t start = (uintptr_t)os_reserve(length);
    if (start == 0) {
        return 0;
    }
    uintptr_t low = align_up(start + page, max_size(alignment, page));
    uintptr_t end = low + inside + page;
    if (low - page > start) {
        (void)os_unmap((void *)start, low - page - start);
    }
    if (start + length > end) {
        (void)os_unmap((void *)end, start + length - end);
    }
    return low;
}

static void *fence_try(size_t size, size_t alignment) {
    size_t inside = align_up(size, root.fixed.page_size);
    uintptr_t start = size <= PTRDIFF_MAX / 2 ? reserve_fenced(inside, alignment) : 0;
    if (start == 0) {
        return NULL;
    }
    uintptr_t address = align_down(start + inside - size, max_size(alignment, BLOCK_ALIGN));
    struct mapping mapping = {
        .address = address,
        .size = start + inside - address,
        .start = start,
        .length = inside,
        .asked = size,
    };
    if (!os_commit((void *)start, inside) || !mapping_record(&mapping)) {
        (void)unmap_fenced(&mapping);
        return NULL;
    }
    fill_borders(&mapping);
    event_raise(EVENT_MAPPING_MADE, (void *)address, size, 0, 1);
    return (void *)address;
}

// pre: locked.
static struct mapping forget_oldest(void) {
    struct mapping oldest = kept.blocks[0];
    kept.count--;
    kept.bytes -= oldest.length;
    memmove(kept.blocks, kept.blocks + 1, kept.count * sizeof(kept.blocks[0]));
    return oldest;
}

// Keeps the mapping if there is room. False: `oldest` is to be unmapped first.
static bool keep(const struct mapping *mapping, struct mapping *oldest) {
    os_lock(&kept.lock);
    if (kept.blocks == NULL) {
        kept.blocks = meta_take_for_good(KEPT_MAX * sizeof(kept.blocks[0]));
    }
    bool ready = kept.blocks != NULL;
    bool room = ready && kept.count < KEPT_MAX && kept.bytes + mapping->length <= KEPT_BYTES_MAX;
    if (room) {
        kept.blocks[kept.count++] = *mapping;
        kept.bytes += mapping->length;
    } else {
        *oldest = ready && kept.count > 0 ? forget_oldest() : *mapping;
    }
    os_unlock(&kept.lock);
    return room;
}

// A freed one whose time is over. If the kernel cannot split the mapping, the addresses stay.
static void let_go(const struct mapping *mapping) {
    (void)unmap_fenced(mapping);
}

// False: no freed block's addresses are kept.
static bool give_up_oldest(void) {
    struct mapping oldest = {.address = 0};
    os_lock(&kept.lock);
    if (kept.count > 0) {
        oldest = forget_oldest();
    }
    os_unlock(&kept.lock);
    if (oldest.address != 0) {
        let_go(&oldest);
    }
    return oldest.address != 0;
}

// Where addresses or mappings run out, those of freed blocks serve.
void *fence_new(size_t size, size_t alignment) {
    void *block = fence_try(size, alignment);
    while (block == NULL && size <= KEPT_BYTES_MAX && give_up_oldest()) {
        block = fence_try(size, alignment);
    }
    return block;
}

void fence_free(void *block, const char *function) {
    struct mapping mapping;
    if (!mapping_forget(block, &mapping)) {
        panic_misuse(function, "double free of", block);
    }
    check_borders(&mapping, function);
    event_raise(EVENT_MAPPING_GONE, block, mapping.asked, 0, 1);
    (void)os_purge((void *)mapping.start, mapping.length);
    allowance_give(mapping.length);
    if (!os_make_inaccessible((void *)mapping.start, mapping.length)) {
        let_go(&mapping);
        return;
    }
    struct mapping oldest = mapping;
    while (!keep(&mapping, &oldest)) {
        let_go(&oldest);
        if (oldest.address == mapping.address) {
            break; // too large to be kept at all
        }
    }
}

bool fence_was(const void *block) {
    bool found = false;
    os_lock(&kept.lock);
    for (uint32_t i = 0; i < kept.count; i++) {
        found = found || kept.blocks[i].address == (uintptr_t)block;
    }
    os_unlock(&kept.lock);
    return found;
}

// A thread that was cut off in the middle may have left one entry twice: addresses that stay
// reserved harm nobody, addresses unmapped twice would.
void fence_after_fork(void) {
    if (atomic_load(&kept.lock) != 0) {
        kept.count = 0;
        kept.bytes = 0;
        atomic_store(&kept.lock, 0);
    }
}
