// The tour over a program of the user's: it runs under ptrace from malloc to malloc.
#include "tour.h"

#include "target/launch.h"
#include "util/human.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_SHOWN 3u          // small blocks that are shown
#define LARGE_FROM (128u << 10) // a request from here on is worth a step of its own
#define CALLS_MAX 100000u       // calls after which the tour runs on to the end

struct watch {
    struct tour *tour;
    struct launch launch;
    int at_malloc;
    int at_free;
    unsigned small;
    bool freed;
    bool large;
    unsigned steps;
    uint64_t known; // a block that was shown; its free is the one worth showing
    struct observation before;
};

// malloc and free of the allocator in use: lucid's when it is there, else the C library's.
static bool allocator_function(pid_t pid, const char *name, uint64_t *address) {
    struct target target = {.memory_fd = -1};
    struct images images;
    struct root_places places;
    bool found = false;
    if (!target_open_live(&target, pid)) {
        return false;
    }
    images_find(&images, &target);
    locate_roots(&places, &target);
    for (size_t i = 0; i < images.count && !found; i++) {
        const struct image *image = &images.list[i];
        const char *slash = strrchr(image->region->name, '/');
        bool owner = places.count > 0 ? image->start == places.code[0].start
                                      : slash != NULL && strncmp(slash, "/libc.so", 8) == 0;
        found = owner && image_dynamic_symbol(&target, image, name, address);
    }
    images_free(&images);
    target_close(&target);
    return found;
}

static bool show(struct watch *watch, const char *name, const char *title, uint64_t pointer,
                 const char *sentence) {
    struct observation now;
    char numbered[160];
    if (!observe(&now, watch->launch.trace.pid, pointer)) {
        return false;
    }
    char text[256];
    uint64_t moved = now.map.now.address - watch->before.map.now.address;
    snprintf(numbered, sizeof(numbered), "%u. %s", ++watch->steps, title);
    snprintf(text, sizeof(text), "%s The break %s%s.", sentence,
             moved != 0 && watch->steps > 1 ? "moved" : "stands at the address above",
             moved != 0 && watch->steps > 1 ? " since the step before" : "");
    const char *sentences[1] = {text};
    tour_step(watch->tour, name, numbered, &now, 1, sentences);
    watch->before = now;
    return true;
}

// Runs to the end of the call the program is in; returns what it returned.
static bool finish_call(struct watch *watch, const struct processor_state *call, uint64_t *result) {
    struct trace *trace = &watch->launch.trace;
    struct processor_state after;
    int met = -1;
    trace_remove_point(trace, watch->at_malloc);
    trace_remove_point(trace, watch->at_free);
    watch->at_malloc = watch->at_free = -1;
    int point = trace_add_point(trace, call->return_to);
    bool back = point >= 0 && trace_run(trace, &met) == TRACE_POINT && met == point &&
                trace_registers(trace, &after);
    if (back) {
        *result = after.result;
        trace_remove_point(trace, point);
    }
    return back;
}

static bool set_points(struct watch *watch) {
    struct trace *trace = &watch->launch.trace;
    uint64_t malloc_at = 0;
    uint64_t free_at = 0;
    if (watch->at_malloc >= 0) {
        return true;
    }
    if (!allocator_function(trace->pid, "malloc", &malloc_at) ||
        !allocator_function(trace->pid, "free", &free_at)) {
        say("neither lucid nor the C library is loaded as a library here (a static program?): the "
            "tour cannot find malloc");
        return false;
    }
    watch->at_malloc = trace_add_point(trace, malloc_at);
    watch->at_free = trace_add_point(trace, free_at);
    return watch->at_malloc >= 0 && watch->at_free >= 0;
}

static bool on_malloc(struct watch *watch, const struct processor_state *call) {
    uint64_t size = call->argument[0];
    uint64_t result = 0;
    char title[96];
    char sentence[128];
    bool large = size >= LARGE_FROM;
    if ((large && watch->large) || (!large && watch->small >= SMALL_SHOWN)) {
        return true;
    }
    if (!finish_call(watch, call, &result)) {
        return false;
    }
    watch->small += !large;
    watch->large |= large;
    watch->known = large ? watch->known : result;
    snprintf(title, sizeof(title), "malloc(%llu) returned 0x%llx", ull(size), ull(result));
    snprintf(sentence, sizeof(sentence), "%s", large ? "A large request." : "A small request.");
    return show(watch, large ? "malloc-large" : "malloc", title, result, sentence) &&
           set_points(watch);
}

static bool on_free(struct watch *watch, const struct processor_state *call) {
    uint64_t result = 0;
    char title[96];
    if (watch->freed || watch->known == 0 || call->argument[0] != watch->known) {
        return true;
    }
    if (!finish_call(watch, call, &result)) {
        return false;
    }
    watch->freed = true;
    snprintf(title, sizeof(title), "free(0x%llx)", ull(call->argument[0]));
    return show(watch, "free", title, call->argument[0],
                "The block that was shown last is given back.") &&
           set_points(watch);
}

// To main, when the program has such a symbol: what the loader and the C library do before is
// not the program's story.
static bool run_to_main(struct watch *watch) {
    struct trace *trace = &watch->launch.trace;
    uint64_t address = 0;
    int met = -1;
    if (!launch_find_function(trace->pid, "main", &address)) {
        return true;
    }
    int point = trace_add_point(trace, address);
    bool reached = point >= 0 && trace_run(trace, &met) == TRACE_POINT;
    trace_remove_point(trace, point);
    return reached;
}

static bool follow(struct watch *watch) {
    struct trace *trace = &watch->launch.trace;
    if (!run_to_main(watch) ||
        !show(watch, "start", "The program is at its beginning.", 0,
              "Nothing was asked for yet.") ||
        !set_points(watch)) {
        return false;
    }
    for (unsigned calls = 0;; calls++) {
        struct processor_state call;
        int met = -1;
        bool enough = watch->small >= SMALL_SHOWN && watch->freed && watch->large;
        if ((enough || calls == CALLS_MAX) && watch->at_malloc >= 0) {
            trace_remove_point(trace, watch->at_malloc);
            trace_remove_point(trace, watch->at_free);
            watch->at_malloc = watch->at_free = -1;
        }
        enum trace_event event = trace_run(trace, &met);
        if (event == TRACE_EXIT) {
            return show(watch, "end", "The program is about to end.", 0, "This is what it leaves.");
        }
        if (event != TRACE_POINT || !trace_registers(trace, &call)) {
            say("the program ended before the tour did");
            return false;
        }
        if (!(met == watch->at_malloc ? on_malloc(watch, &call) : on_free(watch, &call))) {
            return false;
        }
    }
}

int tour_program(struct tour *tour) {
    struct watch watch = {.tour = tour, .at_malloc = -1, .at_free = -1};
    struct launch_order order = {.program = tour->program, .plain = tour->both};
    if (!launch_start(&watch.launch, &order)) {
        return EXIT_UNREADABLE;
    }
    bool fine = follow(&watch);
    if (!fine && !watch.launch.trace.ended) {
        kill(watch.launch.trace.pid, SIGKILL);
    }
    launch_finish(&watch.launch);
    return fine ? EXIT_FINE : EXIT_UNREADABLE;
}
