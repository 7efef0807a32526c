#include "event.h"

#define OBSERVERS_MAX 4u

static const struct observer *observers[OBSERVERS_MAX];
static unsigned observer_count;

bool event_attach(const struct observer *observer) {
    if (observer_count == OBSERVERS_MAX) {
        return false;
    }
    observers[observer_count++] = observer;
    root.live.watch |= observer->wants;
    if (observer->wants & ((uint32_t)1 << EVENT_ALLOC | (uint32_t)1 << EVENT_FREE)) {
        root.live.watch |= WATCH_CALLS;
    }
    return true;
}

COLD void event_tell(enum event_kind kind, const void *address, uint64_t bytes, uint32_t class,
                     uint32_t blocks) {
    struct event event = {
        .kind = kind, .address = address, .bytes = bytes, .class = class, .blocks = blocks};
    for (unsigned i = 0; i < observer_count; i++) {
        if (observers[i]->wants & (uint32_t)1 << kind) {
            observers[i]->told(&event);
        }
    }
}
