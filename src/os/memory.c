// The program break, mappings and advice.
#include "fakepage.h"
#include "raw.h"

#include "os.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

// Raw calls: an interposed mmap may well call malloc itself.
static void *map_raw(size_t length, int protection, int flags) {
    size_t longer = fakepage_longer(length);
    int saved = errno;
    void *got;
    flags |= MAP_PRIVATE | MAP_ANONYMOUS;
    if (UNDER_TSAN) { // it must see that memory of a dead thread's stack is new memory now
        got = mmap(NULL, longer, protection, flags, -1, 0);
    } else {
        got = (void *)syscall(SYS_mmap, NULL, longer, protection, flags, -1, 0L);
    }
    errno = saved;
    return got == MAP_FAILED ? NULL : fakepage_cut(got, length);
}

size_t os_page_size(void) {
    unsigned long size = FAKE_PAGES ? LUCID_PAGE_SIZE : getauxval(AT_PAGESZ);
    return size != 0 ? size : 4096;
}

// The break is moved through the C library, because it keeps a copy of where the break is: a raw
// brk would make the program's own next sbrk cut our memory off.
uintptr_t os_break(void) {
    int saved = errno;
    void *now = sbrk(0);
    errno = saved;
    return now == (void *)-1 ? 0 : (uintptr_t)now;
}

uintptr_t os_break_grow(size_t bytes) {
    if (os_fault(OS_BREAK) || bytes > PTRDIFF_MAX) {
        return 0;
    }
    int saved = errno;
    void *before = sbrk((intptr_t)bytes);
    errno = saved;
    return before == (void *)-1 ? 0 : (uintptr_t)before;
}

// Without MAP_NORESERVE: nothing is promised for what has no access, and when some of it is opened
// the kernel is to refuse what it has no memory for.
void *os_reserve(size_t length) {
    return os_fault(OS_RESERVE) ? NULL : map_raw(length, PROT_NONE, 0);
}

static bool protect(void *start, size_t length, int protection) {
    fakepage_check("mprotect", start, length);
    // Raw: the helper opens metadata, too, and has no errno.
    return raw_call4(SYS_mprotect, (long)start, (long)length, protection, 0) == 0;
}

bool os_commit(void *start, size_t length) {
    return !os_fault(OS_COMMIT) && protect(start, length, PROT_READ | PROT_WRITE);
}

bool os_make_readonly(void *start, size_t length) {
    return !os_fault(OS_PROTECT) && protect(start, length, PROT_READ);
}

bool os_make_inaccessible(void *start, size_t length) {
    return !os_fault(OS_PROTECT) && protect(start, length, PROT_NONE);
}

void *os_map(size_t length) {
    return os_fault(OS_MAP) ? NULL : map_raw(length, PROT_READ | PROT_WRITE, 0);
}

// A kernel before 4.17 takes the address as a hint.
COLD static enum os_map_result elsewhere(void *got, size_t length) {
    (void)os_unmap(got, length);
    return OS_OCCUPIED;
}

enum os_map_result os_map_at(uintptr_t start, size_t length) {
    if (os_fault(OS_MAP)) {
        return OS_NO_MEMORY;
    }
    fakepage_check("mmap", (void *)start, length);
    // Raw: the helper opens metadata, too, and has no errno.
    long got = raw_call(SYS_mmap, (long)start, (long)length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got < 0 && got >= -4095) {
        return got == -ENOMEM || got == -EAGAIN ? OS_NO_MEMORY : OS_OCCUPIED;
    }
    return (uintptr_t)got == start ? OS_MAPPED : elsewhere((void *)got, length);
}

bool os_unmap(void *start, size_t length) {
    fakepage_check("munmap", start, length);
    return !os_fault(OS_UNMAP) && raw_call4(SYS_munmap, (long)start, (long)length, 0, 0) == 0;
}

void *os_map_fenced(size_t length) {
    size_t page = os_page_size();
    char *start = os_reserve(length + 2 * page);
    if (start == NULL) {
        return NULL;
    }
    if (!os_commit(start + page, length)) {
        (void)os_unmap(start, length + 2 * page);
        return NULL;
    }
    return start + page;
}

bool os_unmap_fenced(void *start, size_t length) {
    size_t page = os_page_size();
    return os_unmap((char *)start - page, length + 2 * page);
}

// The thread sanitizer would not see where the memory goes: under it, it goes by a copy.
static void *remap_by_copy(void *start, size_t length, size_t new_length) {
    void *moved = map_raw(new_length, PROT_READ | PROT_WRITE, 0);
    if (moved != NULL) {
        memcpy(moved, start, min_size(length, new_length));
        (void)os_unmap(start, length);
    }
    return moved;
}

void *os_remap(void *start, size_t length, size_t new_length, bool *parts) {
    *parts = false;
    if (os_fault(OS_REMAP)) {
        return NULL;
    }
    if (UNDER_TSAN) {
        return remap_by_copy(start, length, new_length);
    }
    fakepage_check("mremap", start, length | new_length);
    // Left to itself the kernel would move it to one of its own pages.
    void *place = FAKE_PAGES && new_length > length ? os_reserve(new_length) : NULL;
    int flags = place != NULL ? MREMAP_MAYMOVE | MREMAP_FIXED : MREMAP_MAYMOVE;
    int saved = errno;
    long result = syscall(SYS_mremap, start, length, new_length, flags, place);
    *parts = result == -1 && errno == EFAULT;
    errno = saved;
    if (result == -1 && place != NULL && !*parts) { // else the kernel may have unmapped it already
        (void)os_unmap(place, new_length);
    }
    return result == -1 ? NULL : (void *)result;
}

bool os_purge(void *start, size_t length) {
    fakepage_check("madvise", start, length);
    return !os_fault(OS_PURGE) &&
           raw_call4(SYS_madvise, (long)start, (long)length, MADV_DONTNEED, 0) == 0;
}

bool os_populate(void *start, size_t length, bool *never) {
    long answer = raw_call4(SYS_madvise, (long)start, (long)length, MADV_POPULATE_WRITE, 0);
    *never = answer != 0 && answer != -ENOMEM && answer != -EFAULT && answer != -EHWPOISON &&
             answer != -EINTR && answer != -EAGAIN;
    return answer == 0;
}

void os_advise_huge(void *start, size_t length) {
    fakepage_check("madvise", start, length);
    (void)raw_call4(SYS_madvise, (long)start, (long)length, MADV_HUGEPAGE, 0);
}

void os_advise_small(void *start, size_t length) {
    fakepage_check("madvise", start, length);
    (void)raw_call4(SYS_madvise, (long)start, (long)length, MADV_NOHUGEPAGE, 0);
}

bool os_wipe_on_fork(void *start, size_t length) {
    fakepage_check("madvise", start, length);
    return raw_call4(SYS_madvise, (long)start, (long)length, MADV_WIPEONFORK, 0) == 0;
}

void os_name(void *start, size_t length, const char *name) {
    int saved = errno;
    (void)syscall(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, length, name);
    errno = saved;
}

size_t os_address_space_limit(void) {
    struct rlimit limit;
    int saved = errno;
    int result = getrlimit(RLIMIT_AS, &limit);
    errno = saved;
    return result == 0 && limit.rlim_cur != RLIM_INFINITY ? (size_t)limit.rlim_cur : SIZE_MAX;
}

size_t os_memory_size(void) {
    // Raw: the thread sanitizer's runtime has a sysinfo that cannot be called while it starts, and
    // it allocates there.
    struct sysinfo info = {.totalram = 0};
    long result = raw_call4(SYS_sysinfo, (long)&info, 0, 0, 0);
    return result == 0 ? (size_t)info.totalram * info.mem_unit : 0;
}
