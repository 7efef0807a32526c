#include "guard.h"

#include "canary.h"
#include "meta.h"
#include "options.h"
#include "os/os.h"
#include "panic.h"
#include "root.h"
#include "stacktrace.h"
#include "text.h"

#include <string.h>

#define MARGIN 32u         // bytes on either side of a block that are checked when it is freed
#define LEFT_OF_SAMPLES 4u // one in so many lies at the start of its page

static struct guard guard;

// Slot i's page is page 2 * i + 1 of the pool; the pages between are never accessible.
static uintptr_t slot_page(const struct guard_slot *slot) {
    return guard.start + (2 * (uintptr_t)(slot - guard.slots) + 1) * root.fixed.page_size;
}

bool guard_holds(const void *pointer) {
    return (uintptr_t)pointer - guard.start < guard.length;
}

// The slot whose page is nearest to an address of the pool: an access just outside a page belongs
// to the block that lies at that end.
static struct guard_slot *slot_near(uintptr_t address) {
    size_t page = root.fixed.page_size;
    size_t number = (address - guard.start) / page;
    if (number % 2 == 1) {
        return &guard.slots[number / 2];
    }
    size_t right = number / 2 < GUARD_SLOTS ? number / 2 : GUARD_SLOTS - 1;
    size_t left = number / 2 > 0 ? number / 2 - 1 : 0;
    const struct guard_slot *after = &guard.slots[right];
    bool touches = after->address == slot_page(after) && atomic_load(&after->state) != SLOT_NEW;
    return address % page < page / 2 || !touches ? &guard.slots[left] : &guard.slots[right];
}

// ---- reports ------------------------------------------------------------------------------------

static void print_calls(const char *what, uint32_t tid, const uint64_t *frames, unsigned count) {
    char buffer[120];
    struct text line = text_begin(buffer, sizeof(buffer));
    text_add(&line, "  ");
    text_add(&line, what);
    if (tid != 0) {
        text_add(&line, " by thread ");
        text_add_number(&line, tid);
    }
    text_add(&line, count > 0 ? ":\n" : " (calls not known)\n");
    os_write(2, line.start, line.length);
    stacktrace_print(frames, count);
}

static void print_history(const struct guard_slot *slot) {
    print_calls("allocated", slot->alloc_tid, slot->alloc_stack, slot->alloc_count);
    if (atomic_load(&slot->state) == SLOT_FREED) {
        print_calls("freed", slot->free_tid, slot->free_stack, slot->free_count);
    }
}

static _Noreturn void panic_guarded(const struct guard_slot *slot, const char *function,
                                    const char *kind, const void *pointer) {
    panic_describe(function, kind, pointer);
    print_history(slot);
    os_abort();
}

static void add_place(struct text *line, const struct guard_slot *slot, uintptr_t address) {
    if (address < slot->address) {
        text_add_number(line, slot->address - address);
        text_add(line, " bytes before the ");
    } else if (address >= slot->address + slot->size) {
        text_add_number(line, address - (slot->address + slot->size));
        text_add(line, " bytes behind the ");
    } else {
        text_add_number(line, address - slot->address);
        text_add(line, " bytes into the ");
    }
    text_add_number(line, slot->size);
    text_add(line, "-byte block ");
    text_add_hex(line, slot->address);
}

// In the signal handler.
static COLD bool report_access(const struct os_access *access) {
    static const char *const names[] = {
        [OS_ACCESS_UNKNOWN] = "access", [OS_ACCESS_READ] = "read", [OS_ACCESS_WRITE] = "write"};
    if (!guard_holds((void *)access->address)) {
        return false;
    }
    const struct guard_slot *slot = slot_near(access->address);
    bool freed = atomic_load(&slot->state) == SLOT_FREED;
    const char *kind = freed                             ? "use after free at"
                       : access->address < slot->address ? "buffer underflow at"
                                                         : "buffer overflow at";
    char buffer[400];
    struct text line = panic_begin(buffer, sizeof(buffer) - 1);
    text_add(&line, names[access->kind]);
    text_add(&line, ": ");
    text_add(&line, kind);
    text_add_char(&line, ' ');
    text_add_hex(&line, access->address);
    text_add(&line, " (");
    add_place(&line, slot, access->address);
    text_add(&line, ")\n");
    os_write(2, line.start, line.length);
    uint64_t frames[GUARD_FRAMES];
    frames[0] = access->code;
    unsigned count = access->code != 0;
    if (access->stack != 0) {
        count += stacktrace_collect(access->stack, frames + count, GUARD_FRAMES - count);
    }
    print_calls(names[access->kind], os_thread_id(), frames, count);
    print_history(slot);
    return true;
}

// ---- blocks -------------------------------------------------------------------------------------

// pre: locked. False: no memory or no address space; not tried again.
static bool pool_ready(void) {
    if (guard.length == 0 && !guard.failed) {
        size_t length = (2 * GUARD_SLOTS + 1) * root.fixed.page_size;
        guard.slots = meta_take_for_good(GUARD_SLOTS * sizeof(struct guard_slot));
        void *start = guard.slots != NULL ? os_reserve(length) : NULL;
        if (start == NULL) {
            guard.failed = 1;
            return false;
        }
        os_name(start, length, "lucid guard pages");
        guard.start = (uintptr_t)start;
        guard.slot_count = GUARD_SLOTS;
        root.live.guard = &guard;
        __atomic_store_n(&guard.length, length, __ATOMIC_RELEASE);
    }
    return guard.length != 0;
}

// The slot that has been out of use for longest. NULL: all are in use.
static struct guard_slot *slot_take(void) {
    struct guard_slot *slot = NULL;
    os_lock(&guard.lock);
    for (unsigned i = 0; i < GUARD_SLOTS && slot == NULL && pool_ready(); i++) {
        struct guard_slot *next = &guard.slots[guard.next++ % GUARD_SLOTS];
        uint32_t state = atomic_load(&next->state);
        if (state == SLOT_NEW || state == SLOT_FREED) {
            slot = next;
            slot->size = 0; // no access is explained by it until it is whole again
            atomic_store(&slot->state, SLOT_USED);
        }
    }
    os_unlock(&guard.lock);
    return slot;
}

static void fill_margins(const struct guard_slot *slot) {
    uintptr_t page = slot_page(slot);
    uintptr_t from = max_size(page, slot->address - MARGIN);
    uintptr_t to = min_size(page + root.fixed.page_size, slot->address + slot->size + MARGIN);
    int fill = canary_fill(canary_key(root.fixed.mark, slot->address));
    memset((void *)from, fill, slot->address - from);
    memset((void *)(slot->address + slot->size), fill, to - slot->address - slot->size);
}

// The first byte of a margin that was written to, or 0.
static uintptr_t damaged_margin(const struct guard_slot *slot) {
    uintptr_t page = slot_page(slot);
    uintptr_t from = max_size(page, slot->address - MARGIN);
    uintptr_t to = min_size(page + root.fixed.page_size, slot->address + slot->size + MARGIN);
    uint8_t fill = canary_fill(canary_key(root.fixed.mark, slot->address));
    for (uintptr_t at = from; at < to; at++) {
        bool inside = at >= slot->address && at < slot->address + slot->size;
        if (!inside && *(const uint8_t *)at != fill) {
            return at;
        }
    }
    return 0;
}

static COLD void *block_new(size_t size) {
    static _Atomic uint32_t handler;
    if (atomic_exchange(&handler, 1) == 0) {
        (void)os_on_access_fault(report_access); // without it a fault ends the program unexplained
    }
    struct guard_slot *slot = slot_take();
    if (slot == NULL) {
        return NULL;
    }
    size_t page = root.fixed.page_size;
    if (!os_commit((void *)slot_page(slot), page)) {
        atomic_store(&slot->state, SLOT_NEW);
        return NULL;
    }
    bool left = root_random() % LEFT_OF_SAMPLES == 0;
    slot->address = left ? slot_page(slot) : align_down(slot_page(slot) + page - size, BLOCK_ALIGN);
    slot->size = size;
    slot->alloc_tid = os_thread_id();
    slot->alloc_count =
        stacktrace_collect((uintptr_t)__builtin_frame_address(0), slot->alloc_stack, GUARD_FRAMES);
    fill_margins(slot);
    return (void *)slot->address;
}

// Every thread comes here at least once, so it is not COLD.
NOINLINE void *guard_sample(struct heap *heap, size_t size) {
    uint64_t rate = root.live.options.value[OPTION_GUARD];
    if (rate == 0) {
        heap->guard_next = UINT64_MAX;
        return NULL;
    }
    bool first = heap->guard_next == 0;
    if (first) { // the thread's count has only just begun; a short life pays nothing
        heap->guard_next = heap->counters.refill_blocks + rate;
    }
    heap->guard_next += 1 + root_random() % (2 * rate - 1);
    return first || size > root.fixed.page_size ? NULL : block_new(size);
}

COLD size_t guard_size(const void *pointer, const char *function) {
    const struct guard_slot *slot = slot_near((uintptr_t)pointer);
    bool looks = function[0] == 'r' || function[0] == 'm'; // as in block.c
    if (atomic_load(&slot->state) == SLOT_FREED) {
        panic_guarded(slot, function, looks ? "use of the free block" : "double free of", pointer);
    }
    if ((uintptr_t)pointer != slot->address || atomic_load(&slot->state) != SLOT_USED) {
        panic_guarded(slot, function, "pointer into the middle of a block", pointer);
    }
    return slot->size;
}

COLD void guard_free(void *pointer, const char *function) {
    struct guard_slot *slot = slot_near((uintptr_t)pointer);
    uintptr_t damage = damaged_margin(slot);
    if (damage != 0) {
        panic_guarded(slot, function,
                      damage < slot->address ? "buffer underflow of" : "buffer overflow of",
                      pointer);
    }
    uint32_t used = SLOT_USED;
    if (!atomic_compare_exchange_strong(&slot->state, &used, SLOT_FREEING)) {
        panic_guarded(slot, function, "double free of", pointer);
    }
    slot->free_tid = os_thread_id();
    slot->free_count =
        stacktrace_collect((uintptr_t)__builtin_frame_address(0), slot->free_stack, GUARD_FRAMES);
    // If the kernel refuses, uses after free go unnoticed.
    (void)os_purge((void *)slot_page(slot), root.fixed.page_size);
    (void)os_make_inaccessible((void *)slot_page(slot), root.fixed.page_size);
    atomic_store(&slot->state, SLOT_FREED);
}

void guard_after_fork(void) {
    atomic_store(&guard.lock, 0);
}
