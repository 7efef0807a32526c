// Threads that live for two calls: each allocates one block and frees the one its predecessor
// left. The cost is the start and the end of a thread's heap.
// Arguments: THREADS (in all) ABREAST (at a time)
#include <stdatomic.h>

#include "team.h"

static void *_Atomic parcel;

static void *work(void *member) {
    struct member *me = member;
    void *mine = item_mark(calloc(1, 200), 200, 7);
    void *old = atomic_exchange(&parcel, mine);
    if (old != NULL) {
        me->sum = item_free(old);
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    uint32_t threads = argument(argc, argv, 1, 2000);
    uint32_t abreast = argument(argc, argv, 2, 4);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < threads; i += abreast) {
        sum += team_run(team, abreast, work, NULL);
    }
    sum += item_free(atomic_load(&parcel));
    return report(sum);
}
