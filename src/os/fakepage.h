// Builds with pages larger than the machine's (-DLUCID_PAGE_SIZE=65536), for tests where the
// machine has small pages only: what the kernel places at its own pages is placed at such ones,
// and what it would refuse ends the process. Only for the files in this folder.
#ifndef LUCID_OS_FAKEPAGE_H
#define LUCID_OS_FAKEPAGE_H

#include "../base.h"

#define FAKE_PAGES (LUCID_PAGE_SIZE != 0)

// The length of a mapping in which one of `length` bytes can begin at a page.
static inline size_t fakepage_longer(size_t length) {
    return FAKE_PAGES ? align_up(length, (size_t)LUCID_PAGE_SIZE) + LUCID_PAGE_SIZE : length;
}

// Cuts it out of the longer one; the rest is unmapped.
void *fakepage_cut(void *longer, size_t length);

// Ends the process with a line that names the call.
_Noreturn void fakepage_refuse(const char *call);

static inline void fakepage_check(const char *call, const void *start, size_t length) {
    if (FAKE_PAGES && (((uintptr_t)start | length) & ((size_t)LUCID_PAGE_SIZE - 1)) != 0) {
        fakepage_refuse(call);
    }
}

#endif
