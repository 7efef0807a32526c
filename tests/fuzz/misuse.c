#include "misuse.h"

#include "child.h"
#include "fail.h"
#include "root.h"
#include "shadow.h"
#include "span.h"

#include <lucid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define REMEMBERED 32u

static const void *freed[REMEMBERED];
static unsigned next_freed;

void misuse_remember(const void *block) {
    freed[next_freed++ % REMEMBERED] = block;
}

// One act and the words one of which the panic line must contain.
struct act {
    const char *name;
    void *pointer;
    size_t size;
    size_t alignment;
    void (*run)(const struct act *act);
    const char *kinds[6];
};

static void run_free(const struct act *act) {
    lucid_free(act->pointer);
}

static void run_free_twice(const struct act *act) {
    lucid_free(act->pointer);
    lucid_free(act->pointer);
}

static void run_free_later(const struct act *act) {
    lucid_free(act->pointer);
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        if (shadow[i].block != NULL && shadow[i].block != act->pointer && i % 2 == 0) {
            lucid_free(shadow[i].block);
        }
    }
    lucid_free(act->pointer);
}

static void run_realloc(const struct act *act) {
    (void)!lucid_realloc(act->pointer, 100);
}

static void run_usable(const struct act *act) {
    (void)lucid_malloc_usable_size(act->pointer);
}

static void run_free_sized(const struct act *act) {
    lucid_free_sized(act->pointer, act->size);
}

static void run_free_aligned_sized(const struct act *act) {
    lucid_free_aligned_sized(act->pointer, act->alignment, act->size);
}

static void do_act(void *argument) {
    const struct act *act = argument;
    act->run(act);
    // A wrong pointer that got into a bin is found at the latest when the bin is given back.
    (void)lucid_malloc_trim(0);
}

static const struct slot *some_slot(struct input *input) {
    unsigned first = input_pair(input);
    for (unsigned i = 0; i < SHADOW_SLOTS; i++) {
        const struct slot *slot = &shadow[(first + i) % SHADOW_SLOTS];
        if (slot->block != NULL) {
            return slot;
        }
    }
    return NULL;
}

typedef void run_function(const struct act *act);

// free, realloc or malloc_usable_size: whichever the input says.
static run_function *some_use(struct input *input) {
    static run_function *const uses[] = {run_free, run_realloc, run_usable};
    return uses[input_byte(input) % 3];
}

static bool double_free(struct input *input, const struct slot *slot, struct act *act) {
    act->name = "double free";
    act->pointer = slot->block;
    act->run = input_byte(input) % 2 ? run_free_twice : run_free_later;
    act->kinds[0] = "double free";
    act->kinds[1] = "freed already or never given out";
    act->kinds[2] = "into the middle"; // a large block that joined the one before it, freed as well
    return true;
}

// A block given back earlier, on whatever thread, that is not part of a block in use again.
static bool use_after_free(struct input *input, const struct slot *slot, struct act *act) {
    (void)slot;
    const void *pointer = freed[input_byte(input) % REMEMBERED];
    if (pointer == NULL || shadow_find((uintptr_t)pointer) != NULL) {
        return false;
    }
    *act = (struct act){"use after free",
                        (void *)(uintptr_t)pointer,
                        0,
                        0,
                        some_use(input),
                        {"double free", "free block", "freed already or never given out",
                         "into the middle", "never handed out"}};
    return true;
}

static bool interior(struct input *input, const struct slot *slot, struct act *act) {
    if (slot->usable <= BLOCK_ALIGN) {
        return false;
    }
    size_t places = (slot->usable - 1) / BLOCK_ALIGN;
    size_t offset = (1 + input_pair(input) % places) * BLOCK_ALIGN;
    *act = (struct act){"interior pointer", slot->block + offset, 0, 0,
                        some_use(input),    {"into the middle"}};
    return true;
}

static bool unaligned(struct input *input, const struct slot *slot, struct act *act) {
    *act = (struct act){
        "unaligned pointer",  slot->block + 1 + input_byte(input) % 15, 0, 0, some_use(input),
        {"unaligned pointer"}};
    return true;
}

static bool foreign(struct input *input, const struct slot *slot, struct act *act) {
    (void)slot;
    static char in_data[64] __attribute__((aligned(16)));
    void *on_stack = (void *)align_up((uintptr_t)act, BLOCK_ALIGN);
    void *choices[] = {in_data, on_stack, (void *)(uintptr_t)16, malloc(100)};
    *act = (struct act){"foreign pointer", choices[input_byte(input) % 4],      0, 0,
                        some_use(input),   {"freed already or never given out"}};
    static void *kept; // until the next time, so that it is still the C library's in the child
    free(kept);
    kept = choices[3];
    return true;
}

static bool wrong_size(struct input *input, const struct slot *slot, struct act *act) {
    size_t size = slot->usable + 1 + input_pair(input);
    *act = (struct act){"wrong size",
                        slot->block,
                        size,
                        slot->alignment,
                        input_byte(input) % 2 ? run_free_sized : run_free_aligned_sized,
                        {"wrong size"}};
    return true;
}

static bool wrong_alignment(struct input *input, const struct slot *slot, struct act *act) {
    size_t alignment = 16;
    while (((uintptr_t)slot->block & alignment) == 0) {
        alignment *= 2;
    }
    *act = (struct act){"wrong alignment",
                        slot->block,
                        slot->size,
                        input_byte(input) % 2 ? alignment * 2 : 48,
                        run_free_aligned_sized,
                        {"wrong alignment"}};
    return true;
}

static bool never_handed_out(struct input *input, const struct slot *slot, struct act *act) {
    if (!in_arena((uintptr_t)slot->block)) {
        return false;
    }
    uint32_t unit = unit_of((uintptr_t)slot->block);
    if (root.fixed.units[unit].bin == 0) {
        return false;
    }
    uint32_t head = unit - root.fixed.units[unit].back;
    const struct run *span = run_at(head);
    const struct sizeclass *row = &sizeclass_table[span->class];
    unsigned carved = atomic_load(&span->carved);
    if (carved == row->blocks) {
        return false;
    }
    unsigned index = carved + input_pair(input) % (row->blocks - carved);
    *act = (struct act){"block never handed out",
                        (void *)(unit_address(head) + (uintptr_t)index * row->size),
                        0,
                        0,
                        some_use(input),
                        {"never handed out"}};
    return true;
}

static void judge(const struct act *act, int status, const char *text) {
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
        fail("%s of %p was not stopped: status %x, output '%s'", act->name, act->pointer, status,
             text);
    }
    for (unsigned i = 0; i < sizeof(act->kinds) / sizeof(act->kinds[0]); i++) {
        if (act->kinds[i] != NULL && strstr(text, act->kinds[i]) != NULL &&
            strstr(text, ") lucid: ") != NULL) {
            return;
        }
    }
    fail("%s of %p was called '%s', not '%s'", act->name, act->pointer, text, act->kinds[0]);
}

void misuse_try(struct input *input) {
    static bool (*const kinds[])(struct input *, const struct slot *, struct act *) = {
        double_free, use_after_free, interior,        unaligned,
        foreign,     wrong_size,     wrong_alignment, never_handed_out,
    };
    unsigned kind = input_byte(input) % (sizeof(kinds) / sizeof(kinds[0]));
    const struct slot *slot = some_slot(input);
    struct act act = {.run = NULL};
    if (slot == NULL || !kinds[kind](input, slot, &act)) {
        return;
    }
    char text[1024];
    int status = child_run(do_act, &act, text, sizeof(text));
    judge(&act, status, text);
}
