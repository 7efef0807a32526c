#include "binsize.h"

#include "loose.h"
#include "root.h"

static size_t used(void) {
    return root_used_units() << UNIT_SHIFT;
}

// A thread's share of so many bytes: blocks have no owner, so that all have the same.
static size_t share_of(size_t bytes) {
    uint32_t threads = __atomic_load_n(&root.live.threads, __ATOMIC_RELAXED);
    return threads > 1 ? bytes / threads : bytes;
}

// A burst of tiny blocks should fit into the bin. One of larger blocks holds memory that other
// classes and threads could use, so that it may be as large only where that is a small part of what
// the thread uses.
static size_t bytes_least(size_t size) {
    if (size <= BIN_BURST_SIZE) {
        return BIN_BYTES_MAX;
    }
    if (size <= 1024) {
        return BIN_BYTES_MAX / 4; // of these there are 48 classes, which may all be in use
    }
    return size <= 4096 ? BIN_BYTES_MAX / 2 : BIN_BYTES_MAX / 4;
}

static unsigned slots_in(size_t bytes, size_t size) {
    return (unsigned)max_size(min_size(bytes / size, BIN_SLOTS_MAX), 1);
}

unsigned binsize_limit(unsigned class) {
    size_t size = sizeclass_size(class);
    size_t bytes = max_size(share_of(used() / BIN_SHARE), bytes_least(size));
    return slots_in(min_size(bytes, BIN_BYTES_MAX), size);
}

unsigned binsize_first(unsigned class) {
    unsigned first = sizeclass_size(class) <= BIN_BURST_SIZE ? BIN_SLOTS_MIN : BIN_SLOTS_MIN / 2;
    return (unsigned)min_size(first, binsize_limit(class));
}

// What all bins of the thread may have room for together before none may exceed its limit any more.
static size_t room_for_all(void) {
    size_t kept = loose_units() << UNIT_SHIFT; // which nobody uses
    size_t room = max_size((used() > kept ? used() - kept : 0) / BIN_ROOM_SHARE, BIN_ROOM_MIN);
    return share_of(min_size(room, BIN_ROOM_MAX));
}

static bool may_exceed_limit(const struct heap *heap, unsigned class) {
    if (sizeclass_size(class) <= BIN_BURST_SIZE) {
        return false; // holds a burst as it is
    }
    return heap->streak[class] >= BIN_STREAK;
}

unsigned binsize_most(const struct heap *heap, unsigned class) {
    unsigned capacity = heap->capacity[class];
    unsigned limit = binsize_limit(class);
    if (capacity < limit || !may_exceed_limit(heap, class)) {
        return limit;
    }
    size_t room = room_for_all();
    size_t left = room > heap->room ? room - heap->room : 0;
    return (unsigned)min_size(capacity + left / sizeclass_size(class), BIN_SLOTS_MAX);
}

bool binsize_lacks_room(const struct heap *heap, unsigned class) {
    unsigned twice = heap->capacity[class] * 2u;
    if (heap->events - heap->searched < BIN_STILL_EVENTS) {
        return false; // searched a moment ago
    }
    if (!may_exceed_limit(heap, class)) {
        return false;
    }
    return binsize_most(heap, class) < min_size(twice, BIN_SLOTS_MAX);
}

unsigned binsize_stillest(const struct heap *heap) {
    unsigned found = 0;
    uint32_t longest = BIN_STILL_EVENTS;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        uint32_t still = heap->events - heap->last_event[class];
        if (still > longest && heap->capacity[class] > binsize_first(class)) {
            longest = still;
            found = class;
        }
    }
    return found;
}
