// Hardened mode (option `harden`): small blocks. Large ones are fenced (fence.h).
//
// Every call takes the slow path and no bin is used, so that what is in use is known exactly, out
// of band and at once: one bit for each possible block start in a table of its own. On top of it
//   canaries     behind every block, checked at free, realloc and malloc_usable_size
//   wiping       a freed block is filled with CANARY_FREED
//   quarantine   a freed block is kept out of use until later frees push it out, in random order
//   checking     that nobody wrote to a freed block, when it leaves the quarantine and again when
//                it is issued
//   placement    a block is taken at random among the free ones of its span
// and a span's pages go through the kernel before another class may have them (span.c).
//
// Invariants: a block's live bit is set exactly while the program owns it, and with no call under
// way, over all blocks with a live bit,
//   padding == sum of (class size - bytes asked for)
#ifndef LUCID_HARDEN_H
#define LUCID_HARDEN_H

#include "canary.h"
#include "root.h"

static inline bool harden_on(void) {
    return unlikely(root.live.watch & WATCH_HARDEN);
}

// Switches hardened mode on. False: no address space for its tables; it stays off.
// pre: not `ready` yet, under the start-up lock.
bool harden_begin(void);

// A block of the class for `asked` bytes; `heap` may be NULL. NULL: no memory.
// pre: asked + CANARY_BYTES <= size of the class.
void *harden_new(struct heap *heap, unsigned class, size_t asked);

// Bytes the program asked for. Panics, naming `function`, when the block is not in use or its
// canary is damaged. pre: `block` is the address of a block of that class.
size_t harden_size(const void *block, unsigned class, const char *function);

// Wipes a block and sends it into the quarantine. pre: harden_size() was fine, and is `asked`.
void harden_free(void *block, unsigned class, size_t asked, const char *function);

// Checks what is in the quarantine and makes free blocks of it all: there is no memory without.
void harden_empty_quarantine(const char *function);

// Makes the block of `old` bytes one for `asked` bytes if that is the same class. False: it has to
// move. pre: harden_size() is `old`.
bool harden_resize(void *block, unsigned class, size_t old, size_t asked);

// The same in whatever class it is: there is no memory for a smaller one.
// pre: harden_size() is `old`; asked + CANARY_BYTES <= size of the class.
void harden_reseal(void *block, unsigned class, size_t old, size_t asked);

void harden_after_fork(void);

#endif
