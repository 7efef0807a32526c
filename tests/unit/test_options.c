// The options: notation, ranges, the nearest name, and one line for whatever makes no sense.
#include "options.h"
#include "testing.h"
#include "unit.h"

static char complaints[4000];
static unsigned complaint_count;

static void complain(const char *line) {
    complaint_count++;
    assert_null(strchr(line, '\n'));
    (void)strncat(complaints, line, sizeof(complaints) - strlen(complaints) - 1);
}

static struct option_values read_options(const char *text) {
    struct option_values values;
    memset(&values, 0x77, sizeof(values));
    complaints[0] = '\0';
    complaint_count = 0;
    options_default(&values);
    options_read(&values, SOURCE_ENVIRONMENT, text, complain);
    return values;
}

static void defaults(void **state) {
    (void)state;
    const char *texts[] = {NULL, "", ",", ",,,"};
    for (unsigned t = 0; t < 4; t++) {
        struct option_values values = read_options(texts[t]);
        for (unsigned i = 0; i < OPTION_COUNT; i++) {
            assert_int_equal(values.value[i], option_table[i].initial);
            assert_int_equal(values.source[i], SOURCE_DEFAULT);
        }
        assert_int_equal(complaint_count, 0);
    }
}

static void table_is_sound(void **state) {
    (void)state;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        assert_true(row->least <= row->initial && row->initial <= row->most);
        assert_true(strlen(row->name) > 0 && strlen(row->help) > 0);
        for (const char *letter = row->name; *letter != '\0'; letter++) {
            assert_true(*letter == '_' || (*letter >= 'a' && *letter <= 'z'));
        }
    }
}

static void reads_values(void **state) {
    (void)state;
    struct option_values values = read_options("mmap_threshold=1M,PURGE=Off,,purge_age=2s");
    assert_int_equal(complaint_count, 0);
    assert_int_equal(values.value[OPTION_MMAP_THRESHOLD], 1 << 20);
    assert_int_equal(values.source[OPTION_MMAP_THRESHOLD], SOURCE_ENVIRONMENT);
    assert_int_equal(values.value[OPTION_PURGE], 0);
    assert_int_equal(values.value[OPTION_PURGE_AGE], 2000);
    assert_int_equal(values.source[OPTION_SUMMARY], SOURCE_DEFAULT);
    assert_int_equal(read_options("purge=0,purge=1").value[OPTION_PURGE], 1); // the last one counts
}

struct notation {
    const char *text;
    bool good;
    uint64_t value;
};

static void check_notations(enum option option, const struct notation *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        bool good = option_parse(&option_table[option], rows[i].text, strlen(rows[i].text), &value);
        if (good != rows[i].good || (good && value != rows[i].value)) {
            fail_msg("'%s' for %s: %d, %llu", rows[i].text, option_table[option].name, good,
                     (unsigned long long)value);
        }
    }
}

static void notations(void **state) {
    (void)state;
    static const struct notation sizes[] = {
        {"65536", true, 65536},
        {"64K", true, 65536},
        {"64k", true, 65536},
        {"2M", true, 2 << 20},
        {"512M", true, 512 << 20},
        {"513M", false, 0},
        {"1T", false, 0},
        {"", false, 0},
        {"K", false, 0},
        {"-1", false, 0},
        {"+5", false, 0},
        {"64KB", false, 0},
        {"64 K", false, 0},
        {"0x10000", false, 0},
        {"1", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999", false, 0},
        {"18014398509481984K", false, 0},
        {"64ms", false, 0},
        {"32768", true, 32768},
    };
    static const struct notation times[] = {
        {"500ms", true, 500},  {"2s", true, 2000},       {"7", true, 7},
        {"0", true, 0},        {"2S", true, 2000},       {"2m", false, 0},
        {"3600001", false, 0}, {"3600s", true, 3600000}, {"1.5s", false, 0},
    };
    static const struct notation bools[] = {
        {"1", true, 1},   {"0", true, 0},  {"on", true, 1},   {"OFF", true, 0},
        {"yes", true, 1}, {"no", true, 0}, {"true", true, 1}, {"false", true, 0},
        {"2", false, 0},  {"", false, 0},  {"onn", false, 0}, {"o", false, 0},
    };
    static const struct notation shares[] = {
        {"2G", true, (uint64_t)2 << 30},
        {"80%", true, 80},
        {"100%", true, 100},
        {"1%", true, 1},
        {"0", true, 0},
        {"1M", true, 1 << 20},
        {"1023K", false, 0},
        {"80", false, 0},
        {"0%", false, 0},
        {"101%", false, 0},
        {"%", false, 0},
        {"8%0", false, 0},
        {"-5%", false, 0},
        {"5K%", false, 0},
        {"", false, 0},
        {"2000T", false, 0},
        {"all", false, 0},
    };
    static const struct notation words[] = {
        {"auto", true, THP_AUTO}, {"never", true, THP_NEVER}, {"Always", true, THP_ALWAYS},
        {"1", false, 0},          {"alway", false, 0},        {"", false, 0},
    };
    check_notations(OPTION_THP, words, sizeof(words) / sizeof(words[0]));
    check_notations(OPTION_LIMIT, shares, sizeof(shares) / sizeof(shares[0]));
    check_notations(OPTION_MMAP_THRESHOLD, sizes, sizeof(sizes) / sizeof(sizes[0]));
    check_notations(OPTION_PURGE_AGE, times, sizeof(times) / sizeof(times[0]));
    check_notations(OPTION_PURGE, bools, sizeof(bools) / sizeof(bools[0]));
}

static void require_complaint(const char *text, const char *words) {
    (void)read_options(text);
    if (complaint_count != 1 || strstr(complaints, words) == NULL) {
        fail_msg("'%s' gives %u lines: %s", text, complaint_count, complaints);
    }
}

static void complains_and_suggests(void **state) {
    (void)state;
    require_complaint("purg=1", "did you mean 'purge'?");
    require_complaint("prge_age=1", "did you mean 'purge_age'?");
    require_complaint("mmapthreshold=1M", "did you mean 'mmap_threshold'?");
    require_complaint("sumary=1", "did you mean 'summary'?");
    require_complaint("SUMMERY=1", "'summary'");
    require_complaint("purge=maybe", "'maybe' is no value for purge, which takes 0 or 1");
    require_complaint("purge", "'' is no value for purge");
    require_complaint("purge_age=1x", "such as 500ms or 2s from 0ms to 3600s; the default stays");
    require_complaint("mmap_threshold=1", "a size such as 64K");
    require_complaint("limit=200%",
                      "'200%' is no value for limit, which takes 0, a size such as 2G "
                      "from 1M on, or a share such as 80%; the default stays");
    require_complaint("thp=madvise", "'madvise' is no value for thp, which takes auto, never or "
                                     "always; the default stays");
    require_complaint("=5", "no option is called ''");
    (void)read_options("a=1,b=2,purge=0,c=3");
    assert_int_equal(complaint_count, 3);
}

// A wrong value after a right one: the default stays, as the line says.
static void default_stays(void **state) {
    (void)state;
    struct option_values values = read_options("purge_age=7,purge_age=never");
    assert_int_equal(values.value[OPTION_PURGE_AGE], option_table[OPTION_PURGE_AGE].initial);
    assert_int_equal(values.source[OPTION_PURGE_AGE], SOURCE_DEFAULT);
}

// The file first, then the program's symbol, then the environment; what a later one says badly does
// not undo what an earlier one said well.
static void later_sources_count(void **state) {
    (void)state;
    struct option_values values;
    complaints[0] = '\0';
    complaint_count = 0;
    options_default(&values);
    options_read(&values, SOURCE_FILE, "purge_age = 1s # slow\n\n# nothing\npurge=0,helper=0\r\n",
                 complain);
    options_read(&values, SOURCE_SYMBOL, "purge=1, events=on", complain);
    options_read(&values, SOURCE_ENVIRONMENT, "helper=1,purge_age=never", complain);
    assert_int_equal(complaint_count, 1);
    assert_non_null(strstr(complaints, "; the value from /etc/lucid.conf stays"));
    assert_int_equal(values.value[OPTION_PURGE_AGE], 1000);
    assert_int_equal(values.source[OPTION_PURGE_AGE], SOURCE_FILE);
    assert_int_equal(values.value[OPTION_PURGE], 1);
    assert_int_equal(values.source[OPTION_PURGE], SOURCE_SYMBOL);
    assert_int_equal(values.value[OPTION_EVENTS], 1);
    assert_int_equal(values.value[OPTION_HELPER], 1);
    assert_int_equal(values.source[OPTION_HELPER], SOURCE_ENVIRONMENT);
    assert_int_equal(values.source[OPTION_GUARD], SOURCE_DEFAULT);
}

static void file_lines_are_counted(void **state) {
    (void)state;
    struct option_values values;
    complaints[0] = '\0';
    complaint_count = 0;
    options_default(&values);
    options_read(&values, SOURCE_FILE, "# one, two\n\npurge=0, helpre=1\nguard=5", complain);
    assert_int_equal(complaint_count, 2);
    assert_non_null(strstr(complaints, "/etc/lucid.conf, line 3: no option is called 'helpre'"));
    assert_non_null(strstr(complaints, "/etc/lucid.conf, line 4: '5' is no value for guard"));
}

// What option_write writes, option_parse reads.
static void values_are_written_as_read(void **state) {
    (void)state;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        uint64_t share = row->unit == OPTION_SHARE ? 80 : row->least;
        const uint64_t values[] = {row->least, row->initial, row->most, share};
        for (unsigned k = 0; k < 4; k++) {
            char buffer[32];
            uint64_t value = ~row->most;
            struct text text = text_begin(buffer, sizeof(buffer));
            option_write(&text, row, values[k]);
            assert_true(option_parse(row, buffer, text.length, &value));
            assert_int_equal(value, values[k]);
        }
    }
}

// Whatever is written there, it ends and complains in lines of bounded length.
static void survives_anything(void **state) {
    (void)state;
    static const char letters[] = "abpurge_=,,=0159KMs#\n\x80\xff \t%n";
    uint64_t random = test_seed();
    char text[600];
    for (unsigned round = 0; round < (LUCID_SLOWED ? 2000 : 20000); round++) {
        size_t length = test_random(&random) % (sizeof(text) - 1);
        for (size_t i = 0; i < length; i++) {
            text[i] = letters[test_random(&random) % (sizeof(letters) - 1)];
        }
        text[length] = '\0';
        struct option_values values = read_options(text);
        for (unsigned i = 0; i < OPTION_COUNT; i++) {
            assert_in_range(values.value[i], option_table[i].least, option_table[i].most);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(reads_values),
        cmocka_unit_test(notations),
        cmocka_unit_test(complains_and_suggests),
        cmocka_unit_test(default_stays),
        cmocka_unit_test(later_sources_count),
        cmocka_unit_test(file_lines_are_counted),
        cmocka_unit_test(values_are_written_as_read),
        cmocka_unit_test(survives_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
