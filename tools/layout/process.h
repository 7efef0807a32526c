// The process control block as far as the kernel shows it in /proc/PID.
#ifndef LUCID_LAYOUT_PROCESS_H
#define LUCID_LAYOUT_PROCESS_H

#include "target/target.h"

struct process {
    bool known; // stat could be read
    char state;
    pid_t parent;
    uint64_t user;
    uint64_t threads;
    uint64_t open_files;
    bool files_known;
    // Addresses from stat; 0 when the kernel hides them (no right to trace the process).
    uint64_t start_code, end_code;
    uint64_t start_data, end_data;
    uint64_t start_brk;
    uint64_t start_stack;
    uint64_t arg_start, arg_end;
    uint64_t env_start, env_end;
    // From status, in bytes.
    uint64_t page_tables;
    uint64_t resident;
    uint64_t swapped;
    uint64_t peak_resident;
    uint64_t virtual_size; // of a core: what its mappings add up to
    char command[256];     // the arguments, cut off
};

void process_read(struct process *process, const struct target *target);

// What the letter of a state means.
const char *process_state_text(char state);

// The first address that is not user space's.
uint64_t process_user_end(const struct target *target);

#endif
