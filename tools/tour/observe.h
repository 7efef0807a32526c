// What the tour shows of a process at one moment: the break, the words around a pointer, the
// blocks around it, the top. Everything is read from the process; nothing is assumed.
#ifndef LUCID_TOUR_OBSERVE_H
#define LUCID_TOUR_OBSERVE_H

#include "glibc/glibc.h"
#include "heap/rows.h"
#include "layout/break.h"
#include "util/json.h"

#define OBSERVED_WORDS 12u // as in x/12wx
#define OBSERVED_ROWS 8u
#define OBSERVED_BIN 4u

struct observed_row {
    uint64_t address;
    uint64_t size;
    char state[16];
    uint64_t size_word; // glibc: the word in front of the block; 0 for lucid
};

struct observation {
    pid_t pid;
    const char *allocator; // "lucid" or "glibc"
    struct break_map map;
    bool has_heap;
    uint64_t pointer;  // 0: none yet
    uint64_t words_at; // pointer - 8, or the pointer when nothing is mapped in front of it
    uint32_t words[OBSERVED_WORDS];
    bool has_words;
    struct observed_row rows[OBSERVED_ROWS]; // around the pointer
    size_t row_count;
    struct observed_row top;
    uint64_t cached; // blocks in the thread's bins, or in glibc's tcache
    // Of these the ones of the pointer's size, what malloc hands out first in front.
    uint64_t bin_size; // 0: blocks like this one are not kept in a bin
    uint64_t bin_count;
    uint64_t bin[OBSERVED_BIN];
    // The region the pointer lies in.
    uint64_t region_start;
    uint64_t region_end;
    char region_name[64];
};

// False: the process cannot be read; a sentence has been printed.
bool observe(struct observation *seen, pid_t pid, uint64_t pointer);

void observation_print(const struct observation *seen, struct out *out);
void observation_json(const struct observation *seen, struct json *json);

#endif
