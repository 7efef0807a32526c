// Rights and restrictions of the process, and what the helper may ask of the kernel where the
// process has rights.
//
// Rights belong to threads, and the C library changes those of all threads that it knows: a
// setuid() does not reach the helper. So that it is of no use to whoever takes over a process that
// has given its rights up, it first gives up its capabilities and all calls but those it needs, for
// good. They are about memory, time and its own end; what is left of its identity opens no file
// with them.
#include "raw.h"

#include "os.h"

#include <errno.h>
#include <sys/auxv.h>

#define CAPABILITY_VERSION 0x20080522u // _LINUX_CAPABILITY_VERSION_3
#define SET_NO_NEW_PRIVS 38            // PR_SET_NO_NEW_PRIVS
#define SET_SECCOMP 22                 // PR_SET_SECCOMP
#define SET_MODE_FILTER 1              // SECCOMP_SET_MODE_FILTER
#define SPEC_ALLOW 4                   // SECCOMP_FILTER_FLAG_SPEC_ALLOW: no slower than before
#define MACHINE_X86_64 0xc000003eu     // AUDIT_ARCH_X86_64
#define ANSWER_ALLOW 0x7fff0000u       // SECCOMP_RET_ALLOW
#define ANSWER_REFUSE 0x00050000u      // SECCOMP_RET_ERRNO
#define ANSWER_KILL 0x80000000u        // SECCOMP_RET_KILL_PROCESS

struct capabilities {
    uint32_t effective;
    uint32_t permitted;
    uint32_t inheritable;
};

struct capability_header {
    uint32_t version;
    int process; // 0: the calling thread
};

static bool has_capabilities(void) {
    struct capability_header header = {CAPABILITY_VERSION, 0};
    struct capabilities sets[2] = {{0, 0, 0}, {0, 0, 0}};
    if (raw_call4(SYS_capget, (long)&header, (long)sets, 0, 0) != 0) {
        return true;
    }
    return (sets[0].permitted | sets[1].permitted) != 0;
}

static bool has_other_identities(long number) {
    uint32_t real = 0;
    uint32_t effective = 0;
    uint32_t saved = 0;
    return raw_call4(number, (long)&real, (long)&effective, (long)&saved, 0) != 0 ||
           real != effective || effective != saved;
}

// Asks nobody: where a sandbox was there before the program, any call may end the process.
bool os_began_with_rights(void) {
    unsigned long user = getauxval(AT_UID);
    return user == 0 || user != getauxval(AT_EUID) || getauxval(AT_GID) != getauxval(AT_EGID) ||
           getauxval(AT_SECURE) != 0;
}

bool os_has_rights(void) {
    return has_capabilities() || has_other_identities(SYS_getresuid) ||
           has_other_identities(SYS_getresgid);
}

long os_restrict(enum os_restricting call, long a, long b, long c, long d, long e) {
    static const long numbers[] = {SYS_prctl, SYS_setns, SYS_unshare};
    return raw_call(numbers[call], a, b, c, d, e, 0);
}

bool os_prctl_restricts(int option) {
    return option == SET_NO_NEW_PRIVS || option == SET_SECCOMP;
}

#ifdef __x86_64__

// One step of the filter, as the kernel wants it (struct sock_filter).
struct step {
    uint16_t code;
    uint8_t if_equal;
    uint8_t if_not;
    uint32_t value;
};

enum { LOAD = 0x20, JUMP_IF_EQUAL = 0x15, ANSWER = 0x06 };
enum { AT_NUMBER = 0, AT_MACHINE = 4, AT_FIRST_ARGUMENT = 16 }; // in struct seccomp_data

static const int needed[] = {
    // memory, waiting, the end; a wait goes on by restart_syscall after a debugger's stop
    SYS_madvise, SYS_mincore, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_futex,
    SYS_restart_syscall, SYS_sched_yield, SYS_clock_gettime, SYS_exit,
    // a message, and the end of the process
    SYS_write, SYS_getpid, SYS_gettid, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn,
    SYS_exit_group,
    -1, // a debugger leaves the call out
};
#define NEEDED (sizeof(needed) / sizeof(needed[0]))

bool os_confine_helper(void) {
    struct step steps[4 + 2 * NEEDED + 5];
    uint16_t count = 0;
    uint32_t process = (uint32_t)raw_call4(SYS_getpid, 0, 0, 0, 0);
    uint32_t refuse = LUCID_CHECKED ? ANSWER_KILL : ANSWER_REFUSE | EPERM;
    steps[count++] = (struct step){LOAD, 0, 0, AT_MACHINE};
    steps[count++] = (struct step){JUMP_IF_EQUAL, 1, 0, MACHINE_X86_64};
    steps[count++] = (struct step){ANSWER, 0, 0, refuse};
    steps[count++] = (struct step){LOAD, 0, 0, AT_NUMBER};
    for (unsigned i = 0; i < NEEDED; i++) {
        steps[count++] = (struct step){JUMP_IF_EQUAL, 0, 1, (uint32_t)needed[i]};
        steps[count++] = (struct step){ANSWER, 0, 0, ANSWER_ALLOW};
    }
    // The end of the process by SIGABRT, and of no other.
    steps[count++] = (struct step){JUMP_IF_EQUAL, 0, 3, SYS_tgkill};
    steps[count++] = (struct step){LOAD, 0, 0, AT_FIRST_ARGUMENT};
    steps[count++] = (struct step){JUMP_IF_EQUAL, 0, 1, process};
    steps[count++] = (struct step){ANSWER, 0, 0, ANSWER_ALLOW};
    steps[count++] = (struct step){ANSWER, 0, 0, refuse};
    struct {
        uint16_t count;
        struct step *steps;
    } filter = {count, steps};
    struct capability_header header = {CAPABILITY_VERSION, 0};
    struct capabilities none[2] = {{0, 0, 0}, {0, 0, 0}};
    if (raw_call4(SYS_capset, (long)&header, (long)none, 0, 0) != 0 ||
        raw_call(SYS_prctl, SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) != 0) {
        return false;
    }
    return raw_call4(SYS_seccomp, SET_MODE_FILTER, SPEC_ALLOW, (long)&filter, 0) == 0 ||
           raw_call4(SYS_seccomp, SET_MODE_FILTER, 0, (long)&filter, 0) == 0;
}

#else

bool os_confine_helper(void) {
    return false;
}

#endif
