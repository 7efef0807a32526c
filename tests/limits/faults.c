// The workload under the names of the C library, for sweep.py, which lets strace make calls fail.
#include "testing.h"
#include "workload.h"

#include <malloc.h>

static const struct family standard_family = {
    .malloc = malloc,
    .calloc = calloc,
    .realloc = realloc,
    .aligned_alloc = aligned_alloc,
    .free = free,
    .malloc_trim = malloc_trim,
};

int main(void) {
    test_write("begin\n", 6); // what the loader did before is none of ours
    unsigned refused = workload_run(&standard_family);
    char text[60];
    int length = snprintf(text, sizeof(text), "%u refused\n", refused);
    test_write(text, (size_t)length);
    return 0;
}
