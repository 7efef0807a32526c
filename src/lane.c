#include "lane.h"

#include "root.h"
#include "spanstate.h"

static struct class_list *list_in(unsigned lane, unsigned class) {
    return &root.live.lanes[lane].lists[class];
}

static struct class_list *list_of(const struct run *span) {
    return list_in(span->lane, span->class);
}

// ---- lists; pre: the list's lock is held --------------------------------------------------------

// The pool looks at the record in front of a free run, which may be a span of one unit, and
// believes what it finds only if the shapes agree (pool_run_before).
static void set_prev(uint32_t head, uint32_t prev) {
    __atomic_store_n(&run_at(head)->prev, prev, __ATOMIC_RELAXED);
}

static void list_push(struct class_list *list, uint32_t head) {
    run_at(head)->next = list->head;
    set_prev(head, 0);
    if (list->head != 0) {
        set_prev(list->head, head);
    } else {
        list->tail = head;
    }
    __atomic_store_n(&list->head, head, __ATOMIC_RELAXED); // looked at without the lock too
}

static void list_push_last(struct class_list *list, uint32_t head) {
    if (list->head == 0) {
        list_push(list, head);
        return;
    }
    run_at(head)->next = 0;
    set_prev(head, list->tail);
    run_at(list->tail)->next = head;
    list->tail = head;
}

static void list_unlink(struct class_list *list, uint32_t head) {
    struct run *span = run_at(head);
    if (span->prev != 0) {
        run_at(span->prev)->next = span->next;
    } else {
        __atomic_store_n(&list->head, span->next, __ATOMIC_RELAXED);
    }
    if (span->next != 0) {
        set_prev(span->next, span->prev);
    } else {
        list->tail = span->prev;
    }
}

// ---- moves --------------------------------------------------------------------------------------

uint32_t lane_listed_to_held(unsigned lane, unsigned class) {
    struct class_list *list = list_in(lane, class);
    if (__atomic_load_n(&list->head, __ATOMIC_RELAXED) == 0) {
        return 0;
    }
    lock_take(&list->lock);
    uint32_t head = list->head;
    while (head != 0 && !span_listed_to_held(&run_at(head)->state)) {
        head = run_at(head)->next; // empty: the giver that claimed it is about to take it off
    }
    if (head != 0) {
        list_unlink(list, head);
    }
    lock_drop(&list->lock);
    return head;
}

uint32_t lane_others_listed_to_held(unsigned lane, unsigned class) {
    unsigned lanes = root_lanes();
    uint32_t head = 0;
    for (unsigned i = 1; head == 0 && i <= lanes; i++) {
        unsigned other = (lane + i) % lanes;
        head = other != lane ? lane_listed_to_held(other, class) : 0;
    }
    if (head != 0) {
        lane_remove_span(head);
        lane_add_span(lane, head);
    }
    return head;
}

bool lane_held_to_listed(uint32_t head, bool last) {
    struct run *span = run_at(head);
    struct class_list *list = list_of(span);
    lock_take(&list->lock);
    if (last) {
        list_push_last(list, head);
    } else {
        list_push(list, head);
    }
    bool listed = span_held_to_listed(&span->state, sizeclass_table[span->class].blocks);
    if (!listed) {
        list_unlink(list, head);
    }
    lock_drop(&list->lock);
    return listed;
}

void lane_claimed_to_held(uint32_t head) {
    struct run *span = run_at(head);
    struct class_list *list = list_of(span);
    lock_take(&list->lock);
    list_unlink(list, head);
    span_unlist(&span->state);
    lock_drop(&list->lock);
}

// ---- life and counts ----------------------------------------------------------------------------

void lane_begin(unsigned lane) {
    (void)__atomic_fetch_add(&list_in(lane, 0)->spans, 0, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&list_in(lane, CLASS_COUNT - 1)->spans, 0, __ATOMIC_RELAXED);
}

void lane_add_span(unsigned lane, uint32_t head) {
    struct run *span = run_at(head);
    span->lane = (uint8_t)lane;
    (void)__atomic_fetch_add(&list_of(span)->spans, 1, __ATOMIC_RELAXED);
}

void lane_remove_span(uint32_t head) {
    (void)__atomic_fetch_sub(&list_of(run_at(head))->spans, 1, __ATOMIC_RELAXED);
}

uint32_t lane_spans(unsigned lane, unsigned class) {
    return __atomic_load_n(&list_in(lane, class)->spans, __ATOMIC_RELAXED);
}

void lane_reset(void) {
    for (unsigned lane = 0; lane < root_lanes(); lane++) {
        for (unsigned class = 1; class < CLASS_COUNT; class ++) {
            *list_in(lane, class) = (struct class_list){.head = 0};
        }
    }
}
