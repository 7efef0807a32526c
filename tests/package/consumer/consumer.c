/* A program of somebody else's. It passes only if malloc and free are lucid's: lucid ends the
 * process when it is given a block that it does not know, and glibc when it is given lucid's. */
#include <lucid.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *small = malloc(100);
    char *large = malloc((size_t)64 << 20);
    char *text = strdup("from the C library's own call of malloc");
    if (small == NULL || large == NULL || text == NULL) {
        return 1;
    }
    size_t usable = lucid_malloc_usable_size(small) + lucid_malloc_usable_size(text);
    if (usable < 100 + strlen(text) + 1) {
        return 2;
    }
    lucid_free(small);
    lucid_free(large);
    lucid_free(text);
    free(lucid_malloc(1000));
    printf("lucid %s\n", lucid_version());
    return strcmp(lucid_version(), LUCID_VERSION) == 0 ? 0 : 3;
}
