// Growth while others move the break, and while the break does not move at all.
#include "arena.h"
#include "init.h"
#include "invariants.h"
#include "os/os.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#include <sys/wait.h>

static uint32_t take_untouched(uint32_t units) {
    uint32_t head = arena_take(units, 1, RUN_LARGE, false);
    if (head != 0) {
        run_at(head)->size = (uint64_t)units << UNIT_SHIFT;
    }
    return head;
}

static uint32_t take(uint32_t units) {
    uint32_t head = take_untouched(units);
    if (head != 0) {
        memset((void *)unit_address(head), 0x5a, (size_t)units << UNIT_SHIFT);
    }
    return head;
}

static uint32_t foreign_units(void) {
    uint32_t units = 0;
    for (uint32_t head = 1; head < root.live.top; head += run_length_of(run_load(head))) {
        units += run_kind_of(run_load(head)) == RUN_FOREIGN ? run_length_of(run_load(head)) : 0;
    }
    return units;
}

static uint32_t units_to_limit(void) {
    return (uint32_t)(root.live.limit - root.live.top);
}

static void follows_the_break(void **state) {
    (void)state;
    assert_true(init_ready());
    assert_true(take(units_to_limit() + 1) != 0);
    assert_int_equal((uintptr_t)sbrk(0), root.live.break_end);
    assert_int_equal(unit_address((uint32_t)root.live.limit), root.live.break_end);
    assert_int_equal(foreign_units(), 0);
    invariants_check(false);
}

static void steps_over_foreign_memory(void **state) {
    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        intptr_t bytes = 100 + (intptr_t)round * 3333;
        unsigned char *foreign = sbrk(bytes);
        assert_true(foreign != (void *)-1);
        memset(foreign, 0xf0, (size_t)bytes);
        // The C library's own malloc, which the test framework uses, may have taken some as well.
        bytes = (intptr_t)((uintptr_t)sbrk(0) - root.live.break_end);
        uint32_t before = foreign_units();
        assert_true(take(units_to_limit() + root.live.pool.free_units + 5) != 0);
        uint32_t added = foreign_units() - before;
        if (added < (uint32_t)bytes >> UNIT_SHIFT || added > ((uint32_t)bytes >> UNIT_SHIFT) + 2) {
            fail_msg("%u foreign units for %ld foreign bytes", added, (long)bytes);
        }
        for (intptr_t i = 0; i < 100 + (intptr_t)round * 3333; i++) {
            assert_int_equal(foreign[i], 0xf0);
        }
        invariants_check(false);
    }
}

// In a child of its own, because the page that the break gives up is gone for good: it is the last
// of a used run, and nobody touches it. 0: all is well.
static int lower_the_break(void) {
    do {
        if (take_untouched(units_to_limit() + 1) == 0) {
            return 1;
        }
    } while ((uintptr_t)sbrk(0) != root.live.break_end ||
             unit_address((uint32_t)root.live.limit) != root.live.break_end);
    while (units_to_limit() > 0 || root.live.pool.free_units > 0) { // nothing is left but that run
        if (take_untouched(1) == 0) {
            return 2;
        }
    }
    if (sbrk(-(intptr_t)root.fixed.page_size) == (void *)-1) {
        return 3;
    }
    void *lowered = sbrk(0);
    if (take(units_to_limit() + root.live.pool.free_units + 5) == 0) {
        return 4;
    }
    invariants_check(false);
    return sbrk(0) == lowered ? 0 : 5;
}

// Somebody lowers the break into the arena. From then on it is not ours to move.
static void lowered_break_is_left_alone(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        _exit(lower_the_break());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void needs_injection(void) {
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
}

// One failure is only a step that was too wide; the arena asks for less, or elsewhere.
static void break_fails_once(void **state) {
    (void)state;
    needs_injection();
    (void)os_inject(OS_BREAK, 1, false);
    uint32_t head = take(units_to_limit() + 3);
    (void)os_inject(OS_BREAK, 0, false);
    assert_true(head != 0);
    invariants_check(false);
}

static void nothing_left(void **state) {
    (void)state;
    needs_injection();
    (void)os_inject(OS_BREAK, 1, true);
    (void)os_inject(OS_MAP, 1, true);
    uint64_t limit = root.live.limit;
    uint32_t refused = arena_take(units_to_limit() + 1000, 1, RUN_LARGE, false);
    uint32_t rest = take(units_to_limit() > 0 ? units_to_limit() : 1);
    (void)os_inject(OS_BREAK, 0, false);
    (void)os_inject(OS_MAP, 0, false);
    assert_int_equal(refused, 0);
    assert_int_equal(root.live.limit, limit);
    (void)rest; // what was there already may still be had
    assert_true(take(units_to_limit() + 1000) != 0);
    invariants_check(false);
}

// From now on the break is dead: the arena goes on in mappings, over whatever is in the way.
static void goes_on_in_mappings(void **state) {
    (void)state;
    needs_injection();
    (void)os_inject(OS_BREAK, 1, true);
    uint32_t continued = (uint32_t)root.live.continued;
    for (unsigned round = 0; round < 20; round++) {
        assert_true(take(units_to_limit() + 50) != 0);
        invariants_check(false);
    }
    assert_true(root.live.continued > continued);
    (void)os_inject(OS_BREAK, 0, false);
}

static void records_cannot_be_opened(void **state) {
    (void)state;
    needs_injection();
    (void)os_inject(OS_COMMIT, 1, true);
    (void)os_inject(OS_MAP, 1, true); // where the tables lie apart
    uint32_t beyond = (uint32_t)(root.live.committed - root.live.top) + 100;
    uint32_t head = arena_take(beyond, 1, RUN_LARGE, false);
    (void)os_inject(OS_COMMIT, 0, false);
    (void)os_inject(OS_MAP, 0, false);
    assert_int_equal(head, 0);
    invariants_check(false);
    head = arena_take(beyond, 1, RUN_LARGE, false);
    assert_int_not_equal(head, 0);
    run_at(head)->size = (uint64_t)beyond << UNIT_SHIFT;
    invariants_check(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_break),
        cmocka_unit_test(steps_over_foreign_memory),
        cmocka_unit_test(lowered_break_is_left_alone),
        cmocka_unit_test(break_fails_once),
        cmocka_unit_test(nothing_left),
        cmocka_unit_test(goes_on_in_mappings),
        cmocka_unit_test(records_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
