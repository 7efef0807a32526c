#include "counters.h"

#include "event.h"
#include "os/os.h"
#include "panic.h"

static struct event_counts counts;

static void add(uint64_t *count, uint64_t amount) {
    (void)__atomic_fetch_add(count, amount, __ATOMIC_RELAXED);
}

static void count_event(const struct event *event) {
    add(&counts.times[event->kind], 1);
    add(&counts.bytes[event->kind], event->bytes);
    add(&counts.blocks[event->kind], event->blocks);
    if (event->kind == EVENT_ALLOC) {
        add(&counts.allocs[event->class], 1);
    } else if (event->kind == EVENT_FREE) {
        add(&counts.frees[event->class], 1);
    }
}

static const struct observer observer = {
    .wants = ((uint32_t)1 << EVENT_KINDS) - 1,
    .told = count_event,
};

void counters_begin(void) {
    if (event_attach(&observer)) {
        root.live.counts = &counts;
    }
}

static void print_kind(enum event_kind kind, const char *name) {
    char buffer[200];
    struct text line = panic_begin(buffer, sizeof(buffer));
    text_add(&line, name);
    text_add_char(&line, ' ');
    text_add_number(&line, counts.times[kind]);
    text_add(&line, " times, ");
    text_add_number(&line, counts.blocks[kind]);
    text_add(&line, " blocks, ");
    text_add_number(&line, counts.bytes[kind]);
    text_add(&line, " bytes\n");
    os_write(2, line.start, line.length);
}

static void print_class(unsigned class) {
    char buffer[200];
    struct text line = panic_begin(buffer, sizeof(buffer));
    if (class == 0) {
        text_add(&line, "larger blocks: ");
    } else {
        text_add_number(&line, sizeclass_size(class));
        text_add(&line, "-byte blocks: ");
    }
    text_add_number(&line, counts.allocs[class]);
    text_add(&line, " allocated, ");
    text_add_number(&line, counts.frees[class]);
    text_add(&line, " freed\n");
    os_write(2, line.start, line.length);
}

__attribute__((destructor)) static void print_counts(void) {
    static const char *const names[EVENT_KINDS] = {
        [EVENT_ALLOC] = "alloc",
        [EVENT_FREE] = "free",
        [EVENT_RESIZE] = "resize",
        [EVENT_SPAN_MADE] = "span made",
        [EVENT_SPAN_GONE] = "span gone",
        [EVENT_LARGE_MADE] = "large made",
        [EVENT_LARGE_GONE] = "large gone",
        [EVENT_MAPPING_MADE] = "mapping made",
        [EVENT_MAPPING_GONE] = "mapping gone",
        [EVENT_REFILL] = "refill",
        [EVENT_FLUSH] = "flush",
    };
    if (root.live.counts == NULL) {
        return;
    }
    for (unsigned kind = 0; kind < EVENT_KINDS; kind++) {
        print_kind((enum event_kind)kind, names[kind]);
    }
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        if (counts.allocs[class] != 0 || counts.frees[class] != 0) {
            print_class(class);
        }
    }
}
