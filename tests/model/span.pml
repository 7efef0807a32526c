/* The life of spans between two givers, two takers and their list, as in src/spanstate.h and
 * src/span.c. Where tests/model/explore.c runs the real code in scenarios that end, this model's
 * takers and givers go on for ever, so that spans are made, filled, emptied and destroyed in every
 * order. One class, SPANS units of arena, N blocks per span.
 *
 * A macro BREAK_... breaks one step; spin must then find an error (spin.py).
 *
 * state word: held, listed, count apart from each other, but always read and changed together in
 * one atomic step, as the one word is.
 */
#ifndef SPANS
#define SPANS 2
#endif
#ifndef N
#define N 2
#endif
#ifndef GIVERS
#define GIVERS 2
#endif
#define TAKERS 2
#define NONE 255

#ifdef BREAK_TAKE_HELD
#define TAKES_HELD true
#else
#define TAKES_HELD false
#endif

#ifdef BREAK_CLAIM_EMPTY
#define CLAIMS_EMPTY false
#else
#define CLAIMS_EMPTY (span[s].count == N)
#endif

typedef Span {
    bool live;      /* a span and not a part of the pool */
    bool held;
    bool listed;
    short count;
    bool free[N];   /* the bits */
    bool on_list;   /* the list itself; changed under the lock only */
    /* What must be true, kept for the assertions only. */
    bool out[N];    /* a thread or the program has the block */
    byte givers;    /* givers whose bits are set and not counted yet */
    byte holders;
    byte owed;      /* blocks that the holder has taken and not subtracted yet */
}

Span span[SPANS];
bool lock = false;
byte locker = NONE;

/* Blocks on their way from takers to givers: the program. */
chan used = [SPANS * N] of { byte, byte };

/* Threads in the middle of an operation. (A process that watched the others from outside would not
 * do: spin's partial order reduction does not see what such a watcher depends on.) */
byte busy = 0;

/* Nothing is going on: no span is lost, and every number agrees. */
inline judge_span(x) {
    if
    :: span[x].live ->
        assert(!span[x].held && span[x].givers == 0 && span[x].holders == 0);
        assert(span[x].count < N);
        assert(span[x].listed == (span[x].count > 0));
        assert(span[x].listed == span[x].on_list);
#if N == 1
        assert(span[x].count == span[x].free[0])
#elif N == 2
        assert(span[x].count == span[x].free[0] + span[x].free[1])
#else
        assert(span[x].count == span[x].free[0] + span[x].free[1] + span[x].free[2])
#endif
    :: else -> assert(!span[x].on_list)
    fi
}

inline rest() {
    atomic {
        busy--;
        if
        :: busy == 0 ->
            assert(!lock);
            judge_span(0);
#if SPANS > 1
            judge_span(1)
#endif
        :: else
        fi
    }
}

#define LOCK atomic { !lock -> lock = true; locker = _pid }
#define UNLOCK atomic { assert(locker == _pid); judge_list(); lock = false; locker = NONE }

/* Whenever the lock is free: LISTED says who is on the list. */
inline judge_list() {
    assert(!span[0].live || span[0].listed == span[0].on_list);
#if SPANS > 1
    assert(!span[1].live || span[1].listed == span[1].on_list)
#endif
}

inline list_push(s) {
    assert(!span[s].on_list);
    span[s].on_list = true
}

inline list_unlink(s) {
    assert(span[s].on_list);
    span[s].on_list = false
}

/* span_create: the new span is held; nobody else can know it. */
inline create(s) {
    atomic {
        s = 0;
        do
        :: s < SPANS && span[s].live -> s++
        :: else -> break
        od;
        if
        :: s < SPANS ->
            span[s].live = true;
            span[s].held = true;
            span[s].listed = false;
            span[s].count = N;
            span[s].free[0] = true; /* never carved counts as free here */
#if N > 1
            span[s].free[1] = true;
#endif
#if N > 2
            span[s].free[2] = true;
#endif
            span[s].holders = 1
        :: else -> s = NONE /* no memory */
        fi
    }
}

/* span_destroy: only when nothing is out and nobody is in the middle of giving. */
inline destroy(s) {
    atomic {
        assert(span[s].live && span[s].held && !span[s].listed && !span[s].on_list);
        assert(span[s].givers == 0);
        assert(span[s].free[0] && !span[s].out[0]);
#if N > 1
        assert(span[s].free[1] && !span[s].out[1]);
#endif
#if N > 2
        assert(span[s].free[2] && !span[s].out[2]);
#endif
        assert(span[s].holders == 1);
        span[s].holders = 0;
        span[s].held = false;
        span[s].count = 0;
        span[s].free[0] = false;
#if N > 1
        span[s].free[1] = false;
#endif
#if N > 2
        span[s].free[2] = false;
#endif
        span[s].live = false
    }
}

/* span_release. Each look at the word and each exchange is one step. */
inline release(s) {
    do
    :: true ->
        if
        :: atomic { span[s].listed -> assert(span[s].held && span[s].live) };
#ifndef BREAK_UNLIST_LOCK
            LOCK;
#endif
            list_unlink(s);
#ifndef BREAK_UNLIST
            span[s].listed = false; /* span_unlist */
#endif
#ifndef BREAK_UNLIST_LOCK
            UNLOCK
#endif
        :: atomic { !span[s].listed && span[s].count == N -> skip };
            destroy(s);
            break
#ifdef BREAK_DESTROY_EARLY
        :: atomic { !span[s].listed && span[s].count == N - 1 -> skip };
            destroy(s);
            break
#endif
        :: atomic { !span[s].listed && span[s].count <= 0 -> skip };
            /* span_held_to_full */
            if
#ifdef BREAK_HELD_TO_FULL
            :: atomic { true -> span[s].held = false; span[s].holders-- }; break
#else
            :: atomic { span[s].count <= 0 -> span[s].held = false; span[s].holders-- }; break
            :: atomic { span[s].count > 0 -> skip }
#endif
            fi
        :: atomic { !span[s].listed && span[s].count > 0 && span[s].count < N -> skip };
            /* held_to_listed */
#ifndef BREAK_LIST_LOCK
            LOCK;
#endif
            list_push(s);
            if
#ifdef BREAK_HELD_TO_LISTED
            :: atomic { true ->
#else
            :: atomic { span[s].count != N ->
#endif
                    span[s].held = false; span[s].listed = true; span[s].holders-- };
#ifndef BREAK_LIST_LOCK
                UNLOCK;
#endif
                break
#ifndef BREAK_HELD_TO_LISTED
            :: atomic { span[s].count == N -> skip };
                list_unlink(s);
#ifndef BREAK_LIST_LOCK
                UNLOCK
#endif
#endif
            fi
        fi
    od
}

/* The look was right a moment ago; a giver may have claimed the span since. */
inline listed_to_held(s) {
    if
#ifdef BREAK_TAKE_HELD
    :: atomic { true ->
#else
    :: atomic { !span[s].held ->
#endif
            span[s].held = true;
#ifndef BREAK_TAKE_LISTED
            span[s].listed = false;
#endif
            span[s].holders++;
            assert(span[s].holders == 1) };
        list_unlink(s)
#ifndef BREAK_TAKE_HELD
    :: atomic { span[s].held -> s = NONE }
#endif
    fi
}

/* span_acquire: any span of the list, else a new one, else NONE. */
inline acquire(s) {
    s = NONE;
    LOCK;
    if
    :: atomic { span[0].on_list && (!span[0].held || TAKES_HELD) -> s = 0 };
        listed_to_held(s)
#if SPANS > 1
    :: atomic { span[1].on_list && (!span[1].held || TAKES_HELD) -> s = 1 };
        listed_to_held(s)
#endif
    :: else -> s = NONE
    fi;
    UNLOCK;
    if
    :: s == NONE -> create(s)
    :: else
    fi
}

inline grab(s, b) {
    assert(span[s].live && span[s].held);
    assert(!span[s].out[b]); /* never handed out twice */
    span[s].free[b] = false;
    span[s].out[b] = true;
    span[s].owed++
}

/* span_take of one block: clear its bit, then lower the count. b = N: the span has none. */
inline take(s, b) {
    if
    :: atomic { span[s].free[0] -> b = 0; grab(s, b) }
#if N > 1
    :: atomic { span[s].free[1] -> b = 1; grab(s, b) }
#endif
#if N > 2
    :: atomic { span[s].free[2] -> b = 2; grab(s, b) }
#endif
    :: atomic { else -> b = N }
    fi;
    if
    :: b < N ->
#ifdef BREAK_TAKE_COUNT
        seen = span[s].count;
        atomic { span[s].count = seen - 1; span[s].owed-- }
#else
        atomic { span[s].count = span[s].count - 1; span[s].owed-- }
#endif
    :: else
    fi
}

active [TAKERS] proctype Taker() {
    byte s = NONE;
    byte b = N;
    short seen;
end:
    do
    :: busy++;
        acquire(s);
        if
        :: s == NONE -> skip /* no memory: what is out has to come back first */
        :: else ->
            take(s, b);
            do /* a holder may go on taking, or let go */
            :: b < N -> used ! s, b;
                if
                :: take(s, b)
                :: b = N
                fi
            :: else -> break
            od;
            release(s)
        fi;
        rest();
        s = NONE; b = N; seen = 0
    od
}

#ifdef LOOKED_AFTER
/* span_hold_listed, and letting go again: whoever gives pages of half-used spans back. */
active proctype Keeper() {
    byte s = 0;
end:
    do
    :: atomic { s < SPANS && span[s].listed && !span[s].held -> busy++;
            span[s].held = true; span[s].holders++;
            assert(span[s].live && span[s].holders == 1) };
        LOCK; list_unlink(s); span[s].listed = false; UNLOCK;
        release(s);
        rest()
    :: atomic { SPANS > 1 -> s = 1 - s }
    od
}
#endif

inline set_bit(s, b) {
    atomic {
        assert(span[s].live && span[s].out[b] && !span[s].free[b]);
        span[s].out[b] = false;
        span[s].free[b] = true;
        span[s].givers++
    }
}

/* What spanstate.h says of the count, at every moment at which it changes. */
inline judge_count(s) {
#if N == 1
    assert(span[s].count == span[s].free[0] - span[s].givers + span[s].owed)
#elif N == 2
    assert(span[s].count == span[s].free[0] + span[s].free[1] - span[s].givers + span[s].owed)
#else
    assert(span[s].count == span[s].free[0] + span[s].free[1] + span[s].free[2]
           - span[s].givers + span[s].owed)
#endif
}

/* span_give: adding and taking HELD are one step. */
inline give_count(s) {
#ifdef BREAK_GIVE_COUNT
    seen = span[s].count;
    atomic {
        span[s].count = seen + 1;
#else
    atomic {
        span[s].count = span[s].count + 1;
#endif
#ifndef BREAK_COUNT_FIRST
        span[s].givers--;
#endif
        judge_count(s);
        claim = !span[s].held && (CLAIMS_EMPTY ||
                                  (!span[s].listed && span[s].count > 0));
#ifdef BREAK_CLAIM_HELD
        claim = span[s].count == N || (!span[s].listed && span[s].count > 0);
#endif
#ifdef BREAK_CLAIM_USABLE
        claim = !span[s].held && span[s].count == N;
#endif
#ifdef BREAK_CLAIM_APART
    };
    atomic { /* the claim is a step of its own */
#endif
        if
        :: claim -> span[s].held = true; span[s].holders++; assert(span[s].holders == 1)
        :: else
        fi
    }
}

active [GIVERS] proctype Giver() {
    byte s = NONE;
    byte b = N;
    bool claim;
    short seen;
end:
    do
    :: atomic { used ? s, b -> busy++ };
#ifdef BREAK_COUNT_FIRST
        give_count(s);
        set_bit(s, b);
#else
        set_bit(s, b);
        give_count(s);
#endif
        if
        :: claim -> release(s)
        :: else
        fi;
        rest();
        s = NONE; b = N; claim = false; seen = 0
    od
}
