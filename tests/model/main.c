// The scenarios, and what is printed about them.
//   model            all of them
//   model --first    until one finds something broken, the short ones first
//   model NUMBER     one of them
//   model --orders   the same three, looking at the memory orders as well
#include "explore.h"
#include "root.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>

// Blocks and spans that the beginning of a scenario leaves to its threads.
static void *blocks[8];
static uint32_t held;

// What thread number n does; set up by the scenario's beginning.
struct scenario {
    const char *name;
    unsigned blocks; // of a span
    unsigned threads;
    void (*begin)(void);
    void (*run)(unsigned thread);
    bool huge; // with the memory orders it has millions of states: only when asked for by number
};

static void take_blocks(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = world_take_one(1);
    }
}

static void give(void *block) {
    world_give(1, &block, 1);
}

static void take_and_give(void) {
    void *block = world_take_one(1);
    if (block == NULL) {
        explore_broken("there is no memory although units are free");
    }
    give(block);
}

// ---- two givers empty a full span while two takers take -----------------------------------------

static void begin_full_span(void) {
    take_blocks(2);
}

static void givers_and_takers(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread]);
    } else {
        take_and_give();
    }
}

// ---- the same, and what the takers take stays out -----------------------------------------------

static void givers_and_keepers(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread]);
    } else if (world_take_one(1) == NULL) {
        explore_broken("there is no memory although units are free");
    }
}

// ---- a holder takes again and again while others give into its span -----------------------------

static void begin_held_span(void) {
    held = world_acquire(1, 0);
    blocks[0] = world_take(held);
    blocks[1] = world_take(held);
}

static void holder_and_givers(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread]);
        return;
    }
    void *first = world_take(held);
    void *second = world_take(held);
    world_release(held);
    if (first != NULL) {
        give(first);
    }
    if (second != NULL) {
        give(second);
    }
}

// ---- the holder keeps its span ------------------------------------------------------------------

static void begin_kept_span(void) {
    begin_held_span();
    world_keep_held(held);
}

static void keeper_and_givers(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread]);
    } else {
        void *block = world_take(held);
        if (block != NULL) {
            give(block);
        }
        (void)world_take(held);
    }
}

// ---- two listed spans, which givers empty while takers walk the list ----------------------------

static void begin_listed_spans(void) {
    take_blocks(4);
    give(blocks[0]);
    give(blocks[2]);
}

static void emptiers_and_takers(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread * 2 + 1]);
    } else {
        take_and_give();
    }
}

static void emptiers_and_keepers(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread * 2 + 1]);
    } else if (world_take_one(1) == NULL) {
        explore_broken("there is no memory although units are free");
    }
}

// ---- one block comes back into a full span, another stays out -----------------------------------

static void giver_and_taker(unsigned thread) {
    if (thread == 0) {
        give(blocks[0]);
    } else {
        take_and_give();
    }
}

// ---- blocks given together ----------------------------------------------------------------------

static void begin_three(void) {
    take_blocks(3);
}

static void pairs(unsigned thread) {
    if (thread == 0) {
        world_give(1, blocks, 2);
    } else if (thread == 1) {
        give(blocks[2]);
    } else {
        take_and_give();
        take_and_give();
    }
}

// ---- three threads make, fill, empty and destroy spans ------------------------------------------

static void begin_nothing(void) {
}

static void churn(unsigned thread) {
    (void)thread;
    void *first = world_take_one(1);
    void *second = world_take_one(1);
    if (first == NULL || second == NULL) {
        explore_broken("there is no memory although units are free");
    }
    give(first);
    give(second);
}

// ---- a thread that looks after listed spans -----------------------------------------------------

static void begin_one_listed(void) {
    take_blocks(1);
}

static void giver_taker_and_keeper(unsigned thread) {
    if (thread == 0) {
        give(blocks[0]);
    } else if (thread == 1) {
        take_and_give();
    } else {
        world_look_after(1);
        world_look_after(2);
    }
}

static void emptiers_and_keeper(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread * 2 + 1]);
    } else {
        world_look_after(1);
        world_look_after(2);
    }
}

// While the one looks, the other makes the span end, begin as one of another class, end again and
// begin as a full one of its first class.
static void lives_and_keeper(unsigned thread) {
    if (thread == 1) {
        world_look_after(1);
        return;
    }
    give(blocks[0]);
    void *other = world_take_one(2);
    world_give(2, &other, 1);
    uint32_t again = world_acquire(1, 0);
    (void)world_take(again);
    (void)world_take(again);
    world_release(again);
}

// ---- a span moves to another lane while givers empty it -----------------------------------------

static void giver_and_lanes(unsigned thread) {
    if (thread < 2) {
        give(blocks[thread]);
        return;
    }
    uint32_t head = world_acquire(1, 1);
    void *block = world_take(head);
    world_release(head);
    if (block != NULL) {
        give(block);
    }
}

static const struct scenario scenarios[] = {
    {"a holder that stays, two givers", 2, 3, begin_kept_span, keeper_and_givers, false},
    {"a giver into a full span, a taker", 2, 2, begin_full_span, giver_and_taker, false},
    {"a holder that lets go, two givers", 2, 3, begin_held_span, holder_and_givers, false},
    {"a holder that lets go, spans of three", 3, 3, begin_held_span, holder_and_givers, false},
    {"a giver, a taker, one who looks after", 2, 3, begin_one_listed, giver_taker_and_keeper,
     false},
    {"two listed spans, one who looks after", 2, 3, begin_listed_spans, emptiers_and_keeper, false},
    {"a unit of many lives, one who looks after", 2, 2, begin_one_listed, lives_and_keeper, false},
    {"two blocks at once, one giver, one taker", 3, 3, begin_three, pairs, false},
    {"two listed spans emptied, a taker", 2, 3, begin_listed_spans, emptiers_and_takers, false},
    {"a taker of another lane, two givers", 2, 3, begin_full_span, giver_and_lanes, false},
    {"two threads churn from nothing", 2, 2, begin_nothing, churn, false},
    {"two listed spans emptied, two keepers", 2, 4, begin_listed_spans, emptiers_and_keepers, true},
    {"two givers, two takers that keep", 2, 4, begin_full_span, givers_and_keepers, false},
    {"two givers, two takers that give again", 2, 4, begin_full_span, givers_and_takers, true},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static bool run_scenario(const struct scenario *scenario) {
    world_reset(scenario->blocks);
    memset(blocks, 0, sizeof(blocks));
    scenario->begin();
    struct exploration exploration = {
        .threads = scenario->threads,
        .run = scenario->run,
        .at_end = world_judge_end,
        .memory = world_memory(),
    };
    struct verdict verdict = explore(&exploration);
    (void)printf("%-42s %9llu states %10llu steps %6llu ends, depth %3u: %s\n", scenario->name,
                 (unsigned long long)verdict.states, (unsigned long long)verdict.steps,
                 (unsigned long long)verdict.ends, verdict.depth,
                 verdict.broken != NULL ? verdict.broken : "all hold");
    (void)fflush(stdout);
    if (verdict.broken != NULL) {
        explore_print_trace();
        return false;
    }
    if (verdict.ends == 0) {
        (void)fprintf(stderr, "no schedule reached the end\n");
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    __libc_single_threaded = 0; // the threads of the model are several
    bool all_hold = true;
    bool orders = argc > 1 && strcmp(argv[1], "--orders") == 0;
    const char *which = argc > 1 + orders ? argv[1 + orders] : "";
    bool first = strcmp(which, "--first") == 0;
    size_t only = which[0] != '\0' && !first ? strtoul(which, NULL, 10) : SCENARIOS;
    if (orders) {
        world_look_at_orders();
    }
    for (size_t i = 0; i < SCENARIOS && (all_hold || !first); i++) {
        if (only == i || (only == SCENARIOS && !(orders && scenarios[i].huge))) {
            all_hold = run_scenario(&scenarios[i]) && all_hold;
        }
    }
    return all_hold ? 0 : 1;
}
