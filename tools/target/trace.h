// Running a program under ptrace up to certain points: functions it calls, and its end. Used for
// programs that the tool starts itself, never for processes that were there before.
#ifndef LUCID_TARGET_TRACE_H
#define LUCID_TARGET_TRACE_H

#include "processor.h"

#define TRACE_POINTS 8u

struct trace_point {
    uint64_t address; // 0: unused
    long saved;       // the word that was there
};

struct trace {
    pid_t pid;
    pid_t stopped; // the thread that met a point or is about to end the process
    bool ended;
    bool leader_left; // the first thread has ended before the others
    int status;       // as wait() tells it, once ended
    struct trace_point points[TRACE_POINTS];
};

enum trace_event {
    TRACE_POINT, // a thread is about to execute the instruction at a point
    TRACE_EXIT,  // the process is about to end; its memory is still there
    TRACE_ENDED, // it is gone
    TRACE_FAILED // ptrace refused; errno
};

// The caller has forked a child that does trace_accept() and then exec. Waits for the exec.
bool trace_begin(struct trace *trace, pid_t child);
void trace_accept(void);

// Returns the index of the point, or -1 when there is no room or no memory at that address.
int trace_add_point(struct trace *trace, uint64_t address);
void trace_remove_point(struct trace *trace, int index);

// Lets the program run; `index` is set to the point that was met. Its children are let go: those
// with memory of their own at once, those that share the program's when they leave it. One of the
// latter that outlives the program ends with lucid.
enum trace_event trace_run(struct trace *trace, int *index);
bool trace_registers(const struct trace *trace, struct processor_state *state);

// Takes all points away, lets the program run to its end and returns its wait status.
int trace_finish(struct trace *trace);

#endif
