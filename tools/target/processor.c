#include "processor.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static bool get(pid_t tid, struct user_regs_struct *registers) {
    struct iovec place = {.iov_base = registers, .iov_len = sizeof(*registers)};
    return ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &place) == 0;
}

static bool set(pid_t tid, struct user_regs_struct *registers) {
    struct iovec place = {.iov_base = registers, .iov_len = sizeof(*registers)};
    return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &place) == 0;
}

#ifdef __x86_64__
static struct processor_state state_of(pid_t tid, const struct user_regs_struct *registers) {
    errno = 0;
    long top = ptrace(PTRACE_PEEKDATA, tid, registers->rsp, NULL);
    return (struct processor_state){
        .pc = registers->rip,
        .sp = registers->rsp,
        .argument = {registers->rdi, registers->rsi},
        .result = registers->rax,
        .return_to = errno == 0 ? (uint64_t)top : 0,
        .call = (long)registers->orig_rax,
    };
}

static void write_pc(struct user_regs_struct *registers, uint64_t pc) {
    registers->rip = pc;
}
#else
static struct processor_state state_of(pid_t tid, const struct user_regs_struct *registers) {
    (void)tid;
    return (struct processor_state){
        .pc = registers->pc,
        .sp = registers->sp,
        .argument = {registers->regs[0], registers->regs[1]},
        .result = registers->regs[0],
        .return_to = registers->regs[30],
        .call = (long)registers->regs[8],
    };
}

static void write_pc(struct user_regs_struct *registers, uint64_t pc) {
    registers->pc = pc;
}
#endif

bool processor_read(pid_t tid, struct processor_state *state) {
    struct user_regs_struct registers;
    if (!get(tid, &registers)) {
        return false;
    }
    *state = state_of(tid, &registers);
    return true;
}

bool processor_set_pc(pid_t tid, uint64_t pc) {
    struct user_regs_struct registers;
    if (!get(tid, &registers)) {
        return false;
    }
    write_pc(&registers, pc);
    return set(tid, &registers);
}
