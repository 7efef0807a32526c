#include "mapping.h"

#include "allowance.h"
#include "event.h"
#include "filled.h"
#include "huge.h"
#include "os/os.h"
#include "root.h"

#define SPARSE_MIN ((size_t)1 << 30)

static struct mapping_table *table(void) {
    return &root.live.mappings;
}

static uint32_t hash(uint64_t address, uint32_t capacity) {
    return (uint32_t)((address >> 12) * 0x9e3779b97f4a7c15u >> 32) & (capacity - 1);
}

// The entry of an address, or the empty one where it would go. pre: lock held, capacity > 0.
static struct mapping *slot_of(struct mapping *entries, uint32_t capacity, uint64_t address) {
    uint32_t i = hash(address, capacity);
    while (entries[i].address != 0 && entries[i].address != address) {
        i = (i + 1) & (capacity - 1);
    }
    return &entries[i];
}

static size_t table_bytes(uint32_t capacity) {
    return align_up(capacity * sizeof(struct mapping), root.fixed.page_size);
}

// pre: lock held. Readers outside may be copying the old table; it stays whole until it is gone.
static bool make_room(void) {
    struct mapping_table *t = table();
    if (t->count * 2 < t->capacity) {
        return true;
    }
    uint32_t capacity = t->capacity == 0 ? 64 : t->capacity * 2;
    struct mapping *entries = os_map_fenced(table_bytes(capacity));
    if (entries == NULL) {
        return t->count + 1 < t->capacity; // slower, still right
    }
    for (uint32_t i = 0; i < t->capacity; i++) {
        if (t->entries[i].address != 0) {
            *slot_of(entries, capacity, t->entries[i].address) = t->entries[i];
        }
    }
    struct mapping *old = t->entries;
    uint32_t old_capacity = t->capacity;
    // The child of a fork in between finds the new table complete under its second name.
    t->next_capacity = capacity;
    atomic_signal_fence(memory_order_seq_cst);
    t->next_entries = entries;
    atomic_signal_fence(memory_order_seq_cst);
    t->entries = entries;
    t->capacity = capacity;
    allowance_add(table_bytes(capacity) - (old != NULL ? table_bytes(old_capacity) : 0));
    atomic_signal_fence(memory_order_seq_cst);
    t->next_entries = NULL;
    if (old != NULL) {
        (void)os_unmap_fenced(old, table_bytes(old_capacity));
    }
    return true;
}

// ---- the list of a region's mappings; pre: lock held -------------------------------------------

static void set_before(uint64_t address, uint64_t before) {
    if (address != 0) {
        slot_of(table()->entries, table()->capacity, address)->before = before;
    }
}

static void list_add(struct mapping *mapping) {
    struct lucid_region *region = mapping->region;
    if (region != NULL) {
        mapping->before = 0;
        mapping->behind = region->first_mapping;
        set_before(mapping->behind, mapping->address);
        region->first_mapping = mapping->address;
    }
}

static void list_remove(const struct mapping *mapping) {
    struct lucid_region *region = mapping->region;
    if (region == NULL) {
        return;
    }
    if (mapping->before == 0) {
        region->first_mapping = mapping->behind;
    } else {
        slot_of(table()->entries, table()->capacity, mapping->before)->behind = mapping->behind;
    }
    set_before(mapping->behind, mapping->before);
}

// ---- the table ---------------------------------------------------------------------------------

// At every instant the entry is whole or has no address.
static void put(struct mapping *entry, const struct mapping *mapping) {
    uint64_t address = mapping->address;
    entry->address = 0;
    atomic_signal_fence(memory_order_seq_cst);
    entry->size = mapping->size;
    entry->start = mapping->start;
    entry->length = mapping->length;
    entry->asked = mapping->asked;
    entry->region = mapping->region;
    entry->before = mapping->before;
    entry->behind = mapping->behind;
    atomic_signal_fence(memory_order_seq_cst);
    entry->address = address;
}

// pre: lock held, count < capacity.
static void insert(const struct mapping *mapping) {
    struct mapping_table *t = table();
    struct mapping *entry = slot_of(t->entries, t->capacity, mapping->address);
    put(entry, mapping);
    list_add(entry);
    t->count++;
    t->bytes += mapping->length;
    t->asked += mapping->asked;
    t->most_count = t->count > t->most_count ? t->count : t->most_count;
    t->most_bytes = t->bytes > t->most_bytes ? t->bytes : t->most_bytes;
}

bool mapping_record(const struct mapping *mapping) {
    if (!allowance_take(mapping->length)) {
        return false;
    }
    os_lock(&table()->lock);
    bool room = make_room();
    if (room) {
        insert(mapping);
    }
    os_unlock(&table()->lock);
    if (!room) {
        allowance_give(mapping->length);
    }
    return room;
}

// pre: lock held. Entries behind the hole move up so that no search stops early.
static void erase(struct mapping *entry) {
    struct mapping_table *t = table();
    list_remove(entry);
    t->count--;
    t->bytes -= entry->length;
    t->asked -= entry->asked;
    uint32_t hole = (uint32_t)(entry - t->entries);
    uint32_t i = hole;
    for (;;) {
        i = (i + 1) & (t->capacity - 1);
        if (t->entries[i].address == 0) {
            break;
        }
        uint32_t home = hash(t->entries[i].address, t->capacity);
        if (((i - home) & (t->capacity - 1)) >= ((i - hole) & (t->capacity - 1))) {
            put(&t->entries[hole], &t->entries[i]);
            hole = i;
        }
    }
    put(&t->entries[hole], &(struct mapping){.address = 0});
}

bool mapping_forget(const void *block, struct mapping *found) {
    os_lock(&table()->lock);
    struct mapping *entry = NULL;
    if (table()->capacity > 0) {
        entry = slot_of(table()->entries, table()->capacity, (uintptr_t)block);
    }
    bool known = entry != NULL && entry->address != 0 && block != NULL;
    if (known) {
        *found = *entry;
        erase(entry);
    }
    os_unlock(&table()->lock);
    return known;
}

// Maps `length` bytes at a multiple of `alignment` that is not below a page. False: no memory.
static bool map_aligned(size_t length, size_t alignment, struct mapping *mapping) {
    size_t spare = alignment - root.fixed.page_size;
    if (length + spare < length || length + spare > PTRDIFF_MAX) {
        return false;
    }
    // Most of a mapping for a large alignment is cut off again: the kernel must not think that all
    // of it will be used, and refuse.
    bool sparse = spare >= SPARSE_MIN;
    uintptr_t start = (uintptr_t)(sparse ? os_reserve(length + spare) : os_map(length + spare));
    if (start == 0) {
        return false;
    }
    uintptr_t address = align_up(start, alignment);
    // Cut off what the alignment did not need; a piece the kernel will not take back stays part
    // of the mapping.
    uintptr_t end = start + length + spare;
    if (address > start && os_unmap((void *)start, address - start)) {
        start = address;
    }
    if (end > address + length && os_unmap((void *)(address + length), end - address - length)) {
        end = address + length;
    }
    if (sparse && !os_commit((void *)address, end - address)) {
        (void)os_unmap((void *)start, end - start);
        return false;
    }
    mapping->address = address;
    mapping->size = end - address;
    mapping->start = start;
    mapping->length = end - start;
    return true;
}

void *mapping_new(size_t size, size_t alignment, struct lucid_region *region) {
    struct mapping mapping = {.asked = size, .region = region};
    size_t length = align_up(size, root.fixed.page_size);
    if (length < size ||
        !map_aligned(length, max_size(alignment, root.fixed.page_size), &mapping)) {
        return NULL;
    }
    if (!mapping_record(&mapping)) {
        (void)os_unmap((void *)mapping.start, mapping.length);
        return NULL;
    }
    huge_mapping(mapping.start, mapping.length);
    event_raise(EVENT_MAPPING_MADE, (void *)mapping.address, size, 0, 1);
    return (void *)mapping.address;
}

bool mapping_find(const void *block, struct mapping *found) {
    bool known = false;
    os_lock(&table()->lock);
    if (table()->capacity > 0 && block != NULL) {
        *found = *slot_of(table()->entries, table()->capacity, (uintptr_t)block);
        known = found->address != 0;
    }
    os_unlock(&table()->lock);
    return known;
}

COLD bool mapping_around(const void *pointer, struct mapping *found) {
    const struct mapping_table *t = table();
    bool known = false;
    os_lock(&table()->lock);
    for (uint32_t i = 0; i < t->capacity && !known; i++) {
        *found = t->entries[i];
        known = found->address != 0 && (uintptr_t)pointer - found->address < found->size;
    }
    os_unlock(&table()->lock);
    return known;
}

// pre: it is in the table no more.
static void end(const struct mapping *mapping) {
    filled_mapping_ends(mapping->address);
    if (!os_unmap((void *)mapping->start, mapping->length)) {
        // Out of mappings: at least its memory goes back. The address space stays used.
        (void)os_purge((void *)mapping->start, mapping->length);
    }
    allowance_give(mapping->length);
    event_raise(EVENT_MAPPING_GONE, (void *)mapping->address, mapping->asked, 0, 1);
}

bool mapping_free(const void *block) {
    struct mapping mapping;
    if (!mapping_forget(block, &mapping)) {
        return false;
    }
    end(&mapping);
    return true;
}

static bool forget_first(const struct lucid_region *region, struct mapping *found) {
    struct mapping_table *t = table();
    os_lock(&t->lock);
    bool known = region->first_mapping != 0;
    if (known) {
        struct mapping *entry = slot_of(t->entries, t->capacity, region->first_mapping);
        *found = *entry;
        erase(entry);
    }
    os_unlock(&t->lock);
    return known;
}

void mapping_free_all(const struct lucid_region *region) {
    struct mapping found;
    while (forget_first(region, &found)) {
        event_raise(EVENT_FREE, (void *)found.address, found.size, 0, 1);
        end(&found);
    }
}

// What grows by a good part of itself will be filled up to its new end; what grows little by little
// would be refused each time.
static void *move(const struct mapping *mapping, size_t length) {
    bool parts;
    filled_mapping_ends(mapping->address);
    void *start = os_remap((void *)mapping->start, mapping->length, length, &parts);
    if (start != NULL || !parts) {
        return start;
    }
    huge_mapping_join(mapping->start, mapping->length);
    start = os_remap((void *)mapping->start, mapping->length, length, &parts);
    if (start == NULL) {
        huge_mapping_part(mapping->start, mapping->length);
    } else if (length - mapping->length >= mapping->length / HUGE_MAPPING_SHARE) {
        huge_mapping_part((uintptr_t)start, length);
    }
    return start;
}

// The lock is kept over the system call: a mapping that is in no table while it moves could not
// be put back if the table had no room for it afterwards.
void *mapping_resize(const void *block, size_t size) {
    size_t length = align_up(size, root.fixed.page_size);
    if (length < size || length > PTRDIFF_MAX || block == NULL || table()->capacity == 0) {
        return NULL;
    }
    void *result = NULL;
    os_lock(&table()->lock);
    struct mapping *entry = slot_of(table()->entries, table()->capacity, (uintptr_t)block);
    if (entry->address != 0) {
        struct mapping mapping = *entry;
        size_t front = mapping.address - mapping.start;
        size_t more = front + length > mapping.length ? front + length - mapping.length : 0;
        size_t less = more == 0 ? mapping.length - front - length : 0;
        void *start = NULL;
        if (more == 0 || allowance_take(more)) {
            start = move(&mapping, front + length);
            allowance_give(start != NULL ? less : more);
        }
        if (start != NULL) {
            erase(entry);
            mapping.start = (uintptr_t)start;
            mapping.address = mapping.start + front;
            mapping.length = front + length;
            mapping.size = length;
            mapping.asked = size;
            insert(&mapping);
            result = (void *)mapping.address;
        }
    }
    os_unlock(&table()->lock);
    return result;
}

// Entries that another thread was moving may be there twice, or out of reach of a search.
static void rehash(struct mapping_table *t) {
    struct mapping *entries = os_map_fenced(table_bytes(t->capacity));
    if (entries == NULL) {
        return;
    }
    t->count = 0;
    t->bytes = 0;
    t->asked = 0;
    for (uint32_t i = 0; i < t->capacity; i++) {
        uint64_t address = t->entries[i].address;
        struct mapping *slot = address != 0 ? slot_of(entries, t->capacity, address) : NULL;
        if (slot != NULL && slot->address == 0) {
            *slot = t->entries[i];
            t->count++;
            t->bytes += slot->length;
            t->asked += slot->asked;
        }
    }
    (void)os_unmap_fenced(t->entries, table_bytes(t->capacity));
    t->entries = entries;
}

// What could not be hashed anew may be there twice still.
void mapping_relink(void) {
    struct mapping_table *t = table();
    for (uint32_t i = 0; i < t->capacity; i++) {
        struct mapping *entry = &t->entries[i];
        if (entry->address != 0 && entry->region != NULL &&
            slot_of(t->entries, t->capacity, entry->address) == entry) {
            entry->region->mappings++;
            list_add(entry);
        }
    }
}

void mapping_after_fork(void) {
    struct mapping_table *t = table();
    if (t->next_entries != NULL) {
        t->entries = t->next_entries;
        t->capacity = t->next_capacity;
        t->next_entries = NULL;
    }
    if (atomic_load(&t->lock) != 0 && t->capacity > 0) {
        rehash(t);
    }
    atomic_store(&t->lock, 0);
}
