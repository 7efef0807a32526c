// What became of a living process since it was opened. Before a failed read is explained by a lack
// of rights, or what was read by damage, it is asked here whether the process is still the same.
#include "target.h"

#include "util/human.h"

enum target_fate target_fate(const struct target *target) {
    if (target->kind != TARGET_LIVE || target->pid == 0) {
        return FATE_RUNS;
    }
    pid_t alive = target_alive(target->pid);
    uint64_t now = target_program(alive);
    if (now != 0 && target->program != 0 && now != target->program) {
        return FATE_EXECUTED;
    }
    // Asked anew: it may have ended in between.
    return target_thread_ended(target->pid, target_alive(target->pid)) ? FATE_ENDED : FATE_RUNS;
}

bool target_say_fate(const struct target *target) {
    enum target_fate fate = target_fate(target);
    if (fate == FATE_ENDED) {
        say("%s has ended; `ps -e` lists those that run", target->label);
    } else if (fate == FATE_EXECUTED) {
        say("%s runs another program now, which it executed while it was read; run the command "
            "again",
            target->label);
    }
    return fate != FATE_RUNS;
}
