// Does a small program start and find memory under the limit it was given?
//   start MEBIBYTES [locked]     locked: with all its memory, as a user who may lock 8 MiB
#include "layout.h"
#include "testing.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int lock_everything(void) {
    free(malloc(100)); // so that there was a start
    const struct lucid_root *root = dlsym(RTLD_DEFAULT, "lucid_root");
    REQUIRE(root != NULL, "the root is exported");
    if (root->fixed.tables_reserved != 0) {
        return SKIPPED; // a reservation counts; where there has to be one, is no promise
    }
    struct rlimit most;
    REQUIRE(getrlimit(RLIMIT_MEMLOCK, &most) == 0, "the limit");
    most.rlim_cur = (rlim_t)8 << 20;
    if (most.rlim_max < most.rlim_cur) {
        return SKIPPED;
    }
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &most) == 0, "a limit: %s", strerror(errno));
    REQUIRE(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0, "no rights");
    REQUIRE(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall: %s", strerror(errno));
    return 0;
}

int main(int count, char **values) {
    size_t wanted = count > 1 ? strtoul(values[1], NULL, 0) << 20 : 0;
    if (count > 2 && lock_everything() != 0) {
        return SKIPPED;
    }
    char *block = malloc(wanted);
    REQUIRE(block != NULL, "%zu bytes at start", wanted);
    memset(block, 1, wanted);
    void *others[100];
    for (unsigned i = 0; i < 100; i++) {
        others[i] = calloc(1, i * 100);
        REQUIRE(others[i] != NULL, "%u bytes", i * 100);
    }
    for (unsigned i = 0; i < 100; i++) {
        free(others[i]);
    }
    free(block);
    return 0;
}
