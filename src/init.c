#include "init.h"

#include "allowance.h"
#include "arena.h"
#include "counters.h"
#include "fork.h"
#include "harden.h"
#include "heap.h"
#include "huge.h"
#include "lane.h"
#include "nudge.h"
#include "options.h"
#include "os/os.h"
#include "settings.h"
#include "summary.h"
#include "text.h"

static void complain(const char *sentence) {
    char buffer[400];
    struct text line = text_begin(buffer, sizeof(buffer));
    text_add(&line, os_program_name());
    text_add_char(&line, '(');
    text_add_number(&line, os_process_id());
    text_add(&line, ") lucid: ");
    text_add(&line, sentence);
    text_add_char(&line, '\n');
    os_write(2, buffer, line.length);
}

static bool init_locked(void) {
    static bool read; // once, or what is complained about is said again at the next attempt
    if (!read) {
        settings_read(complain);
        read = true;
    }
    if (!arena_init()) {
        return false;
    }
    lane_begin(0); // also counts the spans of regions, which need no thread's heap
    root.fixed.mark = os_random(0);
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        root.fixed.classes[class] = sizeclass_table[class];
    }
    allowance_begin(complain);
    huge_obey_limit();
    if (root.live.options.value[OPTION_EVENTS]) {
        counters_begin();
    }
    if (root.live.options.value[OPTION_HARDEN] && !harden_begin()) {
        complain("no address space for hardened mode; it stays off");
    }
    // If the kernel refuses, the page stays writable: less protection, no less function.
    (void)os_make_readonly(&root.fixed, align_up(sizeof(root.fixed), os_page_size()));
    atomic_store_explicit(&root.live.ready, 1, memory_order_release);
    return true;
}

__attribute__((constructor)) static void before_main(void) {
    heap_prepare_hook();
}

// The blocks in a thread's bins have not been looked at since they were freed. At exit those of
// the thread that ends the process go back to their spans, which finds frees of pointers into the
// middle of a block, of blocks never handed out, and double frees that nothing found before.
__attribute__((destructor)) static void at_exit(void) {
    if (atomic_load_explicit(&root.live.ready, memory_order_acquire) != 0) {
        fork_check();
        heap_verify();
        if (root.live.options.value[OPTION_SUMMARY]) {
            summary_print();
        }
    }
}

COLD bool init_slow(void) {
    os_lock(&root.live.init_lock);
    bool before = atomic_load(&root.live.ready) != 0;
    bool ready = before || init_locked();
    os_unlock(&root.live.init_lock);
    if (ready && !before && root.live.options.value[OPTION_CTL]) {
        nudge_begin(); // without the lock: it may call malloc
    }
    return ready;
}
