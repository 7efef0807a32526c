// lucid_stats_get: the account of the heap as a struct that may grow.
#include "figures.h"

#include "export.h"
#include "fork.h"
#include "init.h"
#include "os/os.h"

#include <errno.h>
#include <lucid.h>
#include <string.h>

#define SIZE_LEAST (offsetof(struct lucid_stats, live_blocks) + sizeof(uint64_t))
#define SIZE_MOST 4096u // a size that nobody set would have more than the caller's struct cleared

static void take_blocks(struct lucid_stats *stats, const struct account *account) {
    stats->small_blocks = account->used_blocks;
    stats->small_bytes = account->used_bytes - account->padding;
    stats->large_blocks = account->large_count;
    stats->large_bytes = account->large_asked;
    stats->mapping_blocks = account->mapping_count;
    stats->mapping_bytes = account->mapping_asked;
    stats->guarded_blocks = account->guarded_count;
    stats->guarded_bytes = account->guarded_bytes;
    stats->live_blocks =
        stats->small_blocks + stats->large_blocks + stats->mapping_blocks + stats->guarded_blocks;
    stats->live_bytes =
        stats->small_bytes + stats->large_bytes + stats->mapping_bytes + stats->guarded_bytes;
}

// One by one: while other threads work, each is right for an instant of its own, and differences
// must not wrap.
static uint64_t less(uint64_t from, uint64_t amount) {
    return from > amount ? from - amount : 0;
}

static void take_idle(struct lucid_stats *stats, const struct account *account) {
    uint64_t tables = account->guarded_count * root.fixed.page_size;
    uint64_t given = __atomic_load_n(&root.live.pool.purged_units, __ATOMIC_RELAXED) << UNIT_SHIFT;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        stats->spans += account->classes[class].spans;
        stats->free_bytes += account->classes[class].free * sizeclass_size(class);
    }
    stats->free_blocks = account->free_blocks;
    stats->cached_blocks = account->cached_blocks;
    stats->cached_bytes = account->cached_bytes;
    stats->fresh_bytes =
        less(account->span_bytes, account->used_bytes + account->cached_bytes + stats->free_bytes);
    stats->pool_bytes = account->pool_bytes;
    stats->dirty_bytes = account->pool_dirty_bytes;
    stats->top_bytes = account->top_bytes;
    stats->arena_bytes = account->arena_bytes;
    stats->mapped_bytes = account->mapping_bytes + tables;
    stats->slack_bytes = account->padding + less(account->large_bytes, account->large_asked) +
                         less(account->mapping_bytes, account->mapping_asked) +
                         less(tables, account->guarded_bytes);
    stats->metadata_bytes = account->meta_bytes;
    stats->returned_bytes = given + atomic_load(&root.live.giving.trimmed_bytes);
    stats->threads = account->threads;
}

bool figures_take(struct lucid_stats *stats, struct account *account) {
    if (!init_ready()) {
        errno = ENOMEM;
        return false;
    }
    fork_check();
    *stats = (struct lucid_stats){.size = sizeof(*stats)};
    walk_account(account);
    take_blocks(stats, account);
    take_idle(stats, account);
    size_t resident = 0;
    size_t peak = 0;
    (void)os_resident(&resident, &peak);
    stats->resident_bytes = resident;
    stats->peak_resident_bytes = peak;
    return true;
}

EXPORT int lucid_stats_get(struct lucid_stats *stats) {
    struct lucid_stats own;
    struct account account;
    if (stats == NULL || stats->size < SIZE_LEAST || stats->size > SIZE_MOST) {
        errno = EINVAL;
        return -1;
    }
    if (!figures_take(&own, &account)) {
        return -1;
    }
    // What an older library does not know stays 0; a newer one leaves out what was not asked for.
    size_t wanted = stats->size;
    own.size = min_size(wanted, sizeof(own));
    memset(stats, 0, wanted);
    memcpy(stats, &own, own.size);
    return 0;
}
