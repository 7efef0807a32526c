#include "launch.h"

#include "image.h"
#include "run/library.h"
#include "run/program.h"
#include "util/human.h"
#include "util/memory.h"
#include "util/variable.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// The library goes in front of what the caller preloads already.
static bool preload_lucid(void) {
    char path[PATH_MAX];
    return library_find(path) && variable_join("LD_PRELOAD", path, ':', getenv("LD_PRELOAD"));
}

static _Noreturn void become_program(const struct launch_order *order, const char *path,
                                     bool preload) {
    // What the command prints is its standard output; the program's goes to the other one.
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (preload && !preload_lucid()) {
        _exit(127);
    }
    trace_accept();
    execvp(path, order->program); // gives a script without a first line to the shell, as run does
    say("%s cannot be started (%s)", path, strerror(errno));
    _exit(127);
}

static bool find_program(const struct launch_order *order, struct program *program, bool *preload) {
    if (program_find(order->program[0], program) != 0) {
        return false; // the reason has been printed
    }
    *preload = !order->plain && program->obstacle == OBSTACLE_NONE;
    if (program->obstacle == OBSTACLE_MACHINE) {
        say("%s %s", program->loaded, obstacle_text(program->obstacle));
        return false;
    }
    if (!order->plain && !*preload && program->obstacle != OBSTACLE_LUCID) {
        say("%s %s; it runs on its own malloc", program->loaded, obstacle_text(program->obstacle));
    }
    return true;
}

static bool run_to(struct launch *launch, uint64_t address) {
    int met = -1;
    int point = trace_add_point(&launch->trace, address);
    if (point < 0) {
        return false;
    }
    bool reached = trace_run(&launch->trace, &met) == TRACE_POINT;
    if (reached) {
        trace_remove_point(&launch->trace, point);
    }
    return reached;
}

bool launch_start(struct launch *launch, const struct launch_order *order) {
    struct program program;
    bool preload = false;
    memset(launch, 0, sizeof(*launch));
    if (!find_program(order, &program, &preload)) {
        return false;
    }
    out_flush(&out_standard);
    pid_t child = fork();
    if (child == 0) {
        become_program(order, program.path, preload);
    }
    if (child < 0) {
        say("no process for %s (%s)", program.path, strerror(errno));
        return false;
    }
    struct target target = {.memory_fd = -1};
    if (!trace_begin(&launch->trace, child) || !target_open_live(&target, child)) {
        return false;
    }
    // At the program's entry point the loader has brought in all libraries.
    bool entered = run_to(launch, target.entry);
    target_close(&target);
    if (!entered) {
        say("%s ended before its first instruction; run it by itself to see why", program.path);
    }
    return entered;
}

bool launch_find_function(pid_t pid, const char *function, uint64_t *address) {
    struct target target = {.memory_fd = -1};
    struct images images;
    bool found = false;
    if (!target_open_live(&target, pid)) {
        return false;
    }
    images_find(&images, &target);
    const struct image *main_image = images_main(&images);
    if (main_image != NULL) {
        found = image_symbol(&target, main_image, function, address);
    }
    // The loader asks a preloaded library before the others: malloc is lucid's,
    // not the C library's.
    for (size_t i = 0; i < images.count && !found; i++) {
        uint64_t root = 0;
        found = image_dynamic_symbol(&target, &images.list[i], "lucid_root", &root) &&
                image_symbol(&target, &images.list[i], function, address);
    }
    for (size_t i = 0; i < images.count && !found; i++) {
        found = image_symbol(&target, &images.list[i], function, address);
    }
    images_free(&images);
    target_close(&target);
    return found;
}

static bool run_to_function(struct launch *launch, const char *function) {
    uint64_t address = 0;
    if (!launch_find_function(launch->trace.pid, function, &address)) {
        say("the program has no function %s among its symbols; `nm` lists those of a program, "
            "and a stripped one keeps only those of its libraries",
            function);
        return false;
    }
    int met = -1;
    int point = trace_add_point(&launch->trace, address);
    if (point < 0) {
        say("no stop can be set at %s, 0x%llx (%s)", function, ull(address), strerror(errno));
        return false;
    }
    enum trace_event event = trace_run(&launch->trace, &met);
    if (event == TRACE_EXIT) {
        say("the program ended without calling %s; this is its heap at the end", function);
    }
    launch->at_end = event == TRACE_EXIT;
    trace_remove_point(&launch->trace, point);
    return event == TRACE_POINT || event == TRACE_EXIT;
}

static bool run_to_end(struct launch *launch) {
    int met = -1;
    enum trace_event event = trace_run(&launch->trace, &met);
    launch->at_end = true;
    if (event != TRACE_EXIT) {
        say(launch->trace.leader_left
                ? "the program's first thread ended before the others, so that its memory could "
                  "not be read at the end; use --break FUNCTION"
                : "the program ended before it could be read");
    }
    return event == TRACE_EXIT;
}

bool target_open_launch(struct target *target, const struct launch_order *order) {
    struct launch *launch = memory_take(sizeof(*launch));
    bool ready = launch_start(launch, order) &&
                 (order->break_function != NULL ? run_to_function(launch, order->break_function)
                                                : run_to_end(launch));
    if (!ready || !target_open_live(target, launch->trace.pid)) {
        if (launch->trace.pid > 0 && !launch->trace.ended) {
            kill(launch->trace.pid, SIGKILL);
            trace_finish(&launch->trace);
        }
        free(launch);
        return false;
    }
    target->launch = launch;
    target->pause = PAUSE_STOPPED;
    return true;
}

void launch_finish(struct launch *launch) {
    int status = trace_finish(&launch->trace);
    if (WIFSIGNALED(status)) {
        say("the program was ended by signal %d (%s)", WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != 0) {
        say("the program ended with exit code %d", WEXITSTATUS(status));
    }
}
