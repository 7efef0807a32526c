// Statistics on the smallest stack that a thread can have.
#include "testing.h"

#include <fcntl.h>
#include <limits.h>
#include <lucid.h>
#include <pthread.h>

static void *tell(void *file) {
    int fd = *(int *)file;
    struct lucid_stats stats = {.size = sizeof(stats)};
    REQUIRE(lucid_stats_get(&stats) == 0, "lucid_stats_get");
    REQUIRE(stats.resident_bytes > 0 && stats.peak_resident_bytes > 0, "nothing is resident");
    REQUIRE(lucid_stats_print_json(fd) == 0, "lucid_stats_print_json");
    REQUIRE(lucid_stats_print_openmetrics(fd) == 0, "lucid_stats_print_openmetrics");
    return NULL;
}

int main(void) {
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pthread_attr_t small;
    pthread_t thread;
    REQUIRE(fd >= 0 && pthread_attr_init(&small) == 0, "a file and attributes");
    REQUIRE(pthread_attr_setstacksize(&small, 16384) == 0 ||
                pthread_attr_setstacksize(&small, (size_t)PTHREAD_STACK_MIN) == 0,
            "a stack of 16 KiB");
    REQUIRE(pthread_create(&thread, &small, tell, &fd) == 0, "a thread");
    REQUIRE(pthread_join(thread, NULL) == 0, "its end");
    return 0;
}
