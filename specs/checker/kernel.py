"""The compiled inner loops.  Imports numba: only `specs.checker.compiled` may import this.

A packed state is a row of 64-bit words; `dims` is a tuple with one item a word, so that its length
is known to the compiler.  All tables are *maps*, regions of one open-addressing table: the key is a
state under the map's mask, the value a small number.  A missing key is marked as pending and
reported; Python computes its value and the kernel continues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from specs.checker.atomics import compare_and_swap, fetch_add, load, prefetch, store

EMPTY, PENDING = -1, -2
#: The place of a state that a thread is about to write.
CLAIMED = -2

#: Counters that threads share, each in a cache line of its own: known states, kept transitions, how
#: much of the work is taken, and whether an array is full.
KNOWN, EDGES, TAKEN, FULL = 0, 8, 16, 24
COUNTERS = 32

FIRST = np.uint64(0x9E3779B97F4A7C15)
SECOND = np.uint64(0xD6E8FEB86659FD93)
HALF = np.uint64(32)


@njit(cache=True, inline="always")
def hash_words(words: Any, row: Any, dims: Any) -> Any:
    """A hash of one row."""
    mixed = np.uint64(0)
    for word in range(len(dims)):
        mixed = (mixed ^ words[row, word]) * FIRST
        mixed = (mixed ^ (mixed >> HALF)) * SECOND
    return mixed ^ (mixed >> HALF)


@njit(cache=True, inline="always")
def locate(maps: Any, which: Any, words: Any, row: Any, dims: Any) -> Any:
    """Where the key of a row is in a map, or the empty place where it belongs."""
    masks, at, bits, keys, values = maps
    mixed = np.uint64(0)
    for word in range(len(dims)):
        mixed = (mixed ^ (words[row, word] & masks[which, word])) * FIRST
        mixed = (mixed ^ (mixed >> HALF)) * SECOND
    last = (np.int64(1) << bits[which]) - 1
    place = np.int64(mixed >> np.uint64(20)) & last
    start = at[which]
    while values[start + place] != EMPTY:
        same = True
        for word in range(len(dims)):
            if keys[start + place, word] != words[row, word] & masks[which, word]:
                same = False
        if same:
            break
        place = (place + 1) & last
    return start + place


@njit(cache=True)
def put(maps: Any, which: Any, words: Any, row: Any, dims: Any, value: Any) -> Any:
    """Set the value for the key of a row; whether the key is new."""
    masks, _, _, keys, values = maps
    place = locate(maps, which, words, row, dims)
    new = values[place] == EMPTY
    for word in range(len(dims)):
        keys[place, word] = words[row, word] & masks[which, word]
    values[place] = value
    return new


@njit(cache=True)
def report(
    maps: Any, used: Any, which: Any, words: Any, row: Any, dims: Any, missing: Any, count: Any
) -> Any:
    """Mark a key as pending and list it; whether there was room."""
    if count >= len(missing) or 2 * used[which] >= np.int64(1) << maps[2][which]:
        return False
    used[which] += put(maps, which, words, row, dims, PENDING)
    missing[count, 0] = which
    missing[count, 1] = row
    return True


@njit(cache=True, inline="always")
def targets_of(
    maps: Any, bundles: Any, entries: Any, states: Any, row: Any, dims: Any, out: Any, names: Any
) -> Any:
    """Write all successors of a state to `out` and their labels to `names`; how many, or a code.

    -1: some table has no entry yet.  -2: `out` is too short.
    """
    first, plain, sends, deltas, labels, first_update, updates, addends = entries
    values = maps[4]
    count = 0
    for which in range(bundles):
        entry = values[locate(maps, which, states, row, dims)]
        if entry < 0:
            return -1
        start = first[entry]
        middle = start + plain[entry]
        end = middle + sends[entry]
        if count + end - start > len(out):
            return -2
        for move in range(start, end):
            for word in range(len(dims)):
                out[count, word] = states[row, word] + deltas[move, word]
            names[count] = labels[move]
            if move >= middle:
                for at in range(first_update[move], first_update[move + 1]):
                    addend = values[locate(maps, updates[at], states, row, dims)]
                    if addend < 0:
                        return -1
                    for word in range(len(dims)):
                        out[count, word] += addends[addend, word]
            count += 1
    return count


@njit(cache=True)
def list_missing(
    maps: Any,
    used: Any,
    bundles: Any,
    entries: Any,
    states: Any,
    todo: Any,
    dims: Any,
    missing: Any,
) -> Any:
    """List the keys that expanding the states in `todo` misses, where there is room; how many."""
    first, plain, sends, _, _, first_update, updates, _ = entries
    values = maps[4]
    count = 0
    for row in todo:
        for which in range(bundles):
            entry = values[locate(maps, which, states, row, dims)]
            if entry == EMPTY:
                count += report(maps, used, which, states, row, dims, missing, count)
            if entry < 0:
                continue
            middle = first[entry] + plain[entry]
            for move in range(middle, middle + sends[entry]):
                for at in range(first_update[move], first_update[move + 1]):
                    update = updates[at]
                    if values[locate(maps, update, states, row, dims)] == EMPTY:
                        count += report(maps, used, update, states, row, dims, missing, count)
    return count


@njit(cache=True, nogil=True)
def expand(
    maps: Any,
    bundles: Any,
    entries: Any,
    states: Any,
    parents: Any,
    table: Any,
    edges: Any,
    todo: Any,
    dims: Any,
    shared: Any,
    threads: Any,
    block: Any,
    out: Any,
    names: Any,
    places: Any,
    dead: Any,
    later: Any,
) -> Any:
    """Add the successors of states in `todo`, `block` at a time, beside other threads.

    A state is postponed, and its row goes to `later`, if some table has no entry for it, if `out`
    is too short, or if an array may become too small, which ends the work of all threads.  If
    `edges` has room, the transitions are kept. Returns how many states are dead ends and postponed,
    how many transitions there were, and whether `out` is too short.
    """
    starts, degrees, targets, labels = edges
    keep = len(starts) > 0
    generated = 0
    ends = 0
    put_off = 0
    short = False
    last = len(table) - 1
    # What the threads may add before each of them looks again.
    margin = threads * len(out)
    while True:
        begin = fetch_add(shared, TAKEN, block)
        for at in range(begin, min(begin + block, len(todo))):
            row = todo[at]
            most = load(shared, KNOWN) + margin
            if most > len(states) or 3 * most > 2 * len(table):
                store(shared, FULL, 1)
            if keep and load(shared, EDGES) + margin > len(targets):
                store(shared, FULL, 1)
            count = -1
            if not load(shared, FULL):
                count = targets_of(maps, bundles, entries, states, row, dims, out, names)
                short |= count == -2
            if count < 0:
                later[put_off] = row
                put_off += 1
                continue
            edge = 0
            if keep:
                edge = fetch_add(shared, EDGES, count)
                starts[row] = edge
                degrees[row] = count
            if count == 0:
                dead[ends] = row
                ends += 1
            # The places in memory are far apart: fetch all of them at once, then their states.
            for target in range(count):
                places[target] = np.int64(hash_words(out, target, dims) >> np.uint64(8)) & last
                prefetch(table, places[target])
            for target in range(count):
                place = places[target]
                other = load(table, place)
                if other >= 0:
                    prefetch(states, other)
            for target in range(count):
                place = places[target]
                while True:
                    other = load(table, place)
                    if other == EMPTY:
                        other = compare_and_swap(table, place, EMPTY, CLAIMED)
                        if other == EMPTY:
                            other = fetch_add(shared, KNOWN, 1)
                            for word in range(len(dims)):
                                states[other, word] = out[target, word]
                            parents[other] = row
                            store(table, place, other)
                            break
                    while other == CLAIMED:
                        other = load(table, place)
                    same = True
                    for word in range(len(dims)):
                        if states[other, word] != out[target, word]:
                            same = False
                    if same:
                        break
                    place = (place + 1) & last
                if keep:
                    targets[edge + target] = other
                    labels[edge + target] = names[target]
            generated += count
        if begin + block >= len(todo) or load(shared, FULL):
            return ends, put_off, generated, short


@njit(cache=True)
def rehash(states: Any, known: Any, table: Any, dims: Any) -> Any:
    """Fill an empty table with the first `known` states."""
    last = len(table) - 1
    for row in range(known):
        place = np.int64(hash_words(states, row, dims) >> np.uint64(8)) & last
        while table[place] != EMPTY:
            place = (place + 1) & last
        table[place] = row


@njit(cache=True)
def put_all(maps: Any, used: Any, which: Any, values: Any, words: Any, dims: Any) -> Any:
    """Set many values: rows of (map, row of `words`)."""
    for at in range(len(values)):
        number = which[at, 0]
        used[number] += put(maps, number, words, which[at, 1], dims, values[at])


@njit(cache=True)
def ask(
    maps: Any,
    used: Any,
    which: Any,
    states: Any,
    todo: Any,
    dims: Any,
    missing: Any,
    later: Any,
    first: Any,
    answers: Any,
) -> Any:
    """Look up a panel in the states in `todo` and record the first state of each number.

    If the number is not computed yet, the row goes to `later` and the key to `missing`.  Returns
    the counts of these keys and rows.  If `answers` is not empty, it receives all numbers.
    """
    values = maps[4]
    misses = 0
    put_off = 0
    for at in range(len(todo)):
        row = todo[at]
        answer = values[locate(maps, which, states, row, dims)]
        if answer < 0:
            if answer == EMPTY:
                misses += report(maps, used, which, states, row, dims, missing, misses)
            later[put_off] = row
            put_off += 1
            continue
        if first[answer] < 0 or row < first[answer]:
            first[answer] = row
        if len(answers):
            answers[row] = answer
    return misses, put_off


@njit(cache=True)
def arrange(edges: Any, offsets: Any, targets: Any, labels: Any) -> Any:
    """Put edges, which were kept in the order of expansion, into the order of states."""
    starts, _, kept_targets, kept_labels = edges
    for row in range(len(offsets) - 1):
        at = starts[row]
        for edge in range(offsets[row], offsets[row + 1]):
            targets[edge] = kept_targets[at]
            labels[edge] = kept_labels[at]
            at += 1
