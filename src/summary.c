#include "summary.h"

#include "os/os.h"
#include "panic.h"
#include "walk.h"

#define CLASSES_SHOWN 3u

// What is live in one class; class 0 stands for everything larger than the classes.
struct holder {
    unsigned class;
    uint64_t blocks;
    uint64_t bytes;
};

static struct holder holder_of(const struct account *account, unsigned class) {
    if (class == 0) {
        return (struct holder){0, account->large_count + account->mapping_count,
                               account->large_bytes + account->mapping_bytes};
    }
    const struct class_account *sums = &account->classes[class];
    uint64_t idle = sums->free + sums->uncarved + sums->cached;
    uint64_t used = sums->blocks > idle ? sums->blocks - idle : 0;
    return (struct holder){class, used, used * sizeclass_size(class)};
}

// The holders of most bytes, most first. Returns how many there are.
static unsigned find_most(const struct account *account, struct holder most[CLASSES_SHOWN]) {
    unsigned count = 0;
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        struct holder holder = holder_of(account, class);
        unsigned place = count;
        while (place > 0 && most[place - 1].bytes < holder.bytes) {
            place--;
        }
        if (holder.blocks == 0 || place == CLASSES_SHOWN) {
            continue;
        }
        count += count < CLASSES_SHOWN;
        for (unsigned i = count - 1; i > place; i--) {
            most[i] = most[i - 1];
        }
        most[place] = holder;
    }
    return count;
}

static void add_amount(struct text *line, uint64_t blocks, uint64_t bytes) {
    text_add_number(line, blocks);
    text_add(line, blocks == 1 ? " block, " : " blocks, ");
    text_add_number(line, bytes);
    text_add(line, " bytes");
}

static void write_line(struct text *line) {
    text_add_char(line, '\n');
    os_write(2, line->start, line->length);
}

static void print_live(const struct account *account) {
    char buffer[200];
    struct text line = panic_begin(buffer, sizeof(buffer));
    size_t now;
    size_t peak;
    if (os_resident(&now, &peak)) {
        text_add(&line, "peak ");
        text_add_number(&line, peak >> 20);
        text_add_char(&line, '.');
        text_add_number(&line, (peak % ((size_t)1 << 20)) * 10 >> 20);
        text_add(&line, " MiB resident; ");
    }
    text_add(&line, "live at exit: ");
    struct holder larger = holder_of(account, 0);
    add_amount(&line, account->used_blocks + larger.blocks + account->guarded_count,
               account->used_bytes + larger.bytes + account->guarded_bytes);
    write_line(&line);
}

static void print_most(const struct holder *holder) {
    char buffer[200];
    struct text line = panic_begin(buffer, sizeof(buffer));
    text_add(&line, "most in ");
    if (holder->class == 0) {
        text_add(&line, "larger blocks: ");
    } else {
        text_add_number(&line, sizeclass_size(holder->class));
        text_add(&line, "-byte blocks: ");
    }
    add_amount(&line, holder->blocks, holder->bytes);
    write_line(&line);
}

void summary_print(void) {
    struct account account;
    struct holder most[CLASSES_SHOWN];
    walk_account(&account);
    print_live(&account);
    unsigned count = find_most(&account, most);
    for (unsigned i = 0; i < count; i++) {
        print_most(&most[i]);
    }
}
