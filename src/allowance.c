#include "allowance.h"

#include "cgroup.h"
#include "options.h"
#include "os/os.h"

static struct allowance *allowance(void) {
    return &root.live.allowance;
}

bool allowance_take(size_t bytes) {
    uint64_t most = __atomic_load_n(&allowance()->most, __ATOMIC_RELAXED);
    uint64_t taken = atomic_load_explicit(&allowance()->taken, memory_order_relaxed);
    do {
        if (most != 0 && (bytes > most || taken > most - bytes)) {
            (void)atomic_fetch_add_explicit(&allowance()->refused, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&allowance()->taken, &taken, taken + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void allowance_add(size_t bytes) {
    (void)atomic_fetch_add_explicit(&allowance()->taken, bytes, memory_order_relaxed);
}

void allowance_give(size_t bytes) {
    (void)atomic_fetch_sub_explicit(&allowance()->taken, bytes, memory_order_relaxed);
}

void allowance_set(uint64_t most) {
    __atomic_store_n(&allowance()->most, most, __ATOMIC_RELAXED);
}

// A share of what the control group allows, or of the machine's memory when that is less.
static uint64_t share(uint64_t percent) {
    uint64_t whole = os_memory_size();
    uint64_t group = cgroup_memory_limit(os_read_file);
    whole = group != 0 && (group < whole || whole == 0) ? group : whole;
    return whole / 100 * percent;
}

void allowance_begin(void (*complain)(const char *line)) {
    uint64_t value = root.live.options.value[OPTION_LIMIT];
    if (value == 0) {
        return;
    }
    uint64_t most = value <= 100 ? share(value) : value;
    if (most < LIMIT_MIN) {
        complain("limit: the share is less than 1M, or the size of the whole is unknown; there is "
                 "no limit");
        return;
    }
    allowance_set(most);
}

uint64_t allowance_counted(uint64_t units) {
    const struct root_live *live = &root.live;
    size_t table = live->mappings.capacity * sizeof(struct mapping);
    return (units << UNIT_SHIFT) + live->limit * (sizeof(struct run) + sizeof(struct unit)) +
           live->mappings.bytes + align_up(table, root.fixed.page_size) +
           (root.fixed.meta_end - live->meta_next) + root_hardened_bytes();
}

void allowance_after_fork(uint64_t units) {
    atomic_store(&allowance()->taken, allowance_counted(units));
}
