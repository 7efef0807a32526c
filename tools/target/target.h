// What a reading command looks at: a living process, a core file, a program it launches, or the
// memory that gdb holds. Whatever it is, the rest of the tool sees a view and a list of regions.
#ifndef LUCID_TARGET_TARGET_H
#define LUCID_TARGET_TARGET_H

#include "region.h"
#include "view.h"

#include <stdbool.h>
#include <sys/types.h>

enum target_kind { TARGET_LIVE, TARGET_CORE, TARGET_GDB };

// What is known of a thread. Registers are known in cores, and of frozen or launched processes.
struct target_thread {
    pid_t tid;
    pid_t own;      // what gettid tells it: in a container another number
    char state;     // as in /proc/PID/stat; '?' in a core
    unsigned flags; // PF_* as there
    char name[16 + 1];
    bool has_registers;
    uint64_t pc;
    uint64_t sp;
};

// How the target's threads stand while it is being read.
enum target_pause { PAUSE_NONE, PAUSE_FROZEN, PAUSE_STOPPED };

struct target {
    enum target_kind kind;
    pid_t pid;
    pid_t alive; // the thread by which a living process is read, see target_alive
    char name[64];
    char label[256]; // how to call it in a sentence: "process 4711 (demo)", "core file core.991"
    char executable[4096];
    struct view view;
    struct regions regions;
    struct target_thread *threads;
    size_t thread_count;
    bool memory_readable;
    char obstacle[1024]; // why memory is not readable and what to do; a sentence
    enum target_pause pause;
    uint64_t pause_start;  // nanoseconds
    uint64_t pause_length; // nanoseconds; how long --freeze held the target
    uint64_t entry;        // AT_ENTRY, or 0
    uint64_t headers;      // AT_PHDR, or 0
    uint64_t program;      // see target_program
    uint64_t vdso;         // of a core: AT_SYSINFO_EHDR, or 0
    uint64_t page_size;
    bool truncated;  // a core that ends too early
    uint64_t whole;  // bytes that a core file should have, as far as its headers tell
    uint64_t held;   // and those it has
    char core[4096]; // path of the core file
    int memory_fd;   // /proc/PID/mem, -1 until needed
    struct core *core_data;
    struct launch *launch;
    struct gdb_pipe *gdb;
    struct freezer *freezer;
};

// Each opens one kind of target; false: a sentence has been printed.
bool target_open_live(struct target *target, pid_t pid);
bool target_open_core(struct target *target, const char *path);
bool target_open_gdb(struct target *target, const char *pipes);

// Reads maps (with `counts`: smaps) again.
bool target_regions(struct target *target, bool counts);

// `what` of a living process cannot be read because of `error`: a sentence into `obstacle` that
// names the missing permission and what helps.
void target_refused(struct target *target, const char *what, int error);

// What a truncated core lacks: "is cut off: 1.2M of 3.0M are missing".
#define TARGET_LACK 80
const char *target_lack(char to[TARGET_LACK], const struct target *target);

// Says that because of this `what` cannot be read, and what helps.
void target_say_cut_off(const struct target *target, const char *what);

// The process that a thread belongs to; of a process itself, that one.
pid_t target_process(pid_t pid);

// The process that traces this one, or 0.
pid_t target_tracer(pid_t pid);

// Says that there is no such process, or that it is only hidden.
void target_not_there(pid_t pid);

// Ends everything that was begun, lets a launched program go on and end.
void target_close(struct target *target);

// Stops every thread of a living target, resumes it. False: a sentence has been printed.
bool target_freeze(struct target *target);
void target_thaw(struct target *target);

// The target's threads with their states; registers where known.
void target_list_threads(struct target *target);

// Sets `own` of the threads that were listed.
void target_find_own_numbers(struct target *target);

// The thread of which the heap noted this number: its own, or 0 for the first one. NULL: it ended.
const struct target_thread *target_thread_named_by(const struct target *target, uint32_t own);

// A thread by whose files in /proc and whose number the memory of the process can be reached: the
// first one, or another when that has ended and left the others at work. All ended: the first.
pid_t target_alive(pid_t pid);

// Has the thread of a living process ended? It stays listed for a moment after that. One that is
// about to has: its memory may be gone already, while the kernel does not call it a zombie yet.
bool target_thread_ended(pid_t pid, pid_t tid);

// A sum over what the kernel told the program that runs there when it began: where its parts are.
// It differs when the process has executed another one since. 0: it cannot be read.
uint64_t target_program(pid_t alive);

// What became of a living process since it was opened.
enum target_fate { FATE_RUNS, FATE_ENDED, FATE_EXECUTED };
enum target_fate target_fate(const struct target *target);

// Says it when the target has ended or runs another program. False: nothing has been said.
bool target_say_fate(const struct target *target);

// Opens a file that the target has mapped, whichever mount namespace it lives in and whether it
// still exists or not. `region` tells which. -1: it cannot be opened.
int target_open_file(const struct target *target, const struct region *region);

// For every page of [start, start + pages * page size): PAGE_* bits into `states`. False: not
// known (a core; a kernel without pagemap).
// SHARED: not mapped here alone. ZERO: the kernel's page of zeros, read but never written, which
// is nobody's memory; kernels before 6.7 say PRESENT and SHARED of a small one, and PRESENT and
// FILE of a huge one.
enum {
    TARGET_PAGE_PRESENT = 1,
    TARGET_PAGE_SWAPPED = 2,
    TARGET_PAGE_FILE = 4,
    TARGET_PAGE_SHARED = 8,
    TARGET_PAGE_ZERO = 16
};
bool target_pages(const struct target *target, uint64_t start, size_t pages, uint8_t *states);

// Copies memory without touching pages that the target never touched: they read as zeros.
bool target_copy(const struct target *target, uint64_t start, void *to, size_t length);

// A copy of [start, start + length), to be freed. Memory of the tool's own is taken as the target's
// turns out to be readable, so that a forged length costs nothing. NULL: see `failed_at`.
unsigned char *target_take(const struct target *target, uint64_t start, uint64_t length,
                           uint64_t *failed_at);

uint64_t target_clock(void); // nanoseconds, monotonic

#endif
