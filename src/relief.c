#include "relief.h"

#include "allowance.h"
#include "bin.h"
#include "harden.h"
#include "heap.h"
#include "idle.h"
#include "os/os.h"
#include "release.h"

#include <errno.h>

static struct {
    _Atomic uint32_t lock;
    int (*callback)(void *context, size_t size);
    void *context;
} asked;

// A callback that runs into the limit itself is not called again for that. It is one that returns.
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

void relief_ask(int (*callback)(void *context, size_t size), void *context) {
    os_lock(&asked.lock);
    asked.callback = callback;
    asked.context = context;
    os_unlock(&asked.lock);
}

#define OTHERS_PAUSE_MS 1000u // between two times that all other threads are asked
#define WAITS_MAX 100u        // for what others give back, in one request

// Spans that only this thread's bins or the quarantine kept end, for blocks of any other size. At a
// limit dirty units become clean ones, which any other request can take up the allowance of.
COLD void relief_give_back(void) {
    if (heap_mine() != heap_of_nobody()) {
        bin_empty_all(heap_mine(), "malloc");
    }
    if (harden_on()) {
        harden_empty_quarantine("malloc");
    }
    if (allowance_is_limited()) {
        (void)release_dirty(0, 0);
    }
}

static bool ask_the_program(size_t size) {
    os_lock(&asked.lock);
    int (*callback)(void *, size_t) = asked.callback;
    void *context = asked.context;
    os_unlock(&asked.lock);
    if (callback == NULL || inside) {
        return false;
    }
    int saved = errno; // a request that succeeds in the end leaves it alone
    inside = true;
    bool again = callback(context, size) != 0;
    inside = false;
    errno = saved;
    return again;
}

// Threads that sleep keep spans by what they have in their bins. To get at it takes a while, which
// a program that lives at its limit is not to spend on each request.
static bool empty_other_threads(void) {
    static _Atomic uint32_t last;
    uint32_t now = (uint32_t)os_now_ms();
    uint32_t before = atomic_load(&last);
    if ((before != 0 && now - before < OTHERS_PAUSE_MS) || !idle_take_all(heap_mine())) {
        return false;
    }
    atomic_store(&last, now | 1);
    return true;
}

COLD bool relief_again(struct relief *relief, size_t size, size_t alignment) {
    bool limited = allowance_is_limited();
    uint64_t arena = atomic_load(&root.live.reach) * BLOCK_ALIGN;
    uint64_t most = limited ? root.live.allowance.most : arena;
    if (max_size(size, alignment) > most || atomic_load(&root.live.ready) == 0) {
        return false; // nothing of that size could become free, or there was no start yet
    }
    if (relief->waits < WAITS_MAX && release_came_back(&relief->ended)) {
        relief->waits++;
        return true;
    }
    unsigned attempt = ++relief->attempts;
    return attempt == 1 || (attempt == 2 && empty_other_threads()) ||
           (limited && ask_the_program(size));
}

void relief_after_fork(void) {
    atomic_store(&asked.lock, 0);
}
