// The fault sweep with the faults that are compiled in: each single call of each kind fails in
// turn, and then each and all that follow it.
//
// usage: sweep [SITES]   so many of one kind; later ones come from the same places
#include "invariants.h"
#include "os/os.h"
#include "testing.h"
#include "workload.h"

#include <lucid.h>
#include <sys/wait.h>

#define SITES_USUAL 20u

static const char *const names[OS_CALL_COUNT] = {
    [OS_BREAK] = "move the break", [OS_RESERVE] = "reserve addresses",
    [OS_COMMIT] = "open a table",  [OS_MAP] = "map",
    [OS_UNMAP] = "unmap",          [OS_REMAP] = "remap",
    [OS_PURGE] = "purge",          [OS_THREAD_EXIT] = "thread hook",
    [OS_PROTECT] = "protect",      [OS_HELPER] = "start the helper",
};

static const struct family lucid_family = {
    .malloc = lucid_malloc,
    .calloc = lucid_calloc,
    .realloc = lucid_realloc,
    .aligned_alloc = lucid_aligned_alloc,
    .free = lucid_free,
    .malloc_trim = lucid_malloc_trim,
};

// In a child: the allocator is untouched there, so that its start is part of the sweep. Exit code
// 0: fine, and the call was reached; 2: fine, there are not so many calls.
static int run_one(enum os_call call, uint64_t nth, bool forever) {
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork");
    if (pid == 0) {
        alarm(60);
        (void)os_inject(call, nth, forever);
        (void)workload_run(&lucid_family);
        uint64_t calls = os_inject(call, 0, false);
        void *block = lucid_malloc(100000); // nothing fails any more
        REQUIRE(block != NULL, "memory after the fault");
        lucid_free(block);
        invariants_check(false);
        _exit(calls >= nth ? 0 : 2);
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "the child");
    REQUIRE(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2),
            "with call %llu of \"%s\" failing%s, status %#x", (unsigned long long)nth, names[call],
            forever ? ", and all later ones" : "", (unsigned)status);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        printf("this build cannot make calls fail: it needs LUCID_CHECKED or LUCID_STRESS\n");
        return SKIPPED;
    }
    uint64_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : SITES_USUAL;
    uint64_t sites = 0;
    for (int call = 0; call < OS_CALL_COUNT; call++) {
        uint64_t nth = 1;
        for (; nth <= most && run_one((enum os_call)call, nth, false) == 0; nth++) {
        }
        // Beyond the first calls every few are enough: they come from the same places.
        for (uint64_t from = 1; from < nth; from = from * 3 / 2 + 1) {
            (void)run_one((enum os_call)call, from, true);
        }
        printf("%-18s %llu calls failed one by one\n", names[call], (unsigned long long)nth - 1);
        // Other options lead to other calls.
        REQUIRE(nth > 1 || getenv("LUCID_OPTIONS") != NULL, "the workload reaches \"%s\"",
                names[call]);
        sites += nth - 1;
    }
    printf("%llu faults in all: refused with ENOMEM or survived, invariants hold\n",
           (unsigned long long)sites);
    return 0;
}
