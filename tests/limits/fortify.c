// The usable size under _FORTIFY_SOURCE=3: all of it may be written through the C library's checked
// functions, as long as the compiler has not seen a smaller size being asked for. Where it has,
// realloc to the usable size, which moves nothing, tells it.
#include "testing.h"

#include <malloc.h>

#if !defined(__USE_FORTIFY_LEVEL) || __USE_FORTIFY_LEVEL < 3
#define LEVEL 0
#else
#define LEVEL __USE_FORTIFY_LEVEL
#endif

// The volatile pointer keeps the compiler from following the block.
static char *have(size_t size) {
    char *volatile block = malloc(size);
    REQUIRE(block != NULL, "no %zu bytes", size);
    return block;
}

static void all_is_writable(size_t size) {
    char *block = have(size);
    size_t usable = malloc_usable_size(block);
    REQUIRE(usable >= size, "%zu of %zu", usable, size);
    memset(block, 'a', usable);
    memmove(block, block + usable / 2, usable - usable / 2);
    (void)snprintf(block, usable, "%zu", size);
    REQUIRE(malloc_usable_size(block) == usable, "the size of %zu bytes stays", size);
    free(block);
}

static void realloc_tells_the_compiler(size_t size) {
    char *block = malloc(size);
    REQUIRE(block != NULL, "no %zu bytes", size);
    uintptr_t before = (uintptr_t)block;
    size_t usable = malloc_usable_size(block);
    block = realloc(block, usable);
    REQUIRE((uintptr_t)block == before, "realloc to the usable size of %zu moves", size);
    memset(block, 'b', usable);
    free(block);
}

int main(void) {
    if (LEVEL < 3) {
        printf("this compiler or C library has no _FORTIFY_SOURCE=3\n");
        return SKIPPED;
    }
    for (size_t size = 1; size < 3000000; size = size * 9 / 8 + 1) {
        all_is_writable(size);
        realloc_tells_the_compiler(size);
    }
    printf("usable sizes are writable at level %d\n", LEVEL);
    return 0;
}
