#include "reasons.h"

#include <string.h>

uint64_t reasons_held(const struct ledger_class *class) {
    return class->live + class->cached + class->partial + class->dirty;
}

// Puts `class` where it belongs among those that hold most.
static void rank_class(struct reasons *reasons, unsigned class) {
    const struct ledger_class *classes = reasons->ledger.classes;
    uint64_t held = reasons_held(&classes[class]);
    size_t at = reasons->class_count;
    while (at > 0 && reasons_held(&classes[reasons->classes[at - 1]]) < held) {
        at--;
    }
    if (held == 0 || at == REASONS_SHOWN) {
        return;
    }
    reasons->class_count += reasons->class_count < REASONS_SHOWN;
    for (size_t i = reasons->class_count - 1; i > at; i--) {
        reasons->classes[i] = reasons->classes[i - 1];
    }
    reasons->classes[at] = class;
}

static void rank_large(struct reasons *reasons, struct reason_large large) {
    size_t at = reasons->large_count;
    while (at > 0 && reasons->large[at - 1].asked < large.asked) {
        at--;
    }
    if (at == REASONS_SHOWN) {
        return;
    }
    reasons->large_count += reasons->large_count < REASONS_SHOWN;
    for (size_t i = reasons->large_count - 1; i > at; i--) {
        reasons->large[i] = reasons->large[i - 1];
    }
    reasons->large[at] = large;
}

static void rank_thread(struct reasons *reasons, struct reason_thread thread) {
    size_t at = reasons->thread_count;
    while (at > 0 && reasons->threads[at - 1].cached < thread.cached) {
        at--;
    }
    if (thread.cached == 0 || at == REASONS_SHOWN) {
        return;
    }
    reasons->thread_count += reasons->thread_count < REASONS_SHOWN;
    for (size_t i = reasons->thread_count - 1; i > at; i--) {
        reasons->threads[i] = reasons->threads[i - 1];
    }
    reasons->threads[at] = thread;
}

static bool is_asleep(const struct target *target, const struct snapshot_heap *heap) {
    const struct target_thread *thread = target_thread_named_by(target, heap->record.tid);
    return thread != NULL && strchr("SDI", thread->state) != NULL;
}

static void take_threads(struct reasons *reasons, const struct session *session) {
    const struct snapshot *snapshot = session->snapshot;
    const struct target *target = &session->target;
    reasons->states_known = target->kind == TARGET_LIVE && target->pause == PAUSE_NONE;
    for (size_t i = 0; i < snapshot->heap_count; i++) {
        const struct snapshot_heap *heap = &snapshot->heaps[i];
        uint64_t cached = ledger_heap_cached(snapshot, heap);
        reasons->cached += cached;
        if (heap->record.state != HEAP_LIVE) {
            reasons->ended_cached += cached;
            continue;
        }
        bool asleep = reasons->states_known && is_asleep(target, heap);
        reasons->thread_total++;
        reasons->asleep += asleep;
        reasons->asleep_cached += asleep ? cached : 0;
        rank_thread(reasons, (struct reason_thread){heap->tid, heap->name, asleep, cached});
    }
}

static void take_large(struct reasons *reasons, struct snapshot *snapshot) {
    struct reader *reader = &snapshot->reader;
    struct reader_run run;
    for (bool more = reader_first(reader, &run); more; more = reader_next(reader, &run)) {
        if (run.kind == RUN_LARGE) {
            rank_large(reasons, (struct reason_large){run.start, run.asked, false});
        }
    }
    for (size_t i = 0; i < snapshot->mapping_count; i++) {
        const struct mapping *mapping = &snapshot->mappings[i];
        if (!snapshot_is_guarded(snapshot, mapping->address)) {
            rank_large(reasons, (struct reason_large){mapping->address, mapping->asked, true});
        }
    }
}

static void take_returns(struct reasons *reasons, const struct snapshot *snapshot) {
    settings_read(&reasons->settings, &snapshot->reader);
    reasons->trim_pool = reasons->ledger.dirty_pool;
    uint64_t empty = reasons->ledger.dirty_spans;
    uint64_t kept = reasons->sparse.total.kept;
    reasons->trim_spans = reasons->settings.hardened || empty < kept ? 0 : empty - kept;
}

bool reasons_take(struct reasons *reasons, struct session *session) {
    memset(reasons, 0, sizeof(*reasons));
    if (!ledger_take_pages(&reasons->ledger, session, &reasons->residency, false)) {
        return false;
    }
    sparse_find(&reasons->sparse, session, &reasons->residency, SPARSE_BELOW);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        rank_class(reasons, class);
    }
    target_list_threads(&session->target);
    take_threads(reasons, session);
    take_large(reasons, session->snapshot);
    take_returns(reasons, session->snapshot);
    return true;
}

void reasons_free(struct reasons *reasons) {
    sparse_free(&reasons->sparse);
    residency_free(&reasons->residency);
}
