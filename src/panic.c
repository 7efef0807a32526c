#include "panic.h"

#include "os/os.h"
#include "root.h"

struct text panic_begin(char *buffer, size_t capacity) {
    struct text line = text_begin(buffer, capacity);
    text_add(&line, os_program_name());
    text_add_char(&line, '(');
    text_add_number(&line, os_process_id());
    text_add(&line, ") lucid: ");
    return line;
}

static _Noreturn void finish(struct text *line) {
    text_add_char(line, '\n');
    os_write(2, line->start, line->length);
    os_abort();
}

// "N bytes into the ", if any, "SIZE-byte block ", and where that begins unless it is `address`.
static void describe_block(struct text *line, uintptr_t address, uintptr_t block, uint64_t size,
                           const char *what) {
    if (address != block) {
        text_add_number(line, address - block);
        text_add(line, " bytes into the ");
    }
    text_add_number(line, size);
    text_add(line, what);
    if (address != block) {
        text_add_char(line, ' ');
        text_add_hex(line, block);
    }
}

static void describe_span(struct text *line, uint32_t head, uintptr_t address) {
    unsigned class = run_at(head)->class;
    if (class == 0 || class >= CLASS_COUNT) {
        text_add(line, "in a damaged span");
        return;
    }
    size_t size = sizeclass_size(class);
    unsigned index = sizeclass_index(class, address - unit_address(head));
    describe_block(line, address, unit_address(head) + index * size, size, "-byte block");
    text_add(line, " of span ");
    text_add_hex(line, unit_address(head));
}

static void describe_unit(struct text *line, uintptr_t address) {
    uint32_t unit = unit_of(address);
    uint32_t head = unit;
    uint64_t shape = run_load(head);
    if (run_kind_of(shape) == RUN_NONE) {
        head = unit - root.fixed.units[unit].back;
        shape = run_load(head);
    }
    switch (run_kind_of(shape)) {
    case RUN_SPAN:
        describe_span(line, head, address);
        break;
    case RUN_LARGE:
        describe_block(line, address, unit_address(head), run_at(head)->size, "-byte large block");
        break;
    case RUN_FOREIGN:
        text_add(line, "in memory that somebody else took with sbrk");
        break;
    default:
        text_add(line, "in a free part of the arena");
        break;
    }
}

static bool is_guarded(const void *pointer) {
    const struct guard *guard = root.live.guard;
    return guard != NULL && (uintptr_t)pointer - guard->start < guard->length;
}

// The line up to the details.
static struct text misuse_begin(char *buffer, size_t capacity, const char *function,
                                const char *kind, const void *pointer) {
    struct text line = panic_begin(buffer, capacity);
    text_add(&line, function);
    text_add(&line, "(): ");
    text_add(&line, kind);
    text_add_char(&line, ' ');
    text_add_hex(&line, (uintptr_t)pointer);
    text_add(&line, " (");
    return line;
}

static void misuse_end(struct text *line) {
    text_add(line, ")\n");
    os_write(2, line->start, line->length);
}

void panic_describe(const char *function, const char *kind, const void *pointer) {
    char buffer[400];
    struct text line = misuse_begin(buffer, sizeof(buffer) - 1, function, kind, pointer);
    if (root.fixed.units == NULL) {
        text_add(&line, "nothing was given out so far");
    } else if (in_arena((uintptr_t)pointer)) {
        describe_unit(&line, (uintptr_t)pointer);
    } else if (is_guarded(pointer)) {
        text_add(&line, "a sampled block between guard pages");
    } else {
        text_add(&line, "in no block of lucid's");
    }
    misuse_end(&line);
}

_Noreturn void panic_mapped(const char *function, const char *kind, const void *pointer,
                            const struct mapping *mapping) {
    char buffer[400];
    struct text line = misuse_begin(buffer, sizeof(buffer) - 1, function, kind, pointer);
    describe_block(&line, (uintptr_t)pointer, mapping->address, mapping->asked,
                   "-byte mapped block");
    misuse_end(&line);
    os_abort();
}

_Noreturn void panic_misuse(const char *function, const char *kind, const void *pointer) {
    panic_describe(function, kind, pointer);
    os_abort();
}

_Noreturn void panic_broken(const char *what, uint64_t number) {
    char buffer[300];
    struct text line = panic_begin(buffer, sizeof(buffer) - 1);
    text_add(&line, what);
    text_add_char(&line, ' ');
    text_add_hex(&line, number);
    finish(&line);
}
