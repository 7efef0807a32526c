#include "helper.h"

#include "answer.h"
#include "forkwatch.h"
#include "idle.h"
#include "meta.h"
#include "options.h"
#include "os/os.h"
#include "release.h"
#include "trim.h"

#define STACK_BYTES ((size_t)16 << 10)
#define LOOK_MS_MIN (LUCID_STRESS ? 1u : 10u)
#define LOOK_MS_MAX 250u
#define AGE_GROWTH_HALVES 5u // how much longer than asked for memory may stay, by regret
#define REGRET_UNITS 64u     // as little as this is no regret
#define REGRET_FORGOTTEN_MS 10000u
#define TRIM_LOOKS 6u     // at spans, until they have settled
#define REFUSED_MS 10000u // before a system that refused is asked again

static struct giving *giving(void) {
    return &root.live.giving;
}

static uint32_t now_ms(void) {
    return (uint32_t)os_now_ms();
}

static uint32_t age_asked_for(void) {
    return (uint32_t)root.live.options.value[OPTION_PURGE_AGE];
}

// Memory that was wanted again soon after it went is left alone longer next time, within bounds:
// what has been free for long must go in any case.
static void learn(void) {
    struct giving *g = giving();
    uint64_t regrets = __atomic_load_n(&g->regret_units, __ATOMIC_RELAXED);
    uint32_t most = age_asked_for() * AGE_GROWTH_HALVES / 2;
    if (regrets - g->regrets_known > REGRET_UNITS) {
        g->age = g->age * 2 < most ? g->age * 2 : most;
        g->last_regret = now_ms();
    } else if (now_ms() - g->last_regret > REGRET_FORGOTTEN_MS || g->age > most) {
        g->age = age_asked_for();
    }
    g->regrets_known = regrets;
}

static bool is_wanted_at_once(void) {
    return answer_is_awaited() || atomic_load(&giving()->empty) != 0 ||
           atomic_load(&giving()->paused) != 0;
}

// `most`: no longer than that, 0: no limit. `heard`: how often it had been rung for before it last
// looked; whoever wants it at once says so first and rings then.
static void rest(uint32_t most, uint32_t *heard) {
    uint32_t age = giving()->age;
    uint32_t look = age / 2 < LOOK_MS_MAX ? age / 2 : LOOK_MS_MAX;
    look = look > age / 8 ? look : age / 8;
    look = most != 0 && most < look ? most : look;
    look = look > LOOK_MS_MIN ? look : LOOK_MS_MIN;
    if (!is_wanted_at_once()) {
        os_wait_while(&giving()->rings, *heard, look);
    }
    *heard = atomic_load(&giving()->rings);
}

static bool was_refused_lately(void) {
    uint32_t refused = __atomic_load_n(&giving()->refused, __ATOMIC_RELAXED);
    return refused != 0 && now_ms() - refused < REFUSED_MS;
}

static bool is_worth_staying(void) {
    return release_possible() > helper_keep_units() + helper_start_units() / 2;
}

// One look at the heap. False: there is nothing left to wait for. `wait`: the next look is due
// then. `last`: before it leaves, also the share goes that is kept at hand for programs that go on.
static bool look(uint32_t *wait, bool last) {
    struct giving *g = giving();
    bool asked = atomic_exchange(&g->empty, 0) != 0;
    bool purges = root.live.options.value[OPTION_PURGE] != 0;
    if (!purges && !asked) {
        return false; // it is here for a request only
    }
    bool taken = asked && idle_take_all(NULL);
    *wait = idle_look(age_asked_for(), &taken);
    atomic_fetch_or(&g->trim, taken);
    uint32_t trim = atomic_exchange(&g->trim, 0);
    if (trim != 0 && !trim_aged(g->age) && trim < TRIM_LOOKS) {
        uint32_t nobody_asked = 0; // some are too young; those that never settle are in use
        (void)atomic_compare_exchange_strong(&g->trim, &nobody_asked, trim + 1);
    }
    uint64_t keep = asked ? 0 : last ? helper_start_units() / 2 : helper_keep_units();
    if (asked) {
        (void)trim_all();
    }
    (void)release_dirty(keep, asked ? 0 : g->age);
    return purges && !was_refused_lately() &&
           (is_worth_staying() || *wait != 0 || atomic_load(&g->trim) != 0);
}

// Runs on the helper's own stack, see os_helper_start.
static void work(void) {
    struct giving *g = giving();
    bool last_look = false; // at all spans, before it leaves
    uint32_t wait = 0;
    uint32_t heard = atomic_load(&g->rings);
    for (;;) {
        rest(wait, &heard);
        fork_helper_works();
        answer_all();
        learn();
        bool paused = atomic_load(&g->paused) != 0;
        bool more = !paused && look(&wait, last_look);
        fork_helper_rests();
        if (more || (!paused && !last_look)) {
            last_look = last_look || !more;
            atomic_fetch_or(&g->trim, !more);
            continue;
        }
        uint32_t phase = HELPER_WORKS;
        if (atomic_compare_exchange_strong(&g->phase, &phase, HELPER_LEAVING)) {
            return;
        }
        atomic_store(&g->phase, HELPER_WORKS); // it was asked again
        last_look = false;
    }
}

// Where the process has rights, the helper makes sure that it has none (os/confine.c), or does not
// stay.
static void work_confined(void) {
    if (os_confine_helper()) {
        work();
        return;
    }
    __atomic_store_n(&giving()->refused, now_ms() | 1, __ATOMIC_RELAXED);
    atomic_store(&giving()->phase, HELPER_LEAVING);
}

void helper_prepare(void) {
    struct giving *g = giving();
    os_lock(&g->lock);
    if (g->stack == NULL) {
        g->stack = meta_take_for_good(STACK_BYTES);
    }
    os_unlock(&g->lock);
    if (root.live.fork_page == NULL) {
        fork_watch();
    }
}

// A program with one thread that restricts itself may be ended for any call of ours but those for
// memory, even for asking what is allowed. One with several lets threads come, but what a helper
// with rights needs first is not certain to pass.
static bool is_forbidden(void) {
    uint32_t restricted = __atomic_load_n(&giving()->restricted, __ATOMIC_RELAXED);
    return restricted == RESTRICTED ||
           (restricted == RESTRICTED_NO_RIGHTS && os_may_be_single_threaded());
}

// A program that began without rights gets some in namespaces of its own only. One that restricted
// itself had none then, or has no helper.
static bool has_rights(void) {
    bool may = os_began_with_rights() || __atomic_load_n(&giving()->moved, __ATOMIC_RELAXED) != 0;
    return may && !helper_is_restricted() && os_has_rights();
}

// pre: giving.lock is held, there is no helper.
static bool start(void) {
    struct giving *g = giving();
    if (g->stack == NULL) {
        g->stack = meta_take_for_good(STACK_BYTES);
    }
    // Those who watch spans come and go may count on a thread like any other.
    bool watched = (root.live.watch & (uint32_t)1 << EVENT_SPAN_GONE) != 0;
    if (g->stack == NULL || watched || is_forbidden() || !os_helper_allowed()) {
        return false;
    }
    if (root.live.fork_page == NULL) {
        fork_watch();
    }
    g->age = g->age == 0 ? age_asked_for() : g->age;
    atomic_store(&g->tid, HELPER_TID_UNKNOWN); // from here on this thread is not alone, see span.c
    atomic_store(&g->phase, HELPER_WORKS);
    void (*run)(void) = has_rights() ? work_confined : work;
    if (!os_helper_start(g->stack, STACK_BYTES, run, &g->tid, &root.live.fork_page->known)) {
        atomic_store(&g->tid, 0);
        return false;
    }
    g->starts++;
    return true;
}

// One that works has a number. It was killed if it has none: a vfork's child that could not be told
// for one had started it.
static uint32_t phase_now(void) {
    uint32_t phase = atomic_load(&giving()->phase);
    bool works = phase == HELPER_WORKS || phase == HELPER_WANTED;
    return works && atomic_load(&giving()->tid) == 0 ? HELPER_NONE : phase;
}

static void wait_until_gone(void) {
    struct giving *g = giving();
    for (uint32_t tid = atomic_load(&g->tid); tid != 0; tid = atomic_load(&g->tid)) {
        os_wait_while(&g->tid, tid, 10);
    }
}

static bool start_locked(void) {
    struct giving *g = giving();
    uint32_t phase = phase_now();
    if (phase == HELPER_WORKS || phase == HELPER_WANTED) {
        return true;
    }
    // One that is leaving has a handful of instructions left.
    wait_until_gone();
    if (atomic_load(&g->paused) != 0) {
        return true;
    }
    if (start()) {
        return true;
    }
    atomic_store(&g->phase, HELPER_NONE);
    if (fork_is_stale()) {
        return true; // a signal handler forked just now
    }
    __atomic_store_n(&g->refused, now_ms() | 1, __ATOMIC_RELAXED);
    return false;
}

// `anyway`: also when there could be no helper a moment ago.
static bool call(bool anyway) {
    struct giving *g = giving();
    uint32_t phase = phase_now();
    if (phase == HELPER_WANTED) {
        return true;
    }
    if (phase == HELPER_WORKS && atomic_compare_exchange_strong(&g->phase, &phase, HELPER_WANTED)) {
        return true;
    }
    if (atomic_load(&g->paused) != 0 || fork_is_stale()) {
        return true; // one that starts before the child has rebuilt its heap would be forgotten
    }
    if (!root.live.options.value[OPTION_HELPER] || (!anyway && was_refused_lately())) {
        return false;
    }
    if (helper_is_guest()) {
        return false; // it would end with the child of a vfork, wherever it is just then
    }
    if (!os_try_lock(&g->lock)) {
        return true; // somebody else is about to start it
    }
    bool started = start_locked();
    os_unlock(&g->lock);
    return started;
}

bool helper_call(void) {
    return call(false);
}

static void ring(void) {
    (void)atomic_fetch_add(&giving()->rings, 1);
    os_wake(&giving()->rings);
}

bool helper_call_now(void) {
    bool there = call(true);
    ring();
    return there;
}

void helper_pause(void) {
    struct giving *g = giving();
    (void)atomic_fetch_add(&g->paused, 1);
    ring();
    os_lock(&g->lock);
    wait_until_gone();
    os_unlock(&g->lock);
}

void helper_resume(void) {
    (void)atomic_fetch_sub(&giving()->paused, 1);
}

void helper_after_fork(void) {
    struct giving *g = giving();
    atomic_store(&g->lock, 0);
    atomic_store(&g->phase, HELPER_NONE);
    atomic_store(&g->tid, 0);
    atomic_store(&g->paused, 0);
    atomic_store(&g->empty, 0);
    answer_after_fork();
}
