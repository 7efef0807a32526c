// What the programs of this folder have in common: numbers at random, a pause, resident memory.
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static inline void nap_ns(uint64_t ns) {
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    (void)nanosleep(&time, NULL);
}

static inline void nap(unsigned milliseconds) {
    nap_ns((uint64_t)milliseconds * 1000000);
}

// MiB, exact. Ends the program when that cannot be read.
static inline double resident_mib(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    unsigned long kib = 0;
    while (file != NULL && kib == 0 && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "Rss: %lu", &kib);
    }
    if (file == NULL || kib == 0) {
        (void)fprintf(stderr, "%s: cannot read smaps_rollup\n", program_invocation_short_name);
        exit(2);
    }
    (void)fclose(file);
    return (double)kib / 1024;
}

#endif
