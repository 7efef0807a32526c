#include "verdict.h"

#include "util/human.h"
#include "util/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum quantity { WALL, PROCESSOR, PEAK, FAULTS };

struct spread {
    double lower; // quartiles
    double middle;
    double upper;
    double least;
};

static double value_of(const struct measurement *run, enum quantity quantity) {
    switch (quantity) {
    case WALL:
        return run->wall;
    case PROCESSOR:
        return run->processor;
    case PEAK:
        return (double)run->peak;
    default:
        return (double)run->faults;
    }
}

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

// Sorts the values. The quartiles are interpolated; of few values they lie near the extremes.
static struct spread spread_of(double *values, int count) {
    double at[3];
    qsort(values, (size_t)count, sizeof(*values), compare_doubles);
    for (int i = 0; i < 3; i++) {
        double place = 0.25 * (i + 1) * (count - 1);
        int low = (int)place;
        int high = low + 1 < count ? low + 1 : low;
        at[i] = values[low] + (place - low) * (values[high] - values[low]);
    }
    return (struct spread){at[0], at[1], at[2], values[0]};
}

static struct spread spread_of_runs(const struct contestant *member, enum quantity quantity) {
    static double values[ROUNDS_MAX];
    for (int i = 0; i < member->rounds; i++) {
        values[i] = value_of(&member->runs[i], quantity);
    }
    return spread_of(values, member->rounds);
}

// Run by run against the C library in the same round, so that what slows both cancels out.
static struct spread ratio_to_glibc(const struct contest *contest, const struct contestant *member,
                                    enum quantity quantity) {
    static double values[ROUNDS_MAX];
    const struct contestant *glibc = &contest->members[1];
    for (int i = 0; i < member->rounds; i++) {
        double theirs = value_of(&glibc->runs[i], quantity);
        values[i] = theirs > 0 ? value_of(&member->runs[i], quantity) / theirs : 1.0;
    }
    return spread_of(values, member->rounds);
}

static void print_row(const struct contest *contest, const struct contestant *member) {
    char memory[SIZE_TEXT];
    char faults[COUNT_TEXT];
    struct spread wall = spread_of_runs(member, WALL);
    struct spread ratio = ratio_to_glibc(contest, member, WALL);
    struct spread peak = spread_of_runs(member, PEAK);
    human_size(memory, (uint64_t)peak.middle);
    human_count(faults, (uint64_t)spread_of_runs(member, FAULTS).middle);
    printf("%-12s %9.2f %9.2f %9.2f  %5.2f %5.2f-%-5.2f %8s %6.2f %10s\n", member->name,
           1e3 * wall.least, 1e3 * wall.middle, 1e3 * spread_of_runs(member, PROCESSOR).middle,
           ratio.middle, ratio.lower, ratio.upper, memory,
           ratio_to_glibc(contest, member, PEAK).middle, faults);
}

// A difference is one when the middle half of the pairs agrees on its side and it exceeds 1%.
static void print_difference(struct spread ratio, const char *less, const char *more,
                             const char *same) {
    double percent = 100 * (ratio.middle < 1 ? 1 - ratio.middle : ratio.middle - 1);
    if (percent < 1 || (ratio.lower <= 1 && ratio.upper >= 1)) {
        printf("%s", same);
    } else {
        printf("%.0f%% %s", percent, ratio.middle < 1 ? less : more);
    }
}

static const char *best_name(const struct contest *contest, enum quantity quantity) {
    const struct contestant *best = &contest->members[0];
    for (int i = 1; i < contest->count; i++) {
        const struct contestant *other = &contest->members[i];
        if (spread_of_runs(other, quantity).middle < spread_of_runs(best, quantity).middle) {
            best = other;
        }
    }
    return best->name;
}

void verdict_table(const struct contest *contest, char *const *program) {
    const struct contestant *lucid = &contest->members[0];
    printf("%s, %d round%s on %ld processors\n", program[0], lucid->rounds,
           lucid->rounds == 1 ? "" : "s", sysconf(_SC_NPROCESSORS_ONLN));
    printf("%-12s %9s %9s %9s  %-17s %8s %6s %10s\n", "allocator", "least ms", "median ms",
           "cpu ms", "to glibc, middle", "memory", "ratio", "faults");
    for (int i = 0; i < contest->count; i++) {
        print_row(contest, &contest->members[i]);
    }
    printf("lucid against the C library: ");
    print_difference(ratio_to_glibc(contest, lucid, WALL), "less time", "more time",
                     "no clear difference in time");
    printf(", ");
    print_difference(ratio_to_glibc(contest, lucid, PEAK), "less memory at the peak",
                     "more memory at the peak", "no clear difference in memory");
    printf("\nleast time here: %s; least memory: %s\n", best_name(contest, WALL),
           best_name(contest, PEAK));
}

static void json_runs(struct json *json, const char *key, const struct contestant *member,
                      enum quantity quantity) {
    json_open_array(json, key);
    for (int i = 0; i < member->rounds; i++) {
        double value = value_of(&member->runs[i], quantity);
        bool time = quantity == WALL || quantity == PROCESSOR;
        json_number(json, NULL, (uint64_t)(time ? value * 1e9 : value));
    }
    json_close_array(json);
}

static void json_ratio(struct json *json, const char *key, struct spread ratio) {
    json_open_object(json, key);
    json_fraction(json, "median", ratio.middle);
    json_fraction(json, "lower_quartile", ratio.lower);
    json_fraction(json, "upper_quartile", ratio.upper);
    json_close_object(json);
}

static void json_member(struct json *json, const struct contest *contest,
                        const struct contestant *member) {
    json_open_object(json, NULL);
    json_string(json, "name", member->name);
    if (member->library[0] == '\0') {
        json_null(json, "library");
    } else {
        json_string(json, "library", member->library);
    }
    json_open_array(json, "exit");
    for (int i = 0; i < member->rounds; i++) {
        int status = member->runs[i].status;
        json_signed(json, NULL, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    }
    json_close_array(json);
    json_runs(json, "wall_ns", member, WALL);
    json_runs(json, "cpu_ns", member, PROCESSOR);
    json_runs(json, "peak_bytes", member, PEAK);
    json_runs(json, "faults", member, FAULTS);
    json_ratio(json, "time_to_glibc", ratio_to_glibc(contest, member, WALL));
    json_ratio(json, "memory_to_glibc", ratio_to_glibc(contest, member, PEAK));
    json_close_object(json);
}

void verdict_json(const struct contest *contest, char *const *program) {
    struct json json;
    json_start(&json, &out_standard);
    json_open_object(&json, NULL);
    json_string(&json, "schema", "lucid.bench/1");
    json_open_array(&json, "program");
    for (int i = 0; program[i] != NULL; i++) {
        json_string(&json, NULL, program[i]);
    }
    json_close_array(&json);
    json_number(&json, "rounds", (uint64_t)contest->members[0].rounds);
    json_number(&json, "processors", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    json_open_array(&json, "allocators");
    for (int i = 0; i < contest->count; i++) {
        json_member(&json, contest, &contest->members[i]);
    }
    json_close_array(&json);
    json_close_object(&json);
    out_char(&out_standard, '\n');
}

static void ending_text(int status, char *to, size_t room) {
    if (WIFEXITED(status)) {
        snprintf(to, room, "exit code %d", WEXITSTATUS(status));
    } else {
        snprintf(to, room, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
}

// How often a run failed, and the status of the first that did.
static int count_failures(const struct contestant *member, int *status) {
    int count = 0;
    for (int round = member->rounds; round-- > 0;) {
        if (member->runs[round].status != 0) {
            *status = member->runs[round].status;
            count++;
        }
    }
    return count;
}

static bool ended_alike(const struct contest *contest) {
    int status = contest->members[0].runs[0].status;
    for (int i = 0; i < contest->count; i++) {
        const struct contestant *member = &contest->members[i];
        for (int round = 0; round < member->rounds; round++) {
            if (member->runs[round].status != status) {
                return false;
            }
        }
    }
    return true;
}

bool verdict_endings(const struct contest *contest) {
    bool alike = ended_alike(contest);
    char ending[64];
    int status = 0;
    if (alike && count_failures(&contest->members[0], &status) > 0) {
        ending_text(status, ending, sizeof(ending));
        say("every run ended with %s, under every allocator: the figures are those of a program "
            "that fails; try it by itself",
            ending);
    }
    for (int i = 0; i < contest->count && !alike; i++) {
        const struct contestant *member = &contest->members[i];
        int count = count_failures(member, &status);
        if (count > 0) {
            ending_text(status, ending, sizeof(ending));
            say("warning: it ended with %s under %s in %d of %d %s; the figures do not compare",
                ending, member->name, count, member->rounds,
                human_plural((uint64_t)member->rounds, "run", "runs"));
        }
    }
    return alike;
}
