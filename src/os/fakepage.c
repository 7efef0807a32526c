#include "fakepage.h"

#include "os.h"
#include "raw.h"

#include <string.h>

static void cut(uintptr_t from, uintptr_t to) {
    if (to > from) {
        (void)raw_call4(SYS_munmap, (long)from, (long)(to - from), 0, 0);
    }
}

void *fakepage_cut(void *longer, size_t length) {
    if (!FAKE_PAGES || longer == NULL) {
        return longer;
    }
    uintptr_t from = (uintptr_t)longer;
    uintptr_t start = align_up(from, os_page_size());
    uintptr_t end = start + align_up(length, os_page_size());
    cut(from, start);
    cut(end, from + fakepage_longer(length));
    return (void *)start;
}

_Noreturn void fakepage_refuse(const char *call) {
    static const char words[] = ": start or length is no multiple of the page size\n";
    os_write(2, call, strlen(call));
    os_write(2, words, sizeof(words) - 1);
    os_abort();
}
