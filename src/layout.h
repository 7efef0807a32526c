// The layout of a lucid heap: every field that another process reads is declared here, and
// nowhere else. This is an interface between the library and its readers; it carries a version,
// contains no function pointer, and never depends on a build option.
//
// Vocabulary
//   page      what the kernel maps; its size is read at start
//   unit      the smallest piece of the arena handed out (UNIT_SIZE bytes)
//   span      a run of units that holds blocks of one size class
//   large     a run of units that holds one block
//   run       one or more units in a row with one purpose: span, large, free or foreign
//   block     what malloc returns: used, cached (in a thread's bin) or free
//   class     the size a request is rounded to (sizeclass.h)
//   bin       a thread's small stock of free blocks of one class
//   heap      a thread's bins and its place in the registry
//   arena     the contiguous range of units from the base to the limit
//   top       the part of the arena no run has used yet
//   pool      units that are free again
//   lane      the lists of spans with free blocks that one group of threads looks in first
//   loose     a free run that a lane keeps for its next span or large block of that length
//   mapping   a block so large that it has an mmap of its own
//   region    a heap of the program's own (lucid_heap_new): spans, large blocks and mappings that
//             are given back together
//
// Picture
//   base                                                           top          limit
//   ┌───────┬────────┬───────────────┬────────┬─────────┬──────────┬────────────┐
//   │unit 0 │ span c │ large         │ free   │ foreign │ span c'  │   top      │
//   └───────┴────────┴───────────────┴────────┴─────────┴──────────┴────────────┘
//   units[u]: bin offset and distance to the head of the run, for every unit
//   runs[u]:  what the run is; valid at the head of each run (and at the tail of free ones)
//
// Invariant (arena_check walks it): the runs tile the arena. Starting at unit 1, adding each
// run's length to its head leads to the next head and ends exactly at top.
#ifndef LUCID_LAYOUT_H
#define LUCID_LAYOUT_H

#include "config.h"
#include "sizeclass.h"

#define LUCID_LAYOUT_VERSION 1u
#define LUCID_LAYOUT_MAGIC "lucid heap root"

// What the run whose head is this unit is used for.
enum run_kind {
    RUN_NONE = 0,    // not the head of a run
    RUN_FREE = 1,    // in the pool
    RUN_SPAN = 2,    // blocks of one class
    RUN_LARGE = 3,   // one block
    RUN_FOREIGN = 4, // inside the arena's range but moved over by somebody else's sbrk, or a hole
    RUN_BUSY = 5,    // taken out of the pool for purging; nobody's block
    RUN_LOOSE = 6,   // free, dirty throughout, and kept by a lane (loose.h)
};

// One entry per unit. `bin` is all that the fast path of free reads.
struct unit {
    uint16_t bin;  // byte offset of the class's bin inside struct heap; 0 unless in a span
    uint16_t back; // distance in units to the head of the run; in a free run: UNIT_DIRTY or 0
};

#define UNIT_DIRTY 1u // in a free run: the unit has been written to since the kernel gave it

// One record per unit, valid at the head of each run.
//
// For a span, with N = blocks of its class and `count` = the signed number in state >> 2:
//   popcount(free bits) + (N - carved) == count     while no thread is in the middle of a move
//   N - count == blocks in bins + blocks in use
//   free bits are 0 for every block >= carved
// For a free run, `prev` in the record of its last unit is the head, so that the right-hand
// neighbour can find it; the neighbour believes it only if that head's shape agrees.
struct run {
    // kind in the low 8 bits, length in units above; one word, so that a run changes its purpose
    // or its length in one store and the tiling can be walked at any instant.
    _Atomic uint64_t shape;
    _Atomic uint32_t state;  // span: see spanstate.h
    uint8_t class;           // span: the size class
    uint8_t lane;            // span: the lane it belongs to
    _Atomic uint16_t carved; // span: blocks below this number have been handed out at least once
    uint32_t next;           // span: partial list; loose: the one given before (0 = none)
    uint32_t prev;           // span: partial list; tail of a free run: its head
    uint32_t left;           // free: the tree of its shelf in the pool
    uint32_t right;
    // Large: bytes asked for by the program. Free: when some of it was last given back to the
    // kernel, as `birth`, or 0. Span: free blocks, plus 1, when
    // its free pages were given back, or 0.
    uint64_t size;
    uint32_t birth; // low half of CLOCK_MONOTONIC_COARSE in ms: made (large) or freed (free);
                    // loose: root.live.drains of that time
    uint32_t dirty; // free, loose: how many of its units are dirty
    // Span: bit b % 64 of word b / 64 set = block b is free. The words of classes of 128 bytes and
    // more lie on the record's first cache line.
    _Atomic uint64_t free[SPAN_WORDS];
    uint64_t seen; // span: free blocks when the helper last looked (low half), and since when it
                   // saw that number (high half, as `birth`)
    // Span, large: the region it belongs to, else NULL. Such a span is HELD by the region for life;
    // its units have no bin, so that every free of its blocks is a slow one. `next` and `prev` link
    // the region's spans of a class with free blocks, `left` and `right` all runs of the region.
    struct lucid_region *region;
};

// A block with an mmap of its own.
struct mapping {
    uint64_t address;            // of the block; 0 = unused entry
    uint64_t size;               // bytes the block may use
    uint64_t start;              // of the mmap
    uint64_t length;             // of the mmap
    uint64_t asked;              // bytes asked for by the program
    struct lucid_region *region; // it belongs to, else NULL
    uint64_t before, behind;     // in the region's list of mappings: their addresses, or 0
};

// A thread's stock of blocks of one class: an array of pointers that grows upwards.
//   slots[c][0] == NULL (so that an empty bin needs no compare), blocks in slots[c][1] to top[-1]
//   slots[c] + 1 <= top <= end, or end == NULL: to be looked at, see heap.asked
struct bin {
    void **top; // the next free slot
    void **end; // top >= end: full
};

// Numbers the slow paths count; one set per heap, written by its thread only.
struct heap_counters {
    uint64_t refills; // times a bin was filled from spans
    uint64_t refill_blocks;
    uint64_t flushes; // times blocks went from a bin back to their spans
    uint64_t flush_blocks;
    uint64_t larges; // large blocks and mappings made
};

enum heap_state {
    HEAP_FREE = 0, // no thread has it
    HEAP_LIVE = 1,
};

// The bins of a thread that sleeps. From ASKED on `end` may be NULL; from FENCED on there are empty
// slots (NULL) among those below the top.
enum idle_stage { IDLE_NO = 0, IDLE_ASKED = 1, IDLE_FENCED = 2, IDLE_TAKEN = 3 };

// The topmost block of a bin, kept aside since it is FENCED: what belongs into slot number `slot`
// as long as the top is above it.
struct fence {
    uint32_t slot; // 0: the bin has no fence
    uint32_t reserved;
    void *block;
};

struct heap {
    struct bin bins[CLASS_COUNT]; // must be first: unit.bin is an offset into it
    void **slots[CLASS_COUNT];    // bottom of each bin's array; NULL until first used
    uint16_t capacity[CLASS_COUNT];
    uint32_t held[CLASS_COUNT];       // head of the span held for refilling, or 0
    uint32_t last_event[CLASS_COUNT]; // value of `events` when the bin last ran empty or full
    uint32_t events;                  // times any bin of the heap ran empty or full
    uint32_t state;                   // enum heap_state
    uint32_t tid;
    uint64_t thread;   // the thread's pthread_self(), for naming it
    struct heap *next; // registry: every heap ever made
    struct heap *next_free;
    // What is being given back to the spans at this moment, by the thread or from FENCED on by the
    // helper: the oldest `flush_count` blocks of this class's bin.
    uint32_t flush_class;
    uint32_t flush_count;
    struct heap_counters counters;
    uint64_t given; // bytes of blocks given back to spans, less those taken, since a trim was asked
    uint8_t flushes_only[CLASS_COUNT]; // times in a row the bin gave blocks back and took none
    uint64_t guard_next; // a sample is due when counters.refill_blocks exceeds this; 0: see guard.c
    // 1: somebody wants back what is in the bins (idle_ask). The bins' `end` is NULL then, or
    // has been, so that the next free of the thread comes by.
    _Atomic uint32_t asked;
    uint32_t lane; // in which the thread looks for spans first
    // While the thread is idle (idle.h): how far the helper is with its bins.
    _Atomic uint32_t busy; // slow paths that the thread is on
    _Atomic uint32_t idle; // enum idle_stage
    _Atomic uint32_t idle_lock;
    uint32_t idle_since;  // coarse ms; of the stage, or of the last event
    uint32_t idle_events; // as `events` when the helper last looked
    uint32_t young_until; // value of `events` up to which the thread counts as young (bin.c)
    struct fence *fences; // one per class; NULL: the heap was never fenced
    struct bin *shut;     // what the thread has for bins while its calls are watched (heap.c)
    // Bytes of blocks that all bins have room for; of these, how many they may hold again and no
    // helper knows of (purge.h): room == sum of capacity[c] * size of c; unnoted <= room.
    uint32_t room;
    uint32_t unnoted;
    uint32_t searched;    // value of `events` when a bin was last looked for to become small
    uint32_t fresh_block; // head of the thread's last block of HUGE_BLOCK_MIN, 0: it was looked at
    uint32_t unfilled;    // so many of these in a row were not filled (filled.h)
    bool fresh_is_zeroed; // the last of these was made by calloc
    bool zeroed_filled;   // the last that was, and was looked at, was filled
    uint8_t streak[CLASS_COUNT]; // times the bin was too small, a moment ago too, since it grew
};

#define REGION_NAME_ROOM 32u

enum region_state {
    REGION_FREE = 0, // ended, or never begun
    REGION_LIVE = 1,
    REGION_ENDING = 2,
};

// A heap of the program's own (region.h). A record is made once and never freed; an ended one waits
// for the next region.
struct lucid_region {
    uint64_t self;          // address of the record
    _Atomic uint32_t lock;  // guards what follows, the records of its runs and their free bits
    _Atomic uint32_t state; // enum region_state
    char name[REGION_NAME_ROOM];
    struct lucid_region *next;      // registry: every region ever made
    struct lucid_region *next_free; // those that have ended, oldest first
    uint32_t runs;                  // the first of all its runs
    _Atomic uint32_t mappings;      // how many of its blocks are mappings
    uint32_t current[CLASS_COUNT];  // the span that blocks of a class are taken from
    uint32_t usable[CLASS_COUNT];   // the first of the other spans with free blocks
    uint64_t first_mapping;         // address; 0: none. The lock of the mappings guards the list
};

struct region_table {
    _Atomic uint32_t lock; // guards the registry
    uint32_t count;
    struct lucid_region *first; // registry, newest first
    struct lucid_region *free;  // oldest first
    struct lucid_region *free_last;
    uint32_t free_count;
    uint32_t reserved;
};

// One per lane and class: the spans that are not held and have free blocks.
struct class_list {
    _Atomic uint32_t lock;
    uint32_t head;  // most recent first
    uint32_t tail;  // spans whose free pages were given back, to be used last
    uint32_t spans; // spans of the class that belong to the lane
};

// A lane's loose runs, by length.
struct loose {
    _Atomic uint32_t lock;
    uint32_t units;                      // of all of these
    uint32_t first[LOOSE_UNITS_MAX + 1]; // of each length: the run given last, 0: there is none;
                                         // number 0: one that is longer
};
_Static_assert(sizeof(struct loose) == CACHE_LINE, "the first lane and the root share a page");

struct lane {
    struct loose loose __attribute__((aligned(CACHE_LINE)));
    struct class_list lists[CLASS_COUNT] __attribute__((aligned(CACHE_LINE)));
};

// Free runs of similar lengths share a shelf: below POOL_SHELVES_EXACT units those of one length,
// then those of a quarter of a doubling, and the last has all that are longer.
//   root.fixed.shelves[side][s] != 0  <=>  bit s of pool.filled[side] is set
//   every run of a shelf is shorter than any of a later one
#define POOL_SHELVES 64u
#define POOL_SHELVES_EXACT 16u

enum pool_side {
    POOL_CLEAN = 0,
    POOL_DIRTY = 1, // runs with at least one dirty unit
    POOL_SIDES
};

struct pool {
    _Atomic uint32_t lock; // also guards the arena's growth and every run's shape
    uint32_t free_units;   // units of all free runs
    uint32_t dirty_units;  // dirty units of all free runs
    uint32_t last_purge;   // coarse milliseconds
    uint32_t last_drain;   // the same: when `drains` was counted up
    uint64_t purged_units;
    uint64_t purges;
    // Units in use or dirty; dirty ones go when a large block would make it more (release.h).
    uint64_t most_touched;
    uint64_t growth_units; // that went for it so far
    // Of each side, one bit a shelf. The shelves themselves are behind the lanes (root.c), where a
    // program that gives no units back never touches them.
    uint64_t filled[POOL_SIDES];
};

// What an observer can be told (event.h). The numbers are part of the layout.
enum event_kind {
    EVENT_ALLOC,  // a call that returned a block; needs every call
    EVENT_FREE,   // a block given back; needs every call
    EVENT_RESIZE, // realloc changed a block's size in place
    EVENT_SPAN_MADE,
    EVENT_SPAN_GONE,
    EVENT_LARGE_MADE,
    EVENT_LARGE_GONE,
    EVENT_MAPPING_MADE,
    EVENT_MAPPING_GONE,
    EVENT_REFILL, // blocks moved from spans into a bin
    EVENT_FLUSH,  // blocks moved from a bin back to spans
    EVENT_KINDS,
};

// Bits of root.live.watch: 1 << kind for every event that an observer wants, and these.
#define WATCH_CALLS ((uint32_t)1 << 30)  // no thread's bins serve malloc and free directly
#define WATCH_HARDEN ((uint32_t)1 << 31) // hardened mode (harden.h)

// What the observer `counters` counts.
struct event_counts {
    uint64_t times[EVENT_KINDS];
    uint64_t bytes[EVENT_KINDS];
    uint64_t blocks[EVENT_KINDS];
    uint64_t allocs[CLASS_COUNT]; // by class; large blocks and mappings are class 0
    uint64_t frees[CLASS_COUNT];
};

// Hardened mode. Bins are not used; a block is free, in quarantine or in use.
struct hardened {
    // Bit g % 64 of word g / 64 is set while a block in use begins at granule g of BLOCK_ALIGN
    // bytes behind the base. The words of units below `opened` are accessible.
    _Atomic uint64_t *live;
    uint64_t opened;
    uint32_t quarantined[CLASS_COUNT]; // blocks in quarantine
    _Atomic uint64_t padding; // bytes of small blocks in use that the program did not ask for
    uint64_t ring;            // bytes of the table of blocks in quarantine
};

// Sampled guard pages (guard.h): slot i's page is page 2 * i + 1 of the pool.
#define GUARD_SLOTS 64u
#define GUARD_FRAMES 16u

enum guard_slot_state { SLOT_NEW = 0, SLOT_USED = 1, SLOT_FREEING = 2, SLOT_FREED = 3 };

struct guard_slot {
    _Atomic uint32_t state; // enum guard_slot_state
    uint32_t alloc_tid;
    uint32_t free_tid;
    uint32_t alloc_count; // return addresses in the arrays below
    uint32_t free_count;
    uint64_t address; // of the block
    uint64_t size;    // bytes the program asked for
    uint64_t alloc_stack[GUARD_FRAMES];
    uint64_t free_stack[GUARD_FRAMES];
};

struct guard {
    uintptr_t start; // of the pool
    uint64_t length; // 0: there is none yet
    struct guard_slot *slots;
    uint32_t slot_count;
    uint32_t next; // the slot to be tried next
    _Atomic uint32_t lock;
    uint32_t failed; // there was no address space for the pool
};

// Values of the options by number (options.h), and where each came from.
#define OPTION_ROOM 32u

struct option_values {
    uint64_t value[OPTION_ROOM];
    uint8_t source[OPTION_ROOM]; // enum option_source
};

// A page that the kernel wipes in the child of a fork (fork.h).
struct fork_page {
    _Atomic uint32_t known; // 0: a child that has not rebuilt its heap yet
    _Atomic uint32_t lock;  // for the threads that come to rebuild it at once
    struct heap *forker;    // in the child: the heap of the one thread that lives on, if known
    _Atomic uint32_t forks; // threads that are about to fork
    _Atomic uint32_t looks; // 1: the helper is at work, and may hold locks
};

struct mapping_table {
    _Atomic uint32_t lock;
    uint32_t count;
    uint32_t capacity; // entries; a power of two or 0
    uint32_t next_capacity;
    struct mapping *entries;      // open addressing by address
    uint64_t bytes;               // sum of length
    struct mapping *next_entries; // the larger table that is just taking over, else NULL
    uint64_t asked;               // sum of asked
    uint64_t most_bytes;          // the highest that `bytes` ever was
    uint32_t most_count;          // and `count`
    uint32_t unfilled;            // so many in a row, not zeroed, were not filled (filled.h)
    uintptr_t fresh;              // the last of these, 0: it was looked at
};

// Sizes and offsets of the structures above, for readers of another version.
struct layout_description {
    uint16_t size_unit, size_run, size_mapping, size_bin, size_heap, size_sizeclass;
    uint16_t size_class_list, size_pool, size_mapping_table, size_fixed, size_live;
    uint16_t run_shape, run_state, run_class, run_carved, run_size, run_birth, run_dirty, run_free;
    uint16_t heap_slots, heap_capacity, heap_held, heap_state, heap_tid, heap_next, heap_counters;
    uint16_t class_count, class_linear_count, unit_shift;
    uint16_t pointer_size;
    uint32_t offset_live; // 64 KiB where pages may be that large
    uint16_t size_region, run_region, region_state, region_name, region_next;
    uint16_t heap_fences, size_fence;
    uint16_t size_lane;
};

// Fixed once the first allocation has set it up; its page is read-only from then on.
struct root_fixed {
    char magic[16]; // LUCID_LAYOUT_MAGIC
    uint32_t version;
    uint32_t page_size;
    uintptr_t self; // address of the root: a copy of it elsewhere is recognised as a copy
    uintptr_t base; // of the arena, aligned to UNIT_SIZE; unit 0 begins here and is never used
    struct unit *units;
    struct run *runs;
    uint64_t capacity;     // units the tables have room for
    uintptr_t break_start; // the program break when the arena began
    uintptr_t meta_start;  // all metadata lies in [meta_start, meta_end) and in the root
    uintptr_t meta_end;
    uint64_t mark; // secret; see free.c
    char library_version[16];
    struct layout_description layout;
    void *empty_slots[EMPTY_SLOTS]; // always NULL: what lies below the top of the bins of nobody
    struct sizeclass classes[CLASS_COUNT];
    uint32_t (*shelves)[POOL_SHELVES]; // of either side of the pool: the root of each shelf's tree
    uint32_t tables_reserved; // 1: their addresses are reserved; 0: they lie apart (tables.h)
};

enum helper_phase {
    HELPER_NONE = 0,
    HELPER_WORKS = 1,
    HELPER_WANTED = 2,  // it works, and was asked again since it last looked
    HELPER_LEAVING = 3, // it has done its work; its stack is free once `tid` is 0
};

#define HELPER_TID_UNKNOWN 1u // giving.tid while one is being made: the number of init

// Has the program forbidden itself something for good (prctl), and had it rights then?
enum restricted { RESTRICTED_NOT = 0, RESTRICTED = 1, RESTRICTED_NO_RIGHTS = 2 };

// Giving memory back (purge.h), and the thread that does so while the program is idle (helper.h).
struct giving {
    _Atomic uint32_t lock;   // held by who starts the helper
    _Atomic uint32_t phase;  // enum helper_phase
    _Atomic uint32_t tid;    // of the helper; 0: there is none
    _Atomic uint32_t trim;   // free pages inside spans are worth looking for, for the nth time
    _Atomic uint32_t paused; // by so many: there is to be no helper
    _Atomic uint32_t rings;  // times it was to look at once; it rests on this word
    void *stack;             // of the helper, once there was one
    uint32_t age;            // ms that memory stays free before it is given back; learned
    uint32_t starts;         // helpers there were
    uint32_t refused;        // when there could be none, or the kernel took nothing; 0: never
    uint32_t small_holes;    // times huge pages were declined for memory that was given back
    uint32_t last_regret;    // when too much was wanted again too soon
    uint32_t restricted;     // enum restricted
    uint64_t regret_units;   // given back and taken again within REGRET_MS
    uint64_t regrets_known;  // of these, how many the helper has learned from
    _Atomic uint64_t trimmed_bytes; // free pages of spans given back
    _Atomic uint64_t growth; // bytes by which bins have grown since the helper was asked to look
    uint64_t idle_blocks;    // taken from idle threads' bins
    uintptr_t small_start;   // where huge pages were declined last
    uintptr_t small_end;
    uintptr_t small_front;  // up to here huge pages were declined in the arena's first part
    uint32_t small_tables;  // 1: they were declined in the tables
    _Atomic uint32_t empty; // 1: what all threads have in their bins is wanted at once
    uint32_t moved;         // 1: the program has entered other namespaces, where it may have rights
    uint32_t small_tail;    // unit from which on the arena is declined huge pages (filled.h), or 0
};

// A wish from outside (answer.h; `lucid ctl` is who asks). The asker writes everything up to
// `value`, then `state` = ASKED, and makes the process look by a signal. The answer comes the same
// way round: what was done, `answered` = `id`, then `state` = ANSWERED.
enum request_state {
    REQUEST_CLOSED = 0, // the option `ctl` is off: nobody looks here
    REQUEST_OPEN = 1,
    REQUEST_ASKED = 2,
    REQUEST_WORKS = 3,
    REQUEST_ANSWERED = 4, // as good as open
};

enum request_action { REQUEST_PURGE = 1, REQUEST_TRIM = 2, REQUEST_SET = 3 };

enum request_result {
    RESULT_DONE = 0,
    RESULT_UNKNOWN = 1,   // no such action or option
    RESULT_NO_VALUE = 2,  // out of the option's range
    RESULT_FIXED = 3,     // the option is read at the start only
    RESULT_NO_HELPER = 4, // there can be no helper in this process
};

struct request {
    _Atomic uint32_t state; // enum request_state
    uint32_t signal;        // that makes the process look
    uint64_t id;            // chosen by the asker
    uint32_t action;        // enum request_action
    uint32_t option;        // REQUEST_SET: enum option
    uint64_t value;
    uint64_t answered; // `id` of the request that was answered last
    uint32_t result;   // enum request_result
    uint32_t reserved;
    uint64_t pool_bytes; // free runs that were given back
    uint64_t span_bytes; // free pages inside spans that were given back
    uint64_t nudges;     // signals that came
};

// How much memory there may be, and how much there is (allowance.h).
struct allowance {
    uint64_t most; // bytes; 0: no limit
    _Atomic uint64_t taken;
    _Atomic uint64_t refused; // times
};

// Fields that are written often lie on other cache lines than those that every call reads.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): that is what the padding is for
struct root_live {
    // Read by every free; all of these change only when the arena grows.
    _Atomic uint64_t reach; // BLOCK_ALIGN-byte granules from base to the end of the arena
    uint64_t limit;         // units from base to the end of the arena: reach in units
    uint64_t committed;     // units whose records are accessible
    uintptr_t break_end;    // the break as we last left it; 0: the break is not usable
    uintptr_t huge_end;   // up to here, by whole ones, it is settled where huge pages are asked for
    uint32_t break_moves; // times somebody else's move of the break was stepped over
    uint32_t continued;   // times the arena went on in a mapping because the break did not move

    // Read by the slow paths, and written hardly ever.
    _Atomic uint32_t ready __attribute__((aligned(CACHE_LINE))); // 1 once everything is set up
    uint32_t watch;              // WATCH_ bits; does not change once `ready`
    struct fork_page *fork_page; // NULL while the process has had one thread only
    struct event_counts *counts; // NULL: the option `events` is off
    struct hardened *hardened;   // NULL: hardened mode is off
    struct guard *guard;         // NULL: no block was sampled yet
    _Atomic uint32_t init_lock;
    uint32_t populate_refused; // the kernel does not put memory behind addresses when asked
    uint32_t drains;           // times that old loose runs were made free, see arena_drain_old
    struct lane *lanes;        // LANES of them
    struct option_values options;

    // Written whenever units change hands.
    _Atomic uint64_t top __attribute__((aligned(CACHE_LINE))); // first unit no run has used yet
    struct pool pool;

    // Written now and then.
    struct mapping_table mappings;
    _Atomic uint64_t larges;   // large blocks and mappings made by threads without a heap
    _Atomic uint64_t recycled; // bytes of the largest block freed so far that is recycled (large.c)
    _Atomic uint32_t heap_lock; // guards the registry
    uint32_t heap_count;
    struct heap *heaps; // registry, newest first
    struct heap *heaps_free;
    uint32_t threads; // heaps that belong to a living thread
    _Atomic uint32_t meta_lock;
    uintptr_t meta_next;      // heaps and bins lie from here to meta_end: the next one ends here
    uintptr_t meta_committed; // the lowest address that is accessible
    void *meta_free[16];      // returned memory by power of two, 64 bytes first
    struct giving giving;
    struct region_table regions;
    struct request request;
    struct allowance allowance;

    // The bins of a thread without a heap, empty and full at once: of all such threads together.
    //   empty_slots < nobody[c].top <= empty_slots + EMPTY_SLOTS, end == NULL
    struct bin nobody[CLASS_COUNT];
};

struct lucid_root {
    union { // `fixed` has its pages to itself; what is written now and then begins behind them
        struct root_fixed fixed;
        char fixed_page[PAGE_SIZE_MAX];
    };
    struct root_live live;
};

_Static_assert(sizeof(struct unit) == 4, "one cache line covers 256 KiB of arena");
_Static_assert(sizeof(struct run) == 64 + SPAN_WORDS * 8, "records do not straddle cache lines");
_Static_assert(CLASS_COUNT <= UINT8_MAX && LANES <= UINT8_MAX, "a run has a byte for either");
_Static_assert(sizeof(struct bin) == BLOCK_ALIGN, "the bin of a tiny size is an offset away");
_Static_assert(sizeof(struct root_fixed) <= PAGE_SIZE_MAX, "one page becomes read-only");

static inline enum run_kind run_kind_of(uint64_t shape) {
    return (enum run_kind)(shape & 0xff);
}

static inline uint32_t run_length_of(uint64_t shape) {
    return (uint32_t)(shape >> 8);
}

static inline uint64_t run_shape(enum run_kind kind, uint32_t length) {
    return (uint64_t)length << 8 | (uint64_t)kind;
}

#endif
