// The canary as a pure function: what is sealed is read back, and no damage to it is taken for
// something sound.
#include "canary.h"

#include "config.h"
#include "testing.h"
#include "unit.h"

#define ROOM_MAX 32760u

static uint64_t random_word(uint64_t *random) {
    return (uint64_t)test_random(random) << 33 ^ (uint64_t)test_random(random) << 11 ^
           test_random(random);
}

static void slack_comes_back(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (uint64_t room = 0; room <= ROOM_MAX; room += room < 600 ? 8 : 504) {
        uint64_t key = canary_key(random_word(&random), random_word(&random) & ~(uint64_t)15);
        for (uint64_t slack = 0; slack <= room; slack++) {
            if (canary_slack(key, canary_word(key, slack), room) != slack) {
                fail_msg("slack %d of %d", (int)slack, (int)room);
            }
        }
        // More slack than there is room for is no slack.
        assert_int_equal(canary_slack(key, canary_word(key, room + 1), room), UINT64_MAX);
    }
}

// A change of any of the six low bytes is found, whatever it is; of the two high ones, where the
// slack lies, when it leads to another slack than the one that was there.
static void damage_is_found(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (unsigned round = 0; round < 300; round++) {
        uint64_t key = canary_key(random_word(&random), random_word(&random));
        uint64_t room = test_random(&random) % ROOM_MAX;
        uint64_t slack = test_random(&random) % (room + 1);
        uint64_t word = canary_word(key, slack);
        for (unsigned byte = 0; byte < 6; byte++) {
            for (uint64_t change = 1; change < 256; change++) {
                assert_int_equal(canary_slack(key, word ^ change << byte * 8, room), UINT64_MAX);
            }
        }
        for (uint64_t change = 1; change < 65536; change += 97) {
            uint64_t other = canary_slack(key, word ^ change << CANARY_SLACK_SHIFT, room);
            assert_true(other != slack);
        }
    }
}

// The zero that most overflows write differs from what is there, in the slack and in the word.
static void zero_is_damage(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t key = canary_key(random_word(&random), random_word(&random));
        assert_int_not_equal(canary_fill(key), 0);
        assert_int_not_equal(canary_word(key, i % 512) & 0xff, 0);
        assert_int_not_equal(canary_word(key, i % 512) >> 8 & 0xff, 0);
    }
}

// Neighbours and processes do not share keys: one block's canary does not pass for another's.
static void keys_differ(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t secret = random_word(&random);
        uint64_t block = random_word(&random) & ~(uint64_t)15;
        uint64_t word = canary_word(canary_key(secret, block), 0);
        assert_int_equal(canary_slack(canary_key(secret, block + 16), word, ROOM_MAX), UINT64_MAX);
        assert_int_equal(canary_slack(canary_key(secret + 1, block), word, ROOM_MAX), UINT64_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slack_comes_back),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(zero_is_damage),
        cmocka_unit_test(keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
