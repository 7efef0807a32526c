#!/usr/bin/env python3
"""Negative controls of the model: each breaks one step of the protocol, or a memory order of it, in
a copy of span.c, lane.c and spanstate.h, and the explorer has to find it. A model that finds
nothing proves nothing.

usage: controls.py --source FOLDER --objects FILE... --compiler CC --work FOLDER [--only NAME...]
exit code: 0 every control was found, 1 one was not, 2 one could not be applied or built
"""

import argparse
import pathlib
import subprocess
import sys

SPAN = "span.c"
LANE = "lane.c"
STATE = "spanstate.h"

# name: (file, text as it is, text that breaks it)
CONTROLS = {
    "count_added_before_bits": (SPAN, """    uint64_t twice = set_bits(""", """\
    (void)span_give(&span->state, count, batch->row->blocks, alone);
    (void)atomic_fetch_sub_explicit(&span->state, count << SPAN_COUNT_SHIFT, memory_order_acq_rel);
    uint64_t twice = set_bits("""),
    "claim_apart_from_count": (STATE, """        new |= claim ? SPAN_HELD : 0;
        if (alone) {
            atomic_store_explicit(state, new, memory_order_relaxed);
            return claim;
        }
        if (state_swap(state, &old, new)) {
""", """        if (alone) {
            return claim;
        }
        if (state_swap(state, &old, new)) {
            (void)atomic_fetch_or_explicit(state, claim ? SPAN_HELD : 0, memory_order_acq_rel);
"""),
    "count_not_exchanged": (STATE, """        if (state_swap(state, &old, new)) {
            return claim;
""", """        {
            atomic_store_explicit(state, new, memory_order_release);
            return claim;
"""),
    "listed_without_the_lock": (LANE, """    lock_take(&list->lock);
    if (last) {
""", """    if (!span_held_to_listed(&span->state, sizeclass_table[span->class].blocks)) {
        return false;
    }
    lock_take(&list->lock);
    if (true) {
        list_push(list, head);
        lock_drop(&list->lock);
        return true;
    }
    if (last) {
"""),
    "pushed_without_the_lock": (LANE, """    lock_take(&list->lock);
    if (last) {
        list_push_last(list, head);
    } else {
        list_push(list, head);
    }
""", """    list_push(list, head);
    lock_take(&list->lock);
"""),
    "taken_although_held": (STATE, """        if (old & SPAN_HELD) {
            return false;
        }
    } while""", """    } while"""),
    "taken_and_still_listed": (STATE, "(old | SPAN_HELD) & ~SPAN_LISTED", "old | SPAN_HELD"),
    "let_go_as_full_unseen": (STATE, """        if (span_count(old) > 0) {
            return false;
        }
""", ""),
    "listed_although_empty": (STATE, """        if (span_count(old) == (int32_t)blocks) {
            return false;
        }
    } while (!state_swap(state, &old, (old & ~SPAN_HELD) | SPAN_LISTED));
""", """        (void)blocks;
    } while (!state_swap(state, &old, (old & ~SPAN_HELD) | SPAN_LISTED));
"""),
    "listed_flag_stays": (LANE, """    span_unlist(&span->state);
""", """    if (span->next != 0) {
        span_unlist(&span->state);
    }
"""),
    "unlinked_and_not_unlisted": (LANE, """    list_unlink(list, head);
    span_unlist(&span->state);
""", """    span_unlist(&span->state);
"""),
    "empty_span_not_claimed": (STATE, "return unlikely(span_count(new) == (int32_t)blocks);",
                               "return (void)blocks, false;"),
    "claimed_although_held": (STATE, """    if (old & SPAN_HELD) {
        return false; // its holder will see the new count when it lets go
    }
""", ""),
    "usable_span_not_claimed": (STATE, "return span_count(new) > 0; // usable",
                                "return false; // usable"),
    "bits_taken_without_exchange": (SPAN, """\
        (void)atomic_fetch_and_explicit(word, ~mine, memory_order_acq_rel);
""", """        atomic_store_explicit(word, seen & ~mine, memory_order_release);
"""),
    "bits_set_without_exchange": (SPAN, """\
    return atomic_fetch_or_explicit(word, mask, memory_order_acq_rel) & mask;
""", """    uint64_t old = atomic_load_explicit(word, memory_order_acquire);
    atomic_store_explicit(word, old | mask, memory_order_release);
    return old & mask;
"""),
    "count_subtracted_without_exchange": (STATE, """\
        (void)atomic_fetch_sub_explicit(state, k << SPAN_COUNT_SHIFT, memory_order_acq_rel);
""", """        uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
        atomic_store_explicit(state, old - (k << SPAN_COUNT_SHIFT), memory_order_relaxed);
"""),
    "count_not_subtracted": (SPAN, """    if (taken > 0) {
        span_held_take""", """    if (taken > 1) {
        span_held_take"""),
    "destroyed_one_too_early": (SPAN, "} else if (span_count(state) == (int32_t)blocks_of(span)) {",
                                "} else if (span_count(state) >= (int32_t)blocks_of(span) - 1) {"),
    "unlisted_without_the_lock": (LANE, """    lock_take(&list->lock);
    list_unlink(list, head);
    span_unlist(&span->state);
    lock_drop(&list->lock);
""", """    list_unlink(list, head);
    span_unlist(&span->state);
"""),
    "taken_off_another_lane": (LANE, """    struct class_list *list = list_of(span);
    lock_take(&list->lock);
    list_unlink(list, head);
""", """    struct class_list *list = list_in(0, span->class);
    lock_take(&list->lock);
    list_unlink(list, head);
"""),
    "lane_changed_without_count": (LANE, """        lane_remove_span(head);
        lane_add_span(lane, head);
""", """        run_at(head)->lane = (uint8_t)lane;
"""),
    "lock_not_given_back": (LANE, """    if (!listed) {
        list_unlink(list, head);
    }
    lock_drop(&list->lock);
""", """    if (!listed) {
        list_unlink(list, head);
        return listed;
    }
    lock_drop(&list->lock);
"""),
}

# As span_hold_listed was first written: what it saw before the claim was believed after it.
CONTROLS["looked_at_before_the_claim"] = (SPAN, """\
    if (!span_listed_to_claimed(&run_at(head)->state)) {
        return false;
    }
    lane_claimed_to_held(head);
    return true;
""", """    struct run *span = run_at(head);
    unsigned class = span->class;
    if (class == 0 || class >= CLASS_COUNT) {
        return false;
    }
    struct class_list *list = &root.live.lanes[span->lane].lists[class];
    lock_take(&list->lock);
    uint32_t state = atomic_load_explicit(&span->state, memory_order_acquire);
    bool held = run_kind_of(run_load(head)) == RUN_SPAN && span->class == class &&
                (state & (SPAN_LISTED | SPAN_HELD)) == SPAN_LISTED &&
                span_listed_to_held(&span->state);
    lock_drop(&list->lock);
    if (held) {
        lane_claimed_to_held(head);
    }
    return held;
""")
CONTROLS["claimed_whatever_it_is"] = (STATE, """\
        if ((old & (SPAN_HELD | SPAN_LISTED)) != SPAN_LISTED) {
            return false;
        }
""", """        if (old & SPAN_HELD) {
            return false;
        }
""")

# Orders that are too weak; only orders.c notices. Those of a failed exchange, of unlisting, of the
# holder's subtraction and half of each other one may be weaker: another order always comes along.
SWAP = "exchange_weak_explicit(state, old, new, "
GIVE = "fetch_or_explicit(word, mask, "
TAKE = "fetch_and_explicit(word, ~mine, "
LOOK = "load_explicit(&span->state, "
ORDERS = {
    "bits_given_without_release": [
        (SPAN, GIVE + "memory_order_acq_rel", GIVE + "memory_order_acquire")],
    "bits_taken_without_acquire": [
        (SPAN, TAKE + "memory_order_acq_rel", TAKE + "memory_order_release")],
    "count_added_without_release": [
        (STATE, SWAP + "memory_order_acq_rel", SWAP + "memory_order_acquire")],
    # The exchange and the look at the word in span_release can stand in for each other.
    "count_seen_without_acquire": [
        (STATE, SWAP + "memory_order_acq_rel", SWAP + "memory_order_release"),
        (SPAN, LOOK + "memory_order_acquire", LOOK + "memory_order_relaxed")],
}

FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-DLUCID_CHECKED=1", "-DLUCID_OVERRIDE=0",
         "-DLUCID_STRESS=0", "-U_FORTIFY_SOURCE", "-Dsizeclass_table=model_classes", "-w"]


class NotApplicable(Exception):
    pass


def copy_broken(source, folder, changes):
    """Copies the protocol's three files with these changes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (SPAN, LANE, STATE):
        text = (source / "src" / name).read_text(encoding="utf-8")
        for _, before, after in [change for change in changes if change[0] == name]:
            if text.count(before) != 1:
                raise NotApplicable(f"{name} holds the text to break {text.count(before)} times, "
                                    "not once; adapt the control to the new source")
            text = text.replace(before, after)
        (folder / name).write_text(text, encoding="utf-8")


def build(options, folder):
    model = options.source / "tests" / "model"
    program = folder / "model"
    objects = []
    for name in (SPAN, LANE):
        objects.append(str((folder / name).with_suffix(".o")))
        command = [options.compiler, *FLAGS, "-I", str(options.source / "src"), "-I", str(model),
                   "-include", str(model / "steps.h"), "-c", str(folder / name), "-o", objects[-1]]
        subprocess.run(command, check=True)
    subprocess.run([options.compiler, "-o", str(program), *objects, *options.objects], check=True)
    return program


def verdict_of(program, options):
    """What the explorer says is broken; None when it finds all in order."""
    run = subprocess.run([program, *options, "--first"], capture_output=True, text=True,
                         timeout=120, check=False)
    last = run.stdout.strip().splitlines()[-1] if run.stdout.strip() else "no output"
    if run.returncode == 1:
        return last.rpartition(": ")[2]
    if run.returncode == 0:
        return None
    return f"ended by itself with {run.returncode}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--objects", nargs="+", required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="*", default=[*CONTROLS, *ORDERS])
    options = parser.parse_args()
    missed = 0
    for name in options.only:
        folder = options.work / name
        try:
            changes = ORDERS[name] if name in ORDERS else [CONTROLS[name]]
            copy_broken(options.source, folder, changes)
            found = verdict_of(build(options, folder), ["--orders"] if name in ORDERS else [])
        except (NotApplicable, subprocess.CalledProcessError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        print(f"{name:34} {found or 'NOT FOUND'}", flush=True)
        missed += found is None
    print(f"{len(options.only) - missed} of {len(options.only)} broken protocols were found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
