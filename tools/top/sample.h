// What `lucid top` knows of its target: the last reading, what changed since the one before, and
// how resident memory went. When the target has ended, the last reading stays.
#ifndef LUCID_TOP_SAMPLE_H
#define LUCID_TOP_SAMPLE_H

#include "stats/ledger.h"

#define SAMPLE_HISTORY 512u

enum sample_state {
    SAMPLE_GOOD,
    SAMPLE_MISSED, // it could not be read this time
    SAMPLE_OTHER,  // it runs another program now, without lucid
    SAMPLE_ENDED,
};

// What the slow paths of a thread, or of all, have counted so far.
struct sample_counts {
    uint64_t refills;
    uint64_t flushes;
    uint64_t larges;
    uint64_t returned; // bytes given back to the kernel; of all only
};

struct sample_thread {
    uint64_t heap;
    pid_t tid;
    char name[17];
    char state; // as in /proc/PID/stat; '-': unknown
    uint64_t cached;
    struct sample_counts counts;
    struct sample_counts change; // since the reading before
};

struct sample {
    struct session *session;
    enum sample_state state;
    int pidfd;      // -1: there is none
    uint64_t taken; // how often
    uint64_t at;    // nanoseconds
    uint64_t tried; // when the last reading began, good or not
    uint64_t cost;  // nanoseconds that the reading took
    double seconds; // since the one before; 0: there is none
    struct ledger ledger;
    struct ledger before;
    struct sample_thread *threads; // those that live
    size_t thread_count;
    struct sample_counts counts;
    struct sample_counts change;
    uint64_t history[SAMPLE_HISTORY]; // resident bytes, a ring; taken % SAMPLE_HISTORY is next
};

// The session is open; the first reading is taken. False: a sentence has been printed.
bool sample_begin(struct sample *sample, struct session *session);
void sample_end(struct sample *sample);

// Reads again. The state tells what came of it.
void sample_again(struct sample *sample);

// Has the target ended meanwhile?
bool sample_ended(const struct sample *sample);

// What is wrong, in a sentence, or "".
const char *sample_trouble(const struct sample *sample);

// A number of the last reading less that of the one before, for each second.
double sample_rate(const struct sample *sample, uint64_t change);

#endif
