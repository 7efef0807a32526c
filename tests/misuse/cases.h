// What the programs of this folder share: blocks and pointers the compiler knows nothing of, and
// the table of cases, which ends with a NULL name.
#ifndef LUCID_TESTS_MISUSE_CASES_H
#define LUCID_TESTS_MISUSE_CASES_H

#include "testing.h"

#include <pthread.h>
#include <stdlib.h>

struct misuse_case {
    const char *name;
    void (*run)(void);
};

#define CASE(name) \
    { #name, name }

extern const struct misuse_case heap_cases[]; // heap_misuse.c

// False: the table has no case of that name.
static inline bool misuse_run(const struct misuse_case *cases, const char *name) {
    for (; cases->name != NULL; cases++) {
        if (strcmp(cases->name, name) == 0) {
            cases->run();
            return true;
        }
    }
    return false;
}

// Keeps the compiler from knowing what a pointer is.
static inline void *hide(void *pointer) {
    __asm__ volatile("" : "+r"(pointer));
    return pointer;
}

static inline void *announce(void *pointer) {
    char text[40];
    int length = snprintf(text, sizeof(text), "%p\n", pointer);
    REQUIRE(write(STDOUT_FILENO, text, (size_t)length) == length, "standard output");
    return hide(pointer);
}

static inline void *have(size_t size) {
    void *block = malloc(size);
    REQUIRE(block != NULL, "no %zu bytes", size);
    return hide(block);
}

static inline void *free_it(void *block) {
    free(block);
    return hide(block);
}

static inline void *on_thread(void *(*work)(void *), void *argument) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, work, argument) == 0, "a thread");
    REQUIRE(pthread_join(thread, NULL) == 0, "its end");
    return argument;
}

#endif
