// Events: what happens in the heap, told to those who asked for it.
//
// Cost: nothing on the fast paths of malloc and free. They hold no event and no test for one; a
// wish for EVENT_ALLOC or EVENT_FREE sets WATCH_CALLS, with which no thread ever sees bins that
// could serve it (heap_get), so that each call leaves the fast path by a test it makes anyway.
// On the slow paths an event that nobody wants is one branch on root.live.watch.
//
// Observers are attached before the first block is served and stay for the life of the process.
#ifndef LUCID_EVENT_H
#define LUCID_EVENT_H

#include "root.h"

struct event {
    enum event_kind kind;
    const void *address; // of the block, span or mapping; refill, flush: of the bin's slots
    uint64_t bytes;      // the size asked for; free: the size the program could use
    uint32_t class;      // 0: not small
    uint32_t blocks;
};

// Called on the thread the event happens on, possibly on several at once and within a lock of the
// allocator. Must not allocate, free, or lock anything.
struct observer {
    uint32_t wants; // 1 << kind for each
    void (*told)(const struct event *event);
};

// Attaches an observer; it has to live as long as the process. False: there are too many.
// pre: not `ready` yet, under the start-up lock.
bool event_attach(const struct observer *observer);

void event_tell(enum event_kind kind, const void *address, uint64_t bytes, uint32_t class,
                uint32_t blocks);

// To be called where the event happens, on slow paths only.
ALWAYS_INLINE void event_raise(enum event_kind kind, const void *address, uint64_t bytes,
                               uint32_t class, uint32_t blocks) {
    if (unlikely(root.live.watch & (uint32_t)1 << kind)) {
        event_tell(kind, address, bytes, class, blocks);
    }
}

#endif
