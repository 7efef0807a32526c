#include "answer.h"

#include "idle.h"
#include "options.h"
#include "release.h"
#include "trim.h"

static struct request *request(void) {
    return &root.live.request;
}

static enum request_result set_option(uint32_t option, uint64_t value) {
    if (option >= OPTION_COUNT) {
        return RESULT_UNKNOWN;
    }
    const struct option_row *row = &option_table[option];
    if (row->moment != ANY_TIME) {
        return RESULT_FIXED;
    }
    if (value < row->least || value > row->most) {
        return RESULT_NO_VALUE;
    }
    root.live.options.value[option] = value;
    root.live.options.source[option] = SOURCE_CTL;
    if (option == OPTION_PURGE_AGE) {
        root.live.giving.age = (uint32_t)value; // what was learned was learned for another value
    }
    return RESULT_DONE;
}

static enum request_result act(const struct request *asked) {
    uint64_t trimmed = 0;
    if (asked->action == REQUEST_TRIM || asked->action == REQUEST_PURGE) {
        (void)idle_take_all(NULL);
    }
    switch (asked->action) {
    case REQUEST_TRIM:
        trimmed = trim_all();
        request()->pool_bytes = release_all() << UNIT_SHIFT;
        break;
    case REQUEST_PURGE:
        request()->pool_bytes = release_all() << UNIT_SHIFT;
        break;
    case REQUEST_SET:
        return set_option(asked->option, asked->value);
    default:
        return RESULT_UNKNOWN;
    }
    request()->span_bytes = trimmed;
    return RESULT_DONE;
}

// Takes a request that nobody else has taken.
static bool take(struct request *asked) {
    uint32_t state = REQUEST_ASKED;
    if (!atomic_compare_exchange_strong(&request()->state, &state, REQUEST_WORKS)) {
        return false;
    }
    asked->id = request()->id;
    asked->action = request()->action;
    asked->option = request()->option;
    asked->value = request()->value;
    request()->pool_bytes = 0;
    request()->span_bytes = 0;
    return true;
}

// An asker that lost patience may have put the next request here meanwhile: that one stays.
static void answer(const struct request *asked, enum request_result result) {
    request()->result = result;
    request()->answered = asked->id;
    uint32_t state = REQUEST_WORKS;
    (void)atomic_compare_exchange_strong(&request()->state, &state, REQUEST_ANSWERED);
}

void answer_all(void) {
    struct request asked;
    while (take(&asked)) {
        answer(&asked, act(&asked));
    }
}

void answer_no_helper(void) {
    struct request asked;
    while (take(&asked)) {
        answer(&asked, RESULT_NO_HELPER);
    }
}

void answer_after_fork(void) {
    if (atomic_load(&request()->state) != REQUEST_CLOSED) {
        atomic_store(&request()->state, REQUEST_OPEN);
    }
}
