// Many processes that start, allocate a little and exit: builds, shell scripts, test suites.
// Arguments: PROCESSES
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

extern char **environ;

// What one short process does: a few hundred blocks of common sizes, most of them freed.
static int child(void) {
    void *all[300];
    struct rng r = rng_seed(9);
    uint64_t sum = 0;
    for (int i = 0; i < 300; i++) {
        all[i] = item_new(rng_pareto(&r, 16, 4096), (uint32_t)i);
    }
    for (int i = 0; i < 300; i += 2) {
        sum += item_free(all[i]);
    }
    return (int)(sum % 97);
}

static int run_one(char *self) {
    char *arguments[] = {self, (char[]){"child"}, NULL};
    pid_t pid = 0;
    int status = 0;
    if (posix_spawn(&pid, self, NULL, NULL, arguments, environ) != 0) {
        fail("a process could not be started");
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        fail("a process did not end as it should");
    }
    return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "child") == 0) {
        return child();
    }
    uint32_t processes = argument(argc, argv, 1, 200);
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) {
        fail("/proc/self/exe could not be read");
    }
    self[length] = '\0';
    uint64_t sum = 0;
    for (uint32_t i = 0; i < processes; i++) {
        sum += (uint64_t)run_one(self);
    }
    return report(sum);
}
