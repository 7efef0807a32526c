// Does a small program start and find memory under the limit it was given?
//   start MEBIBYTES
#include "testing.h"

int main(int count, char **values) {
    size_t wanted = count > 1 ? strtoul(values[1], NULL, 0) << 20 : 0;
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
