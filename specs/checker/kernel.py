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

EMPTY, PENDING = -1, -2

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
    row: Any,
    dims: Any,
    missing: Any,
    count: Any,
) -> Any:
    """List what expanding a state misses, where there is room; how much is listed now."""
    first, plain, sends, _, _, first_update, updates, _ = entries
    values = maps[4]
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


@njit(cache=True)
def expand(
    maps: Any,
    used: Any,
    bundles: Any,
    entries: Any,
    states: Any,
    parents: Any,
    table: Any,
    known: Any,
    todo: Any,
    dims: Any,
    out: Any,
    names: Any,
    dead: Any,
    missing: Any,
    later: Any,
    edges: Any,
    edge: Any,
) -> Any:
    """Add the successors of the states in `todo`.

    A state that some table has no entry for is postponed: the rows go to `later`, the keys to
    `missing`.  If `edges` has room, the transitions are kept from place `edge` on. Returns how many
    of `todo` are done, of known states, of transitions, of dead ends, of missing keys and of
    postponed states.  It stops early if an array may become too small.
    """
    starts, degrees, targets, labels = edges
    keep = len(starts) > 0
    generated = 0
    ends = 0
    misses = 0
    put_off = 0
    last = len(table) - 1
    for at in range(len(todo)):
        row = todo[at]
        count = targets_of(maps, bundles, entries, states, row, dims, out, names)
        if count == -1:
            misses = list_missing(maps, used, bundles, entries, states, row, dims, missing, misses)
            later[put_off] = row
            put_off += 1
            continue
        if count == -2 or known + count > len(states) or 3 * (known + count) > 2 * len(table):
            return at, known, generated, ends, misses, put_off
        if keep:
            if edge + generated + count > len(targets):
                return at, known, generated, ends, misses, put_off
            starts[row] = edge + generated
            degrees[row] = count
        if count == 0:
            dead[ends] = row
            ends += 1
        for target in range(count):
            place = np.int64(hash_words(out, target, dims) >> np.uint64(8)) & last
            while True:
                other = table[place]
                if other == EMPTY:
                    for word in range(len(dims)):
                        states[known, word] = out[target, word]
                    parents[known] = row
                    table[place] = known
                    other = known
                    known += 1
                    break
                same = True
                for word in range(len(dims)):
                    if states[other, word] != out[target, word]:
                        same = False
                if same:
                    break
                place = (place + 1) & last
            if keep:
                targets[edge + generated] = other
                labels[edge + generated] = names[target]
            generated += 1
    return len(todo), known, generated, ends, misses, put_off


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
