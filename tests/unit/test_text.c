// text.h: what is written is what printf would write, and what does not fit is cut off.
#include "testing.h"
#include "text.h"
#include "unit.h"

static void writes_numbers(void **state) {
    (void)state;
    static const uint64_t numbers[] = {0,    1,    9,          10,        99,
                                       4096, 1789, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char buffer[64];
        char expected[64];
        struct text text = text_begin(buffer, sizeof(buffer));
        text_add_number(&text, numbers[i]);
        text_add_char(&text, ' ');
        text_add_hex(&text, numbers[i]);
        (void)snprintf(expected, sizeof(expected), "%llu %s%llx", (unsigned long long)numbers[i],
                       "0x", (unsigned long long)numbers[i]);
        assert_string_equal(buffer, expected);
        assert_int_equal(text.length, strlen(expected));
    }
}

static void cuts_off(void **state) {
    (void)state;
    for (size_t capacity = 1; capacity < 20; capacity++) {
        char buffer[24];
        memset(buffer, '#', sizeof(buffer));
        struct text text = text_begin(buffer, capacity);
        text_add(&text, "lucid: ");
        text_add_number(&text, 123456);
        text_add(&text, " bytes");
        assert_int_equal(text.length, capacity - 1);
        assert_int_equal(buffer[capacity - 1], '\0');
        assert_int_equal(buffer[capacity], '#'); // not a byte beyond
        assert_memory_equal(buffer, "lucid: 123456 bytes", capacity - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_numbers),
        cmocka_unit_test(cuts_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
