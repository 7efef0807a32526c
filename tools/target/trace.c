#include "trace.h"

#include "target.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t pc_of(pid_t tid) {
    struct processor_state state;
    return processor_read(tid, &state) ? state.pc : 0;
}

// Did the thread end itself alone (pthread_exit), rather than the process?
static bool ends_alone(pid_t tid) {
    struct processor_state state;
    return processor_read(tid, &state) && state.call == SYS_exit;
}

bool trace_registers(const struct trace *trace, struct processor_state *state) {
    return processor_read(trace->stopped, state);
}

// ---- points -------------------------------------------------------------------------------------

static bool put_trap(pid_t tid, const struct trace_point *point, bool set) {
    long word = set ? (point->saved & ~TRAP_MASK) | TRAP_CODE : point->saved;
    return ptrace(PTRACE_POKETEXT, tid, point->address, word) == 0;
}

int trace_add_point(struct trace *trace, uint64_t address) {
    for (unsigned i = 0; i < TRACE_POINTS; i++) {
        struct trace_point *point = &trace->points[i];
        if (point->address != 0) {
            continue;
        }
        errno = 0;
        point->saved = ptrace(PTRACE_PEEKTEXT, trace->stopped, address, NULL);
        if (errno != 0) {
            return -1;
        }
        point->address = address;
        if (!put_trap(trace->stopped, point, true)) {
            point->address = 0;
            return -1;
        }
        return (int)i;
    }
    return -1;
}

void trace_remove_point(struct trace *trace, int index) {
    if (index >= 0 && trace->points[index].address != 0) {
        put_trap(trace->stopped, &trace->points[index], false);
        trace->points[index].address = 0;
    }
}

static int point_at(const struct trace *trace, uint64_t address) {
    for (unsigned i = 0; i < TRACE_POINTS; i++) {
        if (trace->points[i].address == address && address != 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool is_set(const struct trace *trace, const struct trace_point *point) {
    long word = 0;
    struct iovec local = {.iov_base = &word, .iov_len = sizeof(word)};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)point->address, .iov_len = sizeof(word)};
    return process_vm_readv(target_alive(trace->pid), &local, 1, &remote, 1, 0) == sizeof(word) &&
           (word & TRAP_MASK) == TRAP_CODE;
}

// A thread of the program, rather than of a child of it?
static bool is_ours(const struct trace *trace, pid_t tid) {
    return syscall(SYS_tgkill, trace->pid, tid, 0) == 0 || errno != ESRCH;
}

// ---- children -----------------------------------------------------------------------------------

// A new child, before its first instruction. One made by fork has copies of our traps; it goes its
// way without them. One that shares the program's memory (vfork, posix_spawn, clone with CLONE_VM)
// would meet the traps and die of them, and without them the program's own threads would pass:
// it stays with us until it executes another program or ends. Which of both it is, a trap tells
// that is lifted in the child.
static void take_child(struct trace *trace, pid_t child) {
    bool shares_memory = false;
    for (unsigned i = 0; i < TRACE_POINTS && !shares_memory; i++) {
        const struct trace_point *point = &trace->points[i];
        if (point->address != 0 && put_trap(child, point, false) && !is_set(trace, point)) {
            shares_memory = put_trap(child, point, true);
        }
    }
    ptrace(shares_memory ? PTRACE_CONT : PTRACE_DETACH, child, NULL, NULL);
}

// ---- running ------------------------------------------------------------------------------------

void trace_accept(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(127);
    }
}

bool trace_begin(struct trace *trace, pid_t child) {
    const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE |
                         PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
    memset(trace, 0, sizeof(*trace));
    trace->pid = child;
    trace->stopped = child;
    int status;
    if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) {
        trace->ended = true;
        trace->status = status;
        return false;
    }
    return ptrace(PTRACE_SETOPTIONS, child, NULL, options) == 0;
}

static void resume(pid_t tid, int signal) {
    ptrace(PTRACE_CONT, tid, NULL, (long)signal);
}

// Executes the one instruction under a trap, puts the trap back and lets the thread run on. If a
// signal comes first, or the instruction raises one, the thread gets it, and meets the trap again
// when it is back from its handler.
static void step_over(const struct trace *trace, pid_t tid, int index) {
    int status;
    int signal = 0;
    put_trap(tid, &trace->points[index], false);
    if (ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) == 0 && waitpid(tid, &status, __WALL) == tid &&
        WIFSTOPPED(status)) {
        signal = WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
        put_trap(tid, &trace->points[index], true);
    }
    resume(tid, signal);
}

// A stop that ptrace itself made. True: the caller is to be told.
static bool kernel_event(struct trace *trace, pid_t tid, int event) {
    if (event == PTRACE_EVENT_EXEC && tid != trace->pid) {
        ptrace(PTRACE_DETACH, tid, NULL, NULL); // a child that has left the program's memory
        return false;
    }
    if (event == PTRACE_EVENT_EXEC) {
        memset(trace->points, 0, sizeof(trace->points)); // another program: nothing of ours in it
    } else if (event == PTRACE_EVENT_EXIT && tid == trace->pid) {
        if (!ends_alone(tid)) {
            trace->stopped = tid;
            return true;
        }
        // The process ends here all the same unless other threads live on; the kernel only says
        // so by their exits, and then its memory can no longer be reached through this thread.
        trace->leader_left = true;
    }
    resume(tid, 0);
    return false;
}

// A thread is at a point. True: the caller is to be told. Children are not what it asked about.
static bool point_met(struct trace *trace, pid_t tid, int point) {
    if (is_ours(trace, tid)) {
        trace->stopped = tid;
        return true;
    }
    step_over(trace, tid, point);
    return false;
}

// A thread met a trap that was removed before it was heard: the instruction there is to be executed
// yet. A trap of the program's own is still in its place.
static bool met_what_is_gone(pid_t tid) {
    siginfo_t info;
    uint64_t at = pc_of(tid) - TRAP_LENGTH;
    if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) != 0 || info.si_code != TRAP_REASON) {
        return false;
    }
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, tid, at, NULL);
    return errno == 0 && (word & TRAP_MASK) != TRAP_CODE && processor_set_pc(tid, at);
}

// A thread stopped by a signal: one of our traps, or its own business.
static bool signal_stop(struct trace *trace, pid_t tid, int signal, int *index) {
    if (signal == SIGTRAP) {
        int point = point_at(trace, pc_of(tid) - TRAP_LENGTH);
        if (point >= 0 && processor_set_pc(tid, trace->points[point].address)) {
            *index = point;
            return point_met(trace, tid, point);
        }
        if (met_what_is_gone(tid)) {
            resume(tid, 0);
            return false;
        }
    }
    // The first stop of a new thread or child is ptrace's, not the program's.
    siginfo_t info;
    bool fresh = signal == SIGSTOP && ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 &&
                 info.si_code == SI_USER && info.si_pid == 0;
    if (fresh && !is_ours(trace, tid)) {
        take_child(trace, tid);
    } else {
        resume(tid, fresh ? 0 : signal);
    }
    return false;
}

enum trace_event trace_run(struct trace *trace, int *index) {
    int at = trace->ended ? -1 : point_at(trace, pc_of(trace->stopped));
    if (at >= 0) {
        step_over(trace, trace->stopped, at);
    } else {
        resume(trace->stopped, 0);
    }
    for (;;) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR) {
            continue;
        }
        if (tid < 0) {
            trace->ended = true;
            return errno == ECHILD ? TRACE_ENDED : TRACE_FAILED;
        }
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (tid == trace->pid) {
                trace->ended = true;
                trace->status = status;
                return TRACE_ENDED;
            }
        } else if (status >> 16 != 0) {
            if (kernel_event(trace, tid, status >> 16)) {
                return TRACE_EXIT;
            }
        } else if (signal_stop(trace, tid, WSTOPSIG(status), index)) {
            return TRACE_POINT;
        }
    }
}

int trace_finish(struct trace *trace) {
    int index = 0;
    while (!trace->ended) {
        for (unsigned i = 0; i < TRACE_POINTS; i++) {
            trace_remove_point(trace, (int)i);
        }
        trace_run(trace, &index);
    }
    return trace->status;
}
