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
from dataclasses import replace
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
    enabled,
    eventually,
    eventually_always,
    every_step,
    infinitely_often,
    leads_to,
    liveness,
    reachable,
    refines,
    strong,
    table,
    temporal,
    weak,
)
from specs.checker.composite import Symmetry
from specs.checker.enabled import Enabled
from specs.judge import judge
from specs.space import Space, TooLarge, allows, classes, is_strong, satisfies

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


def drawn_once(rng):
    """A function of hashable values that draws its answer, always the same for equal values."""
    salt = rng.random()
    return lambda *values: random.Random(f"{salt} {values!r}")


def predicates(rng, keys):
    """Makes predicates of one or two views that are true with a given likelihood.

    `keys` makes functions of views: what a predicate looks at.
    """

    def draw(likely, *, reads_action=False):
        key, answer = keys(), drawn_once(rng)
        holds = cache(lambda *seen: answer(seen).random() < likely)
        if not reads_action and rng.random() < 0.05:
            return enabled(rng.choice(NAMES))
        if reads_action:
            return lambda before, action, after: holds(key(before, after), action.name)
        return lambda *views: holds(key(*views))

    return draw


def formula(rng, depth):
    """A formula over p and q, each of which it has."""
    while True:
        text = subformula(rng, depth)
        if "p" in text and "q" in text:
            return text


def subformula(rng, depth):
    if not depth or rng.random() < 0.1:
        return rng.choice("pq")
    if rng.random() < 0.5:
        return rng.choice(("~", "[]", "<>")) + f"({subformula(rng, depth - 1)})"
    operator = rng.choice(("/\\", "\\/", "=>", "~>", "<=>", "U", "W"))
    return f"({subformula(rng, depth - 1)}) {operator} ({subformula(rng, depth - 1)})"


def two(predicate):
    """The predicate as a function of two arguments."""
    if isinstance(predicate, Enabled):
        return lambda before, after: True
    return lambda before, after: predicate(before, after)


def claims(rng, keys, live):
    """Claims of every kind."""
    draw = predicates(rng, keys)
    found = [
        always("always", draw(0.9)),
        always("always when", draw(0.8), when=draw(0.4)),
        reachable("reachable", draw(0.1)),
        reachable("perhaps", draw(0.02)),
    ]
    if rng.random() < 0.5:
        found += [
            every_step("every step", two(draw(0.95))),
            every_step("every step of", two(draw(0.9)), of=keys()),
            every_step("every action", draw(0.95, reads_action=True)),
        ]
    if live:
        found += [
            eventually("eventually", draw(0.3)),
            eventually("seldom", draw(0.1)),
            leads_to("leads to", draw(0.3), draw(0.3)),
            leads_to("leads seldom", draw(0.2), draw(0.1)),
            infinitely_often("again and again", draw(0.4)),
            eventually_always("in the end", draw(0.6)),
            temporal("formula", formula(rng, 3), p=draw(0.5), q=draw(0.3)),
            temporal("always a formula", f"[]({formula(rng, 2)})", p=draw(0.5), q=draw(0.3)),
        ]
    rng.shuffle(found)
    # Often without an invariant: one that fails ends the search before the rest is decided.
    keep = rng.random()
    found = [prop for prop in found if not prop.is_invariant or rng.random() < keep]
    return found[: rng.randint(1, len(found))] if found else []


def refinement(rng, model, mapping):
    """A refinement of what the mapping makes of the model, less a few steps or a first state."""
    try:
        graph = Space(plain_of(model), STATES_MAX)
    except TooLarge:
        return None
    steps = {}
    lost = rng.choice((0, 0, 0.05))
    for state, each in graph.steps.items():
        for _, target in each:
            if rng.random() >= lost:
                steps.setdefault(mapping(state), []).append(("step", mapping(target)))
    initial = sorted({mapping(state) for state in model.initial}, key=repr)
    if rng.random() < 0.1:
        initial[0] = None
    return refines("refines", Model("abstract", initial, lambda s: steps.get(s, ())), mapping)


def plain_of(model):
    return model.model() if isinstance(model, Composite) else model


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

    def keys():
        return lambda *views: views

    draw = predicates(rng, keys)
    met = []

    def actions(state):
        if left[state]:
            met.append(state)
        return steps[state]

    model = Model(
        "plain",
        [rng.choice(states) for _ in range(rng.choice((1, 1, 2, 3)))],
        actions,
        claims(rng, keys, live=rng.random() < 0.8),
        conditions(rng),
        terminal=rng.choice((None, draw(0.5), lambda state: True, lambda state: True)),
        within=draw(0.8) if rng.random() < 0.3 else None,
        limit=Limit("the cut", left.__getitem__, lambda: bool(met)) if cut else None,
        alphabet=frozenset(NAMES),
    )
    return model, keys


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

    def keys():
        looks = rng.sample(range(slots), rng.randint(1, slots))
        return lambda *views: tuple(view[slot] for view in views for slot in looks)

    draw = predicates(rng, keys)
    longest = rng.randint(1, 3)

    def fits(values):
        return all(len(values[slot]) < longest for slot in fifo)

    within = draw(0.8) if rng.random() < 0.2 else None
    if fifo:
        others = within
        alone = others is None or isinstance(others, Enabled)
        within = fits if alone else lambda values: fits(values) and others(values)
    first = [rng.randint(0, top) for _ in range(registers)]
    initial = [
        (*(x if rng.random() < 0.7 else rng.randint(0, top) for x in first), *[()] * queues)
        for _ in range(rng.choice((1, 1, 2)))
    ]
    model = Composite(
        "composite",
        [f"slot{number}" for number in range(slots)],
        initial,
        [rule_of(rng.choice(PROCESSES)) for _ in range(rng.randint(1, 4))],
        apply,
        lambda values: values,
        claims(rng, keys, live=rng.random() < 0.5),
        conditions(rng),
        terminal=rng.choice((None, lambda values: True, lambda values: True, draw(0.5))),
        within=within,
        alphabet=frozenset(NAMES),
        queues=fifo if rng.random() < 0.8 else frozenset(),
    )
    return model, keys


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

    def key(*views):
        told = [repr([(tell(v[i], i), tell(v[count], i)) for v in views]) for i in range(count)]
        return tuple(sorted(told))

    def keys():
        return key

    draw = predicates(rng, keys)

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
    model = Composite(
        "symmetric",
        [*names, "shared"],
        initial,
        rules,
        lambda slot, value, operation: value if value in names else operation,
        lambda values: values,
        claims(rng, keys, live=False),
        terminal=rng.choice((None, lambda values: True, lambda values: True, draw(0.5))),
        within=draw(0.8) if rng.random() < 0.2 else None,
        alphabet=frozenset(NAMES),
        kinds=["own"] * count + ["shared"],
        symmetry=Symmetry(names, lambda slot: (names[slot],) if slot < count else (), rename),
    )
    return model, keys


def commuting(rng):
    """Processes that each take a few steps of their own: many orders, one end."""
    lengths = [rng.randint(1, 3) for _ in range(rng.randint(2, 3))]

    def rule_of(slot, length):
        names = [rng.choice(NAMES) for _ in range(length)]

        def rule(values):
            at = values[slot]
            if at < length:
                yield Change(Action(names[at], f"p{slot}"), ((slot, at + 1),))

        return rule

    def keys():
        return lambda *views: tuple(view[slot] for view in views for slot in range(len(lengths)))

    draw = predicates(rng, keys)
    model = Composite(
        "commuting",
        [f"slot{slot}" for slot in range(len(lengths))],
        [(0,) * len(lengths)],
        [rule_of(slot, length) for slot, length in enumerate(lengths)],
        lambda slot, value, operation: value,
        lambda values: values,
        claims(rng, keys, live=rng.random() < 0.7),
        conditions(rng),
        terminal=rng.choice((lambda values: True, draw(0.7))),
        within=draw(0.9) if rng.random() < 0.3 else None,
        alphabet=frozenset(NAMES),
    )
    return model, keys


KINDS = {"plain": plain, "composite": composite, "symmetric": symmetric, "commuting": commuting}
ORDER = ("plain", "composite", "plain", "symmetric", "commuting")


def model_of(seed, number, kinds=ORDER):
    """The model with this number; the kinds take turns."""
    rng = random.Random(f"{seed} {number}")
    model, keys = KINDS[kinds[number % len(kinds)]](rng)
    claim = refinement(rng, model, keys()) if rng.random() < 0.3 else None
    return model if claim is None else replace(model, properties=[*model.properties, claim])


# The oracle: `specs.judge.Space`, itself compared with all subsets of small regions.


def decided_by_subsets(graph, prop):
    """VIOLATED if some strongly connected set of states that avoids the good ones is fair."""
    model = graph.model
    good = {state for state in graph.depths if satisfies(model, prop.predicate, state)}
    starts = set(model.initial) if prop.kind == "eventually" else set()
    if prop.kind == "leads_to":
        starts = {state for state in graph.depths if satisfies(model, prop.when, state)}
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

    def is_fair(part, *, owing):
        within = edges.subgraph(part)
        if not networkx.is_strongly_connected(within):
            return False
        taken = classes(model, (action for _, _, action in within.edges(data="action")))
        on = [graph.enabled(state, owing=owing) for state in part]
        return all(
            each in taken or (not is_strong(model, each) and any(each not in some for some in on))
            for each in set().union(*on)
        )

    parts = [part for size in range(1, len(inside) + 1) for part in combinations(inside, size)]
    if any(is_fair(part, owing=True) for part in parts):
        return Verdict.VIOLATED
    if region - graph.steps.keys() or any(is_fair(part, owing=False) for part in parts):
        return Verdict.UNDETERMINED
    return Verdict.HOLDS


def expected(graph, props):
    """The verdicts of a search that goes on to the end."""
    verdicts = {prop.name: graph.decide(prop)[0] for prop in props}
    for prop in props:
        if prop.kind in ("eventually", "leads_to"):
            by_subsets = decided_by_subsets(graph, prop)
            if by_subsets not in (None, verdicts[prop.name]):
                raise Difference(f"{prop.name}: judge {verdicts[prop.name]}, subsets {by_subsets}")
    return verdicts


def shortest(graph, props):
    """Each property with the length of a shortest path that decides it, or None."""
    return [(prop, _shortest(graph, prop)) for prop in props]


def _shortest(graph, prop):
    model = graph.model
    if prop.steps is not None:
        if not all(satisfies(graph.model, prop.predicate, s) for s in graph.model.initial):
            return 0
        return next(
            (
                graph.depths[state] + 1
                for state, steps in graph.steps.items()
                for action, target in steps
                if state != target and allows(model, prop, state, action, target) is False
            ),
            None,
        )
    if prop.is_liveness:
        return None
    wanted = prop.kind == "reachable"
    return next(
        (
            depth
            for state, depth in graph.depths.items()
            if (prop.when is None or satisfies(model, prop.when, state))
            and satisfies(model, prop.predicate, state) == wanted
        ),
        None,
    )


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
    live = any(prop.is_liveness for prop in model.properties)
    yield "reference", {"engine": "reference"}, ""
    if live:
        with early():
            yield "reference, compiled passes", {"engine": "reference"}, ""
    if isinstance(model, Composite):
        yield "table", {"engine": "table"}, ""
        with early():
            yield "numba", {"engine": "numba"}, ""
        if not live:
            if not any(prop.steps for prop in model.properties):
                yield "partial order", {"por": True}, "partial order"
            if model.symmetry is not None:
                yield "symmetry", {"engine": "table", "symmetry": True}, "symmetry"


def compare(model, seen):
    """Check a model in every way; raises `Difference`.  Counts in `seen` what was checked."""
    as_plain = plain_of(model)
    try:
        graph = Space(as_plain, STATES_MAX)
    except TooLarge:
        seen["too large"] += 1
        return
    seen["states"] += len(graph.depths)
    verdicts = expected(graph, model.properties)
    lengths = shortest(graph, model.properties)
    # States of a level are judged before it is expanded, and steps while it is.
    last = min((n for prop, n in lengths if prop.is_invariant and n is not None), default=None)
    stuck = graph.stuck
    if last is not None and stuck is not None and last <= graph.depths[stuck]:
        stuck = None
    ends = last is not None or stuck is not None
    facts = None
    for name, call, reduction in runs(model):
        result = check(model, digest=True, **call)
        seen[name] += 1
        _compare_verdicts(name, result, verdicts, seen, ends=ends)
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
            _compare_lengths(name, result, graph, stuck, lengths)
        _certify(name, result, graph, reduction, seen)


def _compare_verdicts(name, result, verdicts, seen, *, ends):
    for finding in result.findings:
        want, got = verdicts[finding.name], finding.verdict
        seen[f"{finding.claim.kind} {got.value}"] += 1
        if got is want or (ends and got is Verdict.UNDETERMINED):
            continue
        raise Difference(f"{name}: {finding.name} is {got.value}, expected {want.value}")
    overall = Verdict.VIOLATED if ends else result.verdict
    if result.verdict is not overall:
        raise Difference(f"{name}: {result.verdict.value} in all, expected {overall.value}")


def _compare_counts(got, graph, *, ends):
    if ends:
        return
    steps = sum(map(len, graph.steps.values()))
    actions = {action.name for each in graph.steps.values() for action, _ in each}
    depth = max((graph.depths[state] for state in graph.steps), default=0)
    want = len(graph.steps), steps, depth, frozenset(actions), graph.states
    if got != want:
        raise Difference(f"reference: {got}, expected {want}")


def _compare_lengths(name, result, graph, stuck, lengths):
    if stuck is not None and len(result.deadlock) != graph.depths[stuck]:
        raise Difference(f"{name}: a deadlock after {len(result.deadlock)} steps")
    for finding, (_, length) in zip(result.findings, lengths, strict=True):
        if finding.path is not None and length not in (None, len(finding.path)):
            raise Difference(f"{name}: {finding.name}: {len(finding.path)} steps, {length}")


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


def fuzz(seed, first, count, *, kinds=ORDER, tell=None):
    """Compare `count` models; returns what was counted and the differences found."""
    seen, differences = Counter(), []
    for number in range(first, first + count):
        model = model_of(seed, number, kinds)
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
