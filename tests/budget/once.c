// A program that allocates once.
#include <stdlib.h>

int main(void) {
    char *volatile block = malloc(64);
    block[0] = 1;
    free(block);
    return 0;
}
