"""Random models: every engine against the plain judge, and every certificate before it.

    python tests/specs/fuzz_models.py --count 100000 --seed 1

A model is made from the seed and its number, so ``--first N --count 1`` makes one again.
"""

import argparse
import random
import sys
import time
from collections import Counter
from contextlib import contextmanager
from functools import cache
from itertools import combinations, permutations

import networkx

from specs.certificate import Origin, certify, read, written
from specs.checker import (
    Action,
    Change,
    Composite,
    Limit,
    Model,
    Verdict,
    always,
    check,
    eventually,
    leads_to,
    liveness,
    reachable,
    strong,
    table,
    weak,
)
from specs.checker.composite import Symmetry
from specs.judge import Graph, Refused, classes, enabled, is_strong, judge, left_out

NAMES, PROCESSES = ("a", "b", "c"), ("p", "q")
#: A model with more states is not tried: nothing about it is small enough to look at.
STATES_MAX = 400
#: Regions up to this size are decided by all their subsets, too.
SUBSETS_MAX = 7


class Difference(Exception):
    """An engine, the judge and the oracle do not agree; the text says about what."""


# Random models.


def conditions(rng):
    """Up to three fairness conditions."""
    selectors = [
        lambda: (rng.choice(NAMES), {}),
        lambda: (rng.choice(NAMES), {"each": "process"}),
        lambda: (lambda action: action.process, {}),
        lambda: (lambda action: action.name in "ab" or None, {}),
    ]
    chosen = [rng.choice(selectors)() for _ in range(rng.randrange(4))]
    return [rng.choice((weak, strong))(actions, **more) for actions, more in chosen]


def claims(rng, draw, live):
    """Claims of every kind; `draw` makes a predicate."""
    found = [
        always("always", draw(0.9)),
        always("always when", draw(0.8), when=draw(0.4)),
        reachable("reachable", draw(0.1)),
        reachable("perhaps", draw(0.02)),
    ]
    if live:
        found += [
            eventually("eventually", draw(0.3)),
            eventually("seldom", draw(0.1)),
            leads_to("leads to", draw(0.3), draw(0.3)),
            leads_to("leads seldom", draw(0.2), draw(0.1)),
        ]
    rng.shuffle(found)
    # Often without an invariant: one that fails ends the search before the rest is decided.
    keep = rng.random()
    found = [prop for prop in found if prop.kind != "always" or rng.random() < keep]
    return found[: rng.randint(1, len(found))] if found else []


def plain(rng):
    """A graph of at most fourteen states, some steps of which the model may leave out."""
    count = rng.randint(1, 14)
    states = range(count)
    degree = rng.choice((1.0, 1.6, 2.4))
    edges = [
        (rng.choice(states), Action(rng.choice(NAMES), rng.choice(PROCESSES)), rng.choice(states))
        for _ in range(round(degree * count))
    ]
    cut = {edge for edge in edges if rng.random() < 0.15} if rng.random() < 0.15 else set()
    steps = {s: [(a, t) for f, a, t in edges if f == s and (f, a, t) not in cut] for s in states}
    left = {s: [a for f, a, t in edges if f == s and (f, a, t) in cut] for s in states}

    def draw(share):
        return frozenset(s for s in states if rng.random() < share).__contains__

    met = []

    def actions(state):
        if left[state]:
            met.append(state)
        return steps[state]

    return Model(
        "plain",
        [rng.choice(states) for _ in range(rng.choice((1, 1, 2, 3)))],
        actions,
        claims(rng, draw, live=rng.random() < 0.8),
        conditions(rng),
        terminal=rng.choice((None, draw(0.5), lambda state: True, lambda state: True)),
        within=draw(0.8) if rng.random() < 0.3 else None,
        limit=Limit("the cut", left.__getitem__, lambda: bool(met)) if cut else None,
        alphabet=frozenset(NAMES),
    )


def drawn_once(rng):
    """A function of hashable values that draws its answer, always the same for equal values."""
    salt = rng.random()
    return lambda *values: random.Random(f"{salt} {values!r}")


def composite(rng):
    """Registers and queues, and rules over some of them."""
    registers, queues = rng.randint(1, 3), rng.randint(0, 2)
    slots = registers + queues
    top = rng.randint(1, 3)
    fifo = frozenset(range(registers, slots))

    def rule_of(process):
        reads = rng.sample(range(registers), rng.randint(1, registers))
        takes = rng.choice([*fifo, None]) if fifo else None
        share = rng.choice((0.4, 0.7, 0.9))
        answer = drawn_once(rng)

        @cache
        def changes(seen, head):
            draw, found = answer(seen, head), []
            for _ in range(draw.choice((1, 1, 2))):
                if draw.random() > share:
                    continue
                writes = {slot: draw.randint(0, top) for slot in reads if draw.random() < 0.6}
                if takes is not None and draw.random() < 0.9:
                    writes[takes] = None
                updates = [
                    (slot, draw.randint(0, 1))
                    for slot in range(slots)
                    if slot not in writes and draw.random() < 0.3
                ]
                action = Action(draw.choice(NAMES), process)
                found.append((action, writes, tuple(updates)))
            return found

        def rule(values):
            head = None
            if takes is not None:
                if not values[takes]:
                    return
                head = values[takes][0]
            for action, writes, updates in changes(tuple(values[slot] for slot in reads), head):
                filled = ((s, values[s][1:] if s == takes else new) for s, new in writes.items())
                yield Change(action, tuple(filled), updates)

        return rule

    def apply(slot, value, operation):
        return (*value, operation) if slot in fifo else (value + operation) % (top + 1)

    def draw(share):
        looks = rng.sample(range(slots), rng.randint(1, slots))
        answer = drawn_once(rng)
        holds = cache(lambda seen: answer(seen).random() < share)
        return lambda values: holds(tuple(values[slot] for slot in looks))

    longest = rng.randint(1, 3)

    def fits(values):
        return all(len(values[slot]) < longest for slot in fifo)

    within = draw(0.8) if rng.random() < 0.2 else None
    if fifo:
        others = within
        within = fits if others is None else lambda values: fits(values) and others(values)
    first = [rng.randint(0, top) for _ in range(registers)]
    initial = [
        (*(x if rng.random() < 0.7 else rng.randint(0, top) for x in first), *[()] * queues)
        for _ in range(rng.choice((1, 1, 2)))
    ]
    return Composite(
        "composite",
        [f"slot{number}" for number in range(slots)],
        initial,
        [rule_of(rng.choice(PROCESSES)) for _ in range(rng.randint(1, 4))],
        apply,
        lambda values: values,
        claims(rng, draw, live=rng.random() < 0.5),
        conditions(rng),
        terminal=rng.choice((None, lambda values: True, lambda values: True, draw(0.5))),
        within=within,
        alphabet=frozenset(NAMES),
        queues=fifo if rng.random() < 0.8 else frozenset(),
    )


def symmetric(rng):
    """Replicas that behave alike, each with a slot of its own, and one slot that all share.

    A value is a number or the name of a replica.
    """
    count = rng.randint(2, 4)
    names = tuple(f"r{number}" for number in range(count))
    top = rng.randint(1, 2)
    share = rng.choice((0.3, 0.6, 0.9))

    def tell(value, me):
        return "me" if value == names[me] else "other" if value in names else value

    def rule_of(me, other, answer):
        @cache
        def changes(mine, shared, theirs):
            seen = [tell(mine, me), tell(shared, me)]
            known = [names[me], mine, shared]
            if other is not None:
                seen.append(tell(theirs, me))
                seen.append((theirs == names[other], shared == names[other]))
                seen.append((mine == names[other], mine == shared, theirs == shared))
                known += [names[other], theirs]
            draw = answer(seen)
            if draw.random() > share:
                return []
            values_to_write = [*range(top + 1), *("known",) * 2]

            def new():
                value = draw.choice(values_to_write)
                return known[draw.randrange(len(known))] if value == "known" else value

            writes = [(me, new())] if draw.random() < 0.8 else []
            updates = []
            if draw.random() < 0.5:
                writes.append((count, new()))
            elif draw.random() < 0.4:
                updates.append((count, new()))
            if other is not None and draw.random() < 0.3:
                writes.append((other, new()))
            action = Action(draw.choice(NAMES), names[me])
            return [Change(action, tuple(writes), tuple(updates))]

        def rule(values):
            theirs = None if other is None else values[other]
            return changes(values[me], values[count], theirs)

        return rule

    rules = []
    for _ in range(rng.randint(1, 2)):
        answer = drawn_once(rng)
        rules += [rule_of(me, None, answer) for me in range(count)]
    if rng.random() < 0.6:
        answer = drawn_once(rng)
        rules += [rule_of(me, o, answer) for me, o in permutations(range(count), 2)]

    def draw(likely):
        answer = drawn_once(rng)
        holds = cache(lambda told: answer(told).random() < likely)

        def predicate(values):
            told = [repr((tell(values[i], i), tell(values[count], i))) for i in range(count)]
            return holds(tuple(sorted(told)))

        return predicate

    def rename(value, mapping):
        return mapping.get(value, value)

    start = [0] * count + [0]
    initial = [tuple(start)]
    if rng.random() < 0.4:
        start[0] = rng.choice((1, names[0]))
        start[count] = rng.choice((0, names[0]))
        initial = []
        for order in permutations(names):
            to = dict(zip(names, order, strict=True))
            came_from = [order.index(name) for name in names]
            initial.append(tuple(rename(start[place], to) for place in [*came_from, count]))
        rng.shuffle(initial)
    return Composite(
        "symmetric",
        [*names, "shared"],
        initial,
        rules,
        lambda slot, value, operation: value if value in names else operation,
        lambda values: values,
        claims(rng, draw, live=False),
        terminal=rng.choice((None, lambda values: True, lambda values: True, draw(0.5))),
        within=draw(0.8) if rng.random() < 0.2 else None,
        alphabet=frozenset(NAMES),
        kinds=["own"] * count + ["shared"],
        symmetry=Symmetry(names, lambda slot: (names[slot],) if slot < count else (), rename),
    )


KINDS = {"plain": plain, "composite": composite, "symmetric": symmetric}
ORDER = ("plain", "composite", "plain", "symmetric")


def model_of(seed, number):
    """The model with this number, and a generator of what else is drawn."""
    rng = random.Random(f"{seed} {number}")
    return KINDS[ORDER[number % len(ORDER)]](rng), rng


# The oracle: `specs.judge.Graph`, itself compared with all subsets of small regions.


def decided_by_subsets(graph, prop):
    """VIOLATED if some strongly connected set of states that avoids the good ones is fair."""
    model = graph.model
    good = {state for state in graph.depths if prop.predicate(model.seen(state))}
    starts = set(model.initial) if prop.kind == "eventually" else set()
    if prop.kind == "leads_to":
        starts = {state for state in graph.depths if prop.when(model.seen(state))}
    edges = networkx.MultiDiGraph()
    edges.add_nodes_from(set(graph.depths) - good)
    for state, steps in graph.steps.items():
        for action, target in steps:
            if state != target and not {state, target} & good:
                edges.add_edge(state, target, action=action)
    region = set(starts - good)
    for state in starts - good:
        region |= networkx.descendants(edges, state)
    inside = sorted(region & graph.steps.keys())
    if len(inside) > SUBSETS_MAX:
        return None

    def is_fair(part, left):
        within = edges.subgraph(part)
        if not networkx.is_strongly_connected(within):
            return False
        taken = classes(model, (action for _, _, action in within.edges(data="action")))
        on = [enabled(model, state, graph.steps[state], left(model, state)) for state in part]
        return all(
            each in taken or (not is_strong(model, each) and any(each not in some for some in on))
            for each in set().union(*on)
        )

    parts = [part for size in range(1, len(inside) + 1) for part in combinations(inside, size)]
    if any(is_fair(part, left_out) for part in parts):
        return Verdict.VIOLATED
    if region - graph.steps.keys() or any(is_fair(part, lambda *_: ()) for part in parts):
        return Verdict.UNDETERMINED
    return Verdict.HOLDS


def expected(graph, props):
    """The verdicts of a search that goes on to the end."""
    verdicts = {prop.name: graph.decide(prop) for prop in props}
    for prop in props:
        if prop.is_liveness:
            by_subsets = decided_by_subsets(graph, prop)
            if by_subsets not in (None, verdicts[prop.name]):
                raise Difference(f"{prop.name}: judge {verdicts[prop.name]}, subsets {by_subsets}")
    return verdicts


def nearest(graph, accept):
    """The length of a shortest path to a state that `accept` accepts, or None."""
    return next((depth for state, depth in graph.depths.items() if accept(state)), None)


def deciding(model, prop):
    """Whether a state decides a safety property."""

    def decides(state):
        seen = model.seen(state)
        met = prop.when is None or prop.when(seen)
        return met and prop.predicate(seen) == (prop.kind == "reachable")

    return decides


# Engines.


@contextmanager
def early():
    """Fuse rules, hand over to the kernel and use compiled passes at once."""
    before = table.FUSE_AT, table.FUSE_KEYS_MAX, table.WARM_UP, liveness.COMPILED_FROM
    table.FUSE_AT, table.FUSE_KEYS_MAX, table.WARM_UP = (2, 10, 60), 6, 3
    liveness.COMPILED_FROM = 1
    try:
        yield
    finally:
        table.FUSE_AT, table.FUSE_KEYS_MAX, table.WARM_UP, liveness.COMPILED_FROM = before


def runs(model):
    """The ways to search a model: a name, the call, and whether it is searched in full."""
    yield "reference", {"engine": "reference"}, ""
    with early():
        yield "reference, compiled passes", {"engine": "reference"}, ""
    if isinstance(model, Composite):
        yield "table", {"engine": "table"}, ""
        with early():
            yield "numba", {"engine": "numba"}, ""
        if not any(prop.is_liveness for prop in model.properties):
            yield "partial order", {"por": True}, "partial order"
            if model.symmetry is not None:
                yield "symmetry", {"engine": "table", "symmetry": True}, "symmetry"


def compare(model, seen):
    """Check a model in every way; raises `Difference`.  Counts in `seen` what was checked."""
    as_plain = model.model() if isinstance(model, Composite) else model
    try:
        graph = Graph(as_plain, STATES_MAX)
    except Refused:
        seen["too large"] += 1
        return
    seen["states"] += len(graph.depths)
    verdicts = expected(graph, model.properties)
    safety = [prop for prop in model.properties if prop.kind == "always"]
    bad = [nearest(graph, deciding(as_plain, prop)) for prop in safety]
    bad = min((depth for depth in bad if depth is not None), default=None)
    stuck = graph.stuck
    if bad is not None and stuck is not None and bad <= graph.depths[stuck]:
        stuck = None
    ends = bad is not None or stuck is not None
    facts = None
    for name, call, reduction in runs(model):
        result = check(model, digest=True, **call)
        seen[name] += 1
        left_open = _compare_verdicts(name, result, graph, verdicts, seen, ends=ends)
        if (result.deadlock is not None) != (stuck is not None):
            raise Difference(f"{name}: deadlock {result.deadlock}, expected {stuck!r}")
        if not reduction:
            got = result.distinct, result.generated, result.depth, result.actions, result.states
            if facts is None:
                facts = got
                _compare_counts(got, graph, ends=ends)
            if got != facts:
                raise Difference(f"{name}: {got}, reference: {facts}")
        if reduction != "partial order":
            _compare_lengths(name, result, graph, stuck)
        if not left_open:
            _certify(name, result, graph, reduction, seen)


def _compare_verdicts(name, result, graph, verdicts, seen, *, ends):
    left_open = 0
    for finding in result.findings:
        want, got = verdicts[finding.name], finding.verdict
        seen[f"{finding.claim.kind} {got.value}"] += 1
        if got is want or (ends and got is Verdict.UNDETERMINED):
            continue
        if got is Verdict.UNDETERMINED and graph.model.limit is not None:
            left_open += 1
            continue
        raise Difference(f"{name}: {finding.name} is {got.value}, expected {want.value}")
    overall = Verdict.VIOLATED if ends else result.verdict
    if result.verdict is not overall:
        raise Difference(f"{name}: {result.verdict.value} in all, expected {overall.value}")
    seen["left open beside a limit"] += left_open
    return left_open


def _compare_counts(got, graph, *, ends):
    if ends:
        return
    steps = sum(map(len, graph.steps.values()))
    actions = {action.name for each in graph.steps.values() for action, _ in each}
    want = len(graph.steps), steps, max(graph.depths.values()), frozenset(actions), graph.states
    if got != want:
        raise Difference(f"reference: {got}, expected {want}")


def _compare_lengths(name, result, graph, stuck):
    if stuck is not None and len(result.deadlock) != graph.depths[stuck]:
        raise Difference(f"{name}: a deadlock after {len(result.deadlock)} steps")
    for finding in result.findings:
        if finding.path is not None and not finding.claim.is_liveness:
            shortest = nearest(graph, deciding(graph.model, finding.claim))
            if len(finding.path) != shortest:
                raise Difference(f"{name}: {finding.name}: {len(finding.path)} steps, {shortest}")


def _certify(name, result, graph, reduction, seen):
    certificate = certify(result, graph.model, Origin("fuzz"), reduction=reduction)
    if read(written(certificate)) != certificate:
        raise Difference(f"{name}: the certificate is not what was written")
    refused = judge(certificate, graph.model, graph=graph)
    seen["certificates"] += 1
    seen["counterexamples"] += sum(
        claim.path is not None and claim.verdict is Verdict.VIOLATED for claim in certificate.claims
    ) + (certificate.deadlock is not None)
    if refused:
        raise Difference(f"{name}: certificate refused: {refused}")


def fuzz(seed, first, count, *, tell=None):
    """Compare `count` models; returns what was counted and the differences found."""
    seen, differences = Counter(), []
    for number in range(first, first + count):
        model, _ = model_of(seed, number)
        seen[model.name] += 1
        try:
            compare(model, seen)
        except Exception as error:
            differences.append((number, f"{type(error).__name__}: {error}"))
        if tell is not None:
            tell(number, seen, differences)
    return seen, differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started, told = time.perf_counter(), 0

    def tell(number, seen, differences):
        nonlocal told
        for index, text in differences[told:]:
            print(f"{index}: {text}", flush=True)
        told = len(differences)
        done = number + 1 - options.first
        if not done % 1_000:
            print(f"{done:,} models, {time.perf_counter() - started:,.0f} s", flush=True)

    seen, differences = fuzz(options.seed, options.first, options.count, tell=tell)
    for what, count in sorted(seen.items()):
        print(f"{count:12,} {what}")
    print(f"{len(differences):12,} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
