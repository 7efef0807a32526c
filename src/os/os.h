// Everything lucid asks of the operating system. The files beside this header are the only ones
// with system calls.
//
// All functions: never allocate, never change errno, may be called at any time after the
// dynamic loader has relocated the library, from any thread. Sizes and addresses given to the
// memory functions are multiples of the page size unless a comment says otherwise.
#ifndef LUCID_OS_H
#define LUCID_OS_H

#include "../base.h"

// ---- memory ----------------------------------------------------------------------------------

// The kernel's page size in bytes, a power of two.
size_t os_page_size(void);

// The program break. 0 if the C library cannot tell.
uintptr_t os_break(void);

// Moves the break up by `bytes` (any positive number). Returns the break before the move, which
// differs from an earlier os_break() when somebody else moved it meanwhile; 0: it did not move.
uintptr_t os_break_grow(size_t bytes);

// Address space without access; costs no memory. NULL: none left.
void *os_reserve(size_t length);

// Makes part of a reservation readable and writable. False: no memory (nothing changed).
bool os_commit(void *start, size_t length);

// Takes write access away. False: could not.
bool os_make_readonly(void *start, size_t length);

// Takes all access away. False: could not.
bool os_make_inaccessible(void *start, size_t length);

// Zeroed, readable and writable memory. NULL: no memory.
void *os_map(size_t length);

// The same for what must not be overrun: a page without access lies at either end.
void *os_map_fenced(size_t length);

// Gives such memory back, with its fences.
bool os_unmap_fenced(void *start, size_t length);

// The same at exactly `start`, never over an existing mapping.
enum os_map_result { OS_MAPPED, OS_OCCUPIED, OS_NO_MEMORY };
enum os_map_result os_map_at(uintptr_t start, size_t length);

// Gives address space back. False: the kernel refused (it may run out of mappings when a
// mapping is split); the memory is then still mapped.
bool os_unmap(void *start, size_t length);

// Resizes a mapping made by os_map, moving it if need be; contents move along without a copy.
// NULL: not possible (nothing changed); `parts` then tells whether it is because parts of it were
// advised one thing and others another.
void *os_remap(void *start, size_t length, size_t new_length, bool *parts);

// Gives the memory of the pages back; they read as zero afterwards. False: contents are
// unchanged or undefined, the caller must treat them as dirty.
bool os_purge(void *start, size_t length);

// Asks for huge pages behind these addresses; a kernel that cannot is no error.
void os_advise_huge(void *start, size_t length);

// Asks for no huge pages behind these addresses, whatever the system's setting.
void os_advise_small(void *start, size_t length);

// Has the kernel put zeroed memory behind these addresses at once, which costs a third less than a
// fault for each page. False: it cannot (`never`, written either way: nor will it later), or there
// is no memory; a later access decides.
bool os_populate(void *start, size_t length, bool *never);

// From now on a child of fork sees zeros here. False: not supported.
bool os_wipe_on_fork(void *start, size_t length);

// Names a mapping for /proc/PID/maps; a kernel that cannot is no error.
void os_name(void *start, size_t length, const char *name);

// RLIMIT_AS in bytes; SIZE_MAX: unlimited or unknown.
size_t os_address_space_limit(void);

// RAM of the machine in bytes; 0: unknown.
size_t os_memory_size(void);

// ---- process ---------------------------------------------------------------------------------

// Value of an environment variable or NULL; the text lives as long as the environment does.
const char *os_environment(const char *name);

// Does the process run with more rights than its user (AT_SECURE)?
bool os_is_secure(void);

// The program's short name; never NULL.
const char *os_program_name(void);

uint32_t os_process_id(void);
uint32_t os_thread_id(void);
bool os_thread_alive(uint32_t tid); // is there such a thread in this process?

// The calling thread's number as the C library has it noted: in the child of vfork, and in one that
// was made past the C library, that of the parent's thread. 0 on a thread of os_helper_start. Makes
// no system call.
uint32_t os_thread_id_noted(void);

// Does the calling process, as the child of vfork does, run in memory that is its parent's? Also
// true in a child with memory of its own that was made past the C library. Makes a system call.
bool os_is_guest(void);

uint64_t os_thread_self(void); // pthread_self() as a number

// Is the calling thread the only one of the process? Never wrongly true.
static inline bool os_single_threaded(void);

// 64 bits that differ from process to process and cannot be guessed from outside. There are two of
// them; `which` (0 or 1) cannot be guessed from the other either.
uint64_t os_random(unsigned which);

// Milliseconds of a coarse clock that never goes back; wraps are the caller's business.
uint64_t os_now_ms(void);

// Prepares what os_on_thread_exit needs for this hook; the process has one hook only. False: it
// cannot be had. Does not allocate.
bool os_thread_exit_ready(void (*exit_hook)(void *));

// Calls `exit_hook(argument)` when the calling thread ends, in some round of its destructors. It
// may be asked for again from within the hook's own round. False: it will not be called.
// May call back into malloc.
bool os_on_thread_exit(void (*exit_hook)(void *), void *argument);

// From now on calls `before` before every fork(), also before one that fails, and after it `parent`
// and, in the child, `child`. False: it will not.
bool os_on_fork(void (*before)(void), void (*parent)(void), void (*child)(void));

// Writes all of `text` to a file descriptor, as far as it can be written. Returns 0 or the number
// of the error that ended it.
int os_write(int fd, const char *text, size_t length);

// Reads a file into `to`, as much of it as fits, and terminates the text. False: it cannot be
// opened; the text is empty then.
bool os_read_file(const char *path, char *to, size_t room, size_t *length);

// Bytes resident now, and the most there ever were since this program began, as far as the kernel
// has added them up. False: unknown; both are 0 then.
bool os_resident(size_t *now, size_t *peak);

// Which pages have memory, or are swapped out: a file descriptor to ask (pre: >= 0, below),
// negative: the kernel does not tell. It is open until it is closed; a fork in
// between leaves it to the child.
int os_pagemap_open(void);
void os_pagemap_close(int pagemap);

// Has the page at this address memory? True, too, where that cannot be known.
bool os_pagemap_has(int pagemap, uintptr_t address);

// Ends the process by SIGABRT.
_Noreturn void os_abort(void);

// ---- faults and modules -------------------------------------------------------------------------

enum os_access_kind { OS_ACCESS_UNKNOWN, OS_ACCESS_READ, OS_ACCESS_WRITE };

// An access to memory that the kernel did not allow.
struct os_access {
    uintptr_t address;
    uintptr_t code;  // the instruction; 0: not known on this machine
    uintptr_t stack; // the stack pointer there
    enum os_access_kind kind;
};

// From now on SIGSEGV calls `tell` first, within the signal handler. True: the fault was one of
// the library's, and this is the end of its interest; in either case the program's own disposition
// takes over. False: the signal cannot be had.
bool os_on_access_fault(bool (*tell)(const struct os_access *access));

// From now on a signal that somebody sends with `mark` as its value calls `nudged`, on whichever
// thread gets it, at any instruction: it must be async-signal-safe. The same signal for other
// reasons stays the program's. Returns its number, 0: it cannot be had. A program that was replaced
// meanwhile (exec) ignores it.
uint32_t os_on_nudge(void (*nudged)(void), const void *mark);

// May the 8 bytes at this address (rounded down) be read?
bool os_is_readable(uintptr_t address);

// A program or library as it is mapped, and its executable segment (start == end: none known).
struct os_object {
    uintptr_t start;
    uintptr_t end;
    uintptr_t code_start;
    uintptr_t code_end;
    bool program; // the program itself, not a library
};

// The object an address lies in. False: in none, or unknown.
bool os_find_object(uintptr_t address, struct os_object *object);

// The file mapped at an address, and where the file begins. False: none. Reads /proc/self/maps.
struct os_module {
    uintptr_t base;
    char path[256];
};
bool os_find_module(uintptr_t address, struct os_module *module);

// ---- locks -----------------------------------------------------------------------------------

// A lock is one word, 0 when free. Waiters sleep in the kernel after a short spin.
void os_lock(_Atomic uint32_t *lock);
bool os_try_lock(_Atomic uint32_t *lock);
void os_unlock(_Atomic uint32_t *lock);

// ---- the helper ----------------------------------------------------------------------------

// Starts a thread that runs `run` and ends. It has no thread-local storage and no errno, all
// signals are blocked on it, and the C library does not know it: it may only call functions that
// need none of that (the locks, os_purge, os_now_ms and os_wait_while do not). `memory` (16-byte
// aligned, zeroed, a few KiB) is its stack; it is in use until the kernel sets *tid to 0. False:
// there is no such thread; *tid is unchanged. That is so too where *valid is 0 once no signal
// handler can come any more.
bool os_helper_start(void *memory, size_t length, void (*run)(void), _Atomic uint32_t *tid,
                     const _Atomic uint32_t *valid);

// Can such a thread exist here, and is it harmless to try?
bool os_helper_allowed(void);

// Did the process begin as root, or with identities that differ? Makes no system call.
bool os_began_with_rights(void);

// Has the process rights that it could give up: capabilities, or user or group identities that
// differ? True also when that cannot be told.
bool os_has_rights(void);

// On such a thread, before anything else: from now on the kernel refuses it all that gives access
// to files, processes or rights. False: this kernel cannot, nothing is refused.
bool os_confine_helper(void);

// Calls by which a process restricts itself or leaves others' company, as the C library has them,
// but for the result: the kernel's own, an error is a number from -4095 to -1.
enum os_restricting { OS_PRCTL, OS_SETNS, OS_UNSHARE };
long os_restrict(enum os_restricting call, long a, long b, long c, long d, long e);

// Does this option of prctl forbid something for good?
bool os_prctl_restricts(int option);

// Sleeps while *word == value, at most so long; may return early.
void os_wait_while(_Atomic uint32_t *word, uint32_t value, uint32_t milliseconds);

// Ends all os_wait_while on this word.
void os_wake(_Atomic uint32_t *word);

// ---- faults (checked and stress builds only) ---------------------------------------------------

enum os_call {
    OS_BREAK,
    OS_RESERVE,
    OS_COMMIT,
    OS_MAP,
    OS_UNMAP,
    OS_REMAP,
    OS_PURGE,
    OS_THREAD_EXIT,
    OS_PROTECT,
    OS_HELPER,
    OS_CALL_COUNT,
};

// Makes call number `nth` (from 1, counted from now) of a kind fail, and all later ones too if
// `forever`. nth == 0: none fails. Returns how many calls of the kind were counted so far.
// Without LUCID_CHECKED or LUCID_STRESS it does nothing and returns 0.
uint64_t os_inject(enum os_call call, uint64_t nth, bool forever);

// Should this call fail? For the os files themselves.
bool os_fault(enum os_call call);

extern char __libc_single_threaded __attribute__((weak)); // glibc 2.32 and later

// Where the C library does not tell, it may be.
static inline bool os_may_be_single_threaded(void) {
    return &__libc_single_threaded == NULL || __libc_single_threaded;
}

static inline bool os_single_threaded(void) {
    return &__libc_single_threaded != NULL && __libc_single_threaded;
}

#endif
