// What a control group allows, read from files that are not there.
#include "cgroup.h"

#include "testing.h"
#include "unit.h"

struct file {
    const char *path;
    const char *text;
};

static const struct file *files; // ends with a path of NULL

static bool read_fake(const char *path, char *to, size_t room, size_t *length) {
    to[0] = '\0';
    for (const struct file *file = files; file->path != NULL; file++) {
        if (strcmp(file->path, path) == 0) {
            *length = (size_t)snprintf(to, room, "%s", file->text);
            return true;
        }
    }
    return false;
}

#define LIMIT_OF(...) limit_of((const struct file[]){__VA_ARGS__, {NULL, NULL}})

static uint64_t limit_of(const struct file *all) {
    files = all;
    return cgroup_memory_limit(read_fake);
}

static void nothing_is_no_limit(void **state) {
    (void)state;
    assert_int_equal(LIMIT_OF({"/elsewhere", "1"}), 0);
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", ""}), 0);
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", "0::/a\n"}), 0);
    assert_int_equal(
        LIMIT_OF({"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/memory.max", "max\n"}), 0);
}

static void version_two(void **state) {
    (void)state;
    assert_int_equal(
        LIMIT_OF({"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/memory.max", "1048576\n"}),
        1048576);
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", "0::/a/b.service\n"},
                              {"/sys/fs/cgroup/a/b.service/memory.max", "5000\n"},
                              {"/sys/fs/cgroup/a/memory.max", "max\n"}),
                     5000);
    // The groups above count as well, wherever the least is.
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", "0::/a/b\n"},
                              {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
                              {"/sys/fs/cgroup/a/memory.max", "7000\n"}),
                     7000);
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", "0::/a/b\n"},
                              {"/sys/fs/cgroup/a/b/memory.max", "9000\n"},
                              {"/sys/fs/cgroup/a/memory.max", "7000\n"}),
                     7000);
    // A container that sees the host's path but only its own files.
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", "0::/docker/0123\n"},
                              {"/sys/fs/cgroup/memory.max", "3000\n"}),
                     3000);
}

static void version_one(void **state) {
    (void)state;
    assert_int_equal(
        LIMIT_OF({"/proc/self/cgroup",
                  "11:cpu,cpuacct:/x\n9:memory:/jobs/1\n3:memory_other:/y\n0::/systemd\n"},
                 {"/sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes", "4000\n"},
                 {"/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n"},
                 {"/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "2\n"}),
        4000);
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", "4:hugetlb,memory:/\n"},
                              {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "6000"}),
                     6000);
}

static void nonsense_is_no_limit(void **state) {
    (void)state;
    static const char *const texts[] = {"",      "\n",    "-5\n",
                                        "12x\n", " 12\n", "99999999999999999999999999\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(
            LIMIT_OF({"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/memory.max", texts[i]}), 0);
    }
    static const char *const lines[] = {"0", "0:", "0::", ":\n:\n", "::::\n", "\n\n0::/\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        uint64_t limit =
            LIMIT_OF({"/proc/self/cgroup", lines[i]}, {"/sys/fs/cgroup/memory.max", "8000\n"});
        assert_true(limit == 0 || limit == 8000);
    }
    char path[3000] = "0::/";
    memset(path + 4, 'a', sizeof(path) - 5); // longer than any path
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(LIMIT_OF({"/proc/self/cgroup", path}, {"/sys/fs/cgroup/memory.max", "8000"}),
                     8000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_no_limit),
        cmocka_unit_test(version_two),
        cmocka_unit_test(version_one),
        cmocka_unit_test(nonsense_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
