// The allocators of a comparison, and what each run of the program under them used.
#ifndef LUCID_BENCH_CONTESTANT_H
#define LUCID_BENCH_CONTESTANT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum { CONTESTANTS_MAX = 24, ROUNDS_MAX = 1000, CONTESTANT_NAME = 24 };

struct measurement {
    double wall;      // seconds from start to end
    double processor; // user and system time, of the program and of the children it waited for
    uint64_t peak;    // bytes of resident memory, the most of any of its processes
    uint64_t faults;  // page faults, minor and major
    int status;       // as wait reports it
};

struct contestant {
    char name[CONTESTANT_NAME];
    char library[PATH_MAX]; // "" for the program as it is: the C library's malloc, as a rule
    int rounds;             // how many of `runs` are filled
    struct measurement runs[ROUNDS_MAX];
};

struct contest {
    int count;
    struct contestant *members; // CONTESTANTS_MAX of them: lucid first, the C library second
};

// Fills the contest with lucid, the C library, the Debian packages' allocators that are installed
// and those named in PEERS=name=path,... False: something is missing; a sentence has been said.
bool contest_gather(struct contest *contest);
void contest_release(struct contest *contest);

// Keeps lucid, the C library and the peers in the comma-separated list. False: unknown name.
bool contest_restrict(struct contest *contest, const char *names);

#endif
