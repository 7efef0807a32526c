// What differs between processors: the registers of a stopped thread, and how to stop at an
// instruction.
#ifndef LUCID_TARGET_PROCESSOR_H
#define LUCID_TARGET_PROCESSOR_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__x86_64__)
#define TRAP_MASK 0xffL
#define TRAP_CODE 0xccL
#define TRAP_REASON SI_KERNEL // what siginfo says of it; of other traps of this machine, another
#define TRAP_LENGTH 1u        // the program counter stands behind the trap when it has been met
#elif defined(__aarch64__)
#define TRAP_MASK 0xffffffffL
#define TRAP_CODE 0xd4200000L
#define TRAP_REASON TRAP_BRKPT
#define TRAP_LENGTH 0u // and here at it
#else
#error "stopping at a function is written for x86-64 and aarch64; add this machine's trap here"
#endif

// What a stopped thread's registers say.
struct processor_state {
    uint64_t pc;
    uint64_t sp;
    uint64_t argument[2];
    uint64_t result;
    uint64_t return_to; // at the first instruction of a function; 0: not known
    long call;          // the number of the system call it is in, during one
};

// False: the thread is not stopped by this process, or gone.
bool processor_read(pid_t tid, struct processor_state *state);
bool processor_set_pc(pid_t tid, uint64_t pc);

#endif
