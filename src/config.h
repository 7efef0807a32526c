// Build-time constants. Run-time choices are options (options.h); these are not.
// A stress build shrinks them so that rare transitions happen all the time.
#ifndef LUCID_CONFIG_H
#define LUCID_CONFIG_H

#include "base.h"

#define LUCID_VERSION_MAJOR 0
#define LUCID_VERSION_MINOR 1
#define LUCID_VERSION_PATCH 0
#define LUCID_VERSION_TEXT "0.1.0"

// Options for all programs of the machine; for those who cannot set their environment.
#define OPTIONS_FILE "/etc/lucid.conf"

// The smallest piece of the arena that is handed out. It must not be smaller than a page, and
// x86-64 has 4 KiB pages only, while other machines have up to 64 KiB.
#if defined(__x86_64__) && LUCID_PAGE_SIZE == 0
#define UNIT_SHIFT 14u
#define PAGE_SIZE_MAX 4096u
#else
#define UNIT_SHIFT 16u
#define PAGE_SIZE_MAX 65536u
#endif
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)

#define BLOCK_ALIGN 16u // every block is aligned to this, and no block is smaller
#define SPAN_BLOCKS_MAX ((unsigned)(UNIT_SIZE / BLOCK_ALIGN))
#define SPAN_WORDS (SPAN_BLOCKS_MAX / 64u)

#define CACHE_LINE 64u

// Bins: how many blocks a thread keeps of one class.
// One less than a power of two: with the slot at the bottom the array fills what it is given.
#define BIN_SLOTS_MIN (LUCID_STRESS ? 3u : 15u)
#define BIN_SLOTS_MAX (LUCID_STRESS ? 7u : 2047u)
#define BIN_BYTES_MAX (LUCID_STRESS ? (size_t)2048 : (size_t)64 << 10)
#define BIN_BURST_SIZE 256u // of blocks no larger, any bin may have BIN_BYTES_MAX
#define BIN_SHARE 256u      // of what a thread uses: a bin of large blocks may have so much
// A bin that gave back scattered blocks so many times, and took none, gives back all when it is
// full again. From then on it has a slot for each BIN_IDLE_UNITS that the program uses, but
// BIN_SLOTS_IDLE at least.
#define BIN_FLUSHES_ONLY 1u
#define BIN_SLOTS_IDLE (LUCID_STRESS ? 2u : 15u)
#define BIN_IDLE_UNITS (LUCID_STRESS ? 1024u : 32u) // a page for each is less than 1% of the heap
// So many threads without a heap may be within a few instructions of their first malloc at once.
#define EMPTY_SLOTS 256u
// A bin that ran empty or full twice within so many such events grows.
#define BIN_BUSY_EVENTS 3u
// One that did so this many times in a row may have more than its limit, as long as all bins of the
// thread together have room for no more than its share of this part of what is in use.
#define BIN_STREAK (LUCID_STRESS ? 2u : 8u)
#define BIN_ROOM_MIN (LUCID_STRESS ? (size_t)128 << 10 : (size_t)512 << 10)
#define BIN_ROOM_MAX ((size_t)16 << 20)
#define BIN_ROOM_SHARE (LUCID_STRESS ? 1024u : 8u)
// A bin that neither ran empty nor full for so many events can do with less.
#define BIN_STILL_EVENTS (LUCID_STRESS ? 8u : 256u)

// Groups of threads that look for free blocks in different places first (lane.h). One with as many
// cores has little to gain from more.
#define LANES 8u
// The stacks of such short runs fill a cache line;
// to fill a longer block costs much more than a search.
#define LOOSE_UNITS_MAX 13u
#define LOOSE_MOVED 16u // runs that one lane gives another at once
#define LOOSE_SHARE 32u // of what is in use: a lane with so much keeps no more large blocks' runs

// A thread whose bins ran empty or full no more often than this may end soon: it uses up other
// lanes' spans before it begins its own.
#define YOUNG_EVENTS 8u

// The arena grows by at least this much, and by at most this share of itself.
#define ARENA_STEP_MIN (LUCID_STRESS ? UNIT_SIZE * 4 : (size_t)1 << 20)
#define ARENA_STEP_SHARE 8u
#define ARENA_CAPACITY_MIN ((size_t)4 << 30)
#define ARENA_CAPACITY_MAX ((size_t)8 << 40)

// Huge pages make first touches several times cheaper, and cost memory where only a part of one
// is used. The arena asks for them once it is so large that this part does not matter, and for
// large blocks, which are mostly filled; not where the program leaves its memory
// untouched (filled.h).
#define HUGE_PAGE_SIZE ((size_t)2 << 20)
#define HUGE_ARENA_MIN ((size_t)32 << 20)
#define HUGE_BLOCK_MIN ((size_t)4 << 20)
#define HUGE_MAPPING_SHARE 8u // so large a part of a mapping, at either end, asks for none
#define HUGE_MAPPING_MIN (HUGE_MAPPING_SHARE * HUGE_BLOCK_MIN)

// Blocks above this have a mapping of their own (option mmap_threshold), unless recycled
// (recycle.h) or there is none to be had (large.h).
#define MAPPING_THRESHOLD ((size_t)32 << 20)
#define MAPPING_THRESHOLD_MAX ((size_t)512 << 20)
#define RECYCLED_MAX ((size_t)512 << 20)

#define RUN_BYTES_MAX ((size_t)(UINT16_MAX - 1) * UNIT_SIZE) // unit.back is 16 bits wide

// A large block that is moved to grow by less than one in GROWING_LEAST of itself gets a spare end.
#define GROWING_LEAST 4u
#define GROWING_SPARE 8u

// A class with so many spans gets the memory of its next one from the kernel at once: what the last
// span holds in excess is a small part of the class then.
#define POPULATE_SPANS 8u

// So does a zeroed block up to this size: such a block is mostly read first, which would cost two
// faults for each page, and in a process with threads the second one interrupts
// the other processors.
#define POPULATE_ZEROED_MAX ((size_t)256 << 10)
#define POPULATE_ZEROED_THREADS_MAX ((size_t)1 << 20)

// A request for so much makes room for itself: dirty memory goes back for it (release.h), but for a
// share of all that is in use or dirty.
#define GROWTH_MIN ((size_t)256 << 10)
#define GROWTH_SHARE 16u
#define GROWTH_REGRET 8u                    // one in so many of what went may stay the next time
#define GROWTH_ENOUGH 4u                    // none goes once one in so many of all went before
#define GROWTH_PIECE_MIN ((size_t)64 << 10) // less is not worth a system call

// Nor does any in a heap smaller than this: it reaches its peak all the same, a few blocks later.
#define GROWTH_HEAP_MIN (LUCID_STRESS ? UNIT_SIZE * 8 : (size_t)8 << 20)

// Giving back (purge.h): how much free memory makes it worth while, and how long it must be free.
#define HELPER_START_BYTES (LUCID_STRESS ? UNIT_SIZE * 4 : (size_t)2 << 20)
#define TRIM_AFTER_BYTES (LUCID_STRESS ? UNIT_SIZE * 4 : (size_t)4 << 20)
#define PURGE_AGE_MS (LUCID_STRESS ? 4u : 500u)

// The least limit of memory that can be set.
#define LIMIT_MIN ((size_t)1 << 20)

// Memory that is taken again within this time was given back too early.
#define REGRET_MS 1000u

_Static_assert(UNIT_SIZE >= PAGE_SIZE_MAX, "a unit is never less than a page");
_Static_assert(MAPPING_THRESHOLD_MAX <= RUN_BYTES_MAX &&
                   RECYCLED_MAX + RECYCLED_MAX / GROWING_SPARE <= RUN_BYTES_MAX,
               "a large block is one run, with a spare end");

#endif
