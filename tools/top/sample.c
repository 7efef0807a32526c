#include "sample.h"

#include "explain/settings.h"
#include "util/human.h"
#include "util/memory.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// ---- threads ------------------------------------------------------------------------------------

static struct sample_counts read_counts(const struct snapshot *snapshot,
                                        const struct snapshot_heap *heap) {
    struct heap_counters counters = {0};
    view_read(&snapshot->view, heap->record.address + snapshot->reader.fixed.layout.heap_counters,
              &counters, sizeof(counters));
    return (struct sample_counts){
        .refills = counters.refills,
        .flushes = counters.flushes,
        .larges = counters.larges,
    };
}

static char thread_state(const struct target *target, const struct snapshot_heap *heap) {
    const struct target_thread *thread = target_thread_named_by(target, heap->record.tid);
    return thread != NULL ? thread->state : '-';
}

static uint64_t rise(uint64_t now, uint64_t before) {
    return now > before ? now - before : 0;
}

static struct sample_counts counts_change(struct sample_counts now, struct sample_counts before) {
    return (struct sample_counts){
        .refills = rise(now.refills, before.refills),
        .flushes = rise(now.flushes, before.flushes),
        .larges = rise(now.larges, before.larges),
        .returned = rise(now.returned, before.returned),
    };
}

// A heap is handed from an ended thread to a new one, and goes on counting: its change is right
// for both.
static void set_change(struct sample_thread *thread, const struct sample_thread *old,
                       size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (old[i].heap == thread->heap) {
            thread->change = counts_change(thread->counts, old[i].counts);
        }
    }
}

static void take_threads(struct sample *sample) {
    const struct snapshot *snapshot = sample->session->snapshot;
    struct sample_thread *old = sample->threads;
    size_t old_count = sample->thread_count;
    sample->threads = memory_take((snapshot->heap_count + 1) * sizeof(*sample->threads));
    sample->thread_count = 0;
    // Threads without a heap count together.
    sample->counts = (struct sample_counts){.larges = snapshot->reader.live.larges};
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        struct sample_counts counts = read_counts(snapshot, heap);
        sample->counts.refills += counts.refills;
        sample->counts.flushes += counts.flushes;
        sample->counts.larges += counts.larges;
        if (heap->record.state != HEAP_LIVE) {
            continue;
        }
        struct sample_thread *thread = &sample->threads[sample->thread_count++];
        thread->heap = heap->record.address;
        thread->tid = heap->tid;
        thread->state = thread_state(&sample->session->target, heap);
        thread->cached = ledger_heap_cached(snapshot, heap);
        thread->counts = counts;
        snprintf(thread->name, sizeof(thread->name), "%s", heap->name);
        set_change(thread, old, old_count);
    }
    free(old);
}

// ---- readings -----------------------------------------------------------------------------------

static void note_reading(struct sample *sample, uint64_t start) {
    struct sample_counts before = sample->counts;
    struct settings settings;
    uint64_t now = target_clock();
    take_threads(sample);
    settings_read(&settings, &sample->session->snapshot->reader);
    sample->counts.returned = settings.returned;
    sample->seconds = sample->taken > 0 ? (double)(start - sample->at) / 1e9 : 0;
    if (sample->taken > 0) {
        sample->change = counts_change(sample->counts, before);
    }
    sample->history[sample->taken++ % SAMPLE_HISTORY] = sample->ledger.sum;
    sample->at = start;
    sample->cost = now - start;
    sample->state = SAMPLE_GOOD;
}

bool sample_begin(struct sample *sample, struct session *session) {
    uint64_t start = target_clock();
    memset(sample, 0, sizeof(*sample));
    sample->session = session;
    sample->tried = start;
    // From here on the number means this process, and no later one.
    sample->pidfd = (int)syscall(SYS_pidfd_open, session->target.pid, 0);
    if (!ledger_take(&sample->ledger, session, false)) {
        sample_end(sample);
        return false;
    }
    note_reading(sample, start);
    return true;
}

void sample_end(struct sample *sample) {
    free(sample->threads);
    sample->threads = NULL;
    if (sample->pidfd >= 0) {
        close(sample->pidfd);
    }
}

bool sample_ended(const struct sample *sample) {
    struct pollfd process = {.fd = sample->pidfd, .events = POLLIN};
    if (sample->pidfd < 0) {
        return kill(sample->session->target.pid, 0) != 0 && errno == ESRCH;
    }
    return poll(&process, 1, 0) == 1;
}

// After an exec the heap is elsewhere, or there is none.
static bool read_again(struct sample *sample, struct ledger *ledger) {
    struct session *session = sample->session;
    if (ledger_take_again(ledger, session)) {
        return true;
    }
    if (sample_ended(sample) || !target_regions(&session->target, false)) {
        return false;
    }
    locate_roots(&session->places, &session->target);
    if (session->places.count == 0) {
        return false;
    }
    session->snapshot->place = session->places.list[0];
    return ledger_take_again(ledger, session);
}

void sample_again(struct sample *sample) {
    struct session *session = sample->session;
    struct snapshot *last = session->snapshot;
    struct ledger ledger;
    uint64_t start = target_clock();
    sample->tried = start;
    if (sample_ended(sample)) {
        sample->state = SAMPLE_ENDED;
        return;
    }
    // What was read last stays until there is something newer.
    session->snapshot = memory_take_aligned(_Alignof(struct snapshot), sizeof(*session->snapshot));
    session->snapshot->place = last->place;
    target_list_threads(&session->target);
    if (read_again(sample, &ledger)) {
        snapshot_free(last);
        free(last);
        sample->before = sample->ledger;
        sample->ledger = ledger;
        note_reading(sample, start);
        return;
    }
    snapshot_free(session->snapshot);
    free(session->snapshot);
    session->snapshot = last;
    // Memory goes before the process is seen to have ended.
    bool ended = sample_ended(sample) || target_fate(&session->target) == FATE_ENDED;
    sample->state = ended                        ? SAMPLE_ENDED
                    : session->places.count == 0 ? SAMPLE_OTHER
                                                 : SAMPLE_MISSED;
}

const char *sample_trouble(const struct sample *sample) {
    switch (sample->state) {
    case SAMPLE_MISSED:
        return "it cannot be read at this moment; what is shown is older";
    case SAMPLE_OTHER:
        return "it runs another program now, without lucid; what is shown was before";
    case SAMPLE_ENDED:
        return "it has ended; what is shown was its last moment";
    default:
        return "";
    }
}

double sample_rate(const struct sample *sample, uint64_t change) {
    return sample->seconds > 0 ? (double)change / sample->seconds : 0;
}
