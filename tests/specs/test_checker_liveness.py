"""Liveness against an oracle that looks for fair lassos by brute force, on small random graphs."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specs.checker import (
    Action,
    Limit,
    Model,
    Verdict,
    check,
    eventually,
    leads_to,
    liveness,
    strong,
    weak,
)

NAMES = ("a", "b", "c")


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 5))
    edge = st.tuples(st.integers(0, size - 1), st.sampled_from(NAMES), st.integers(0, size - 1))
    edges = draw(st.sets(edge, max_size=9))
    return size, sorted(edges)


CONDITIONS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(NAMES)), max_size=3, unique_by=lambda c: c[1]
)


def fair_sets(size, edges, conditions, allowed):
    """All sets of states that a fair behaviour can visit infinitely often.

    By definition: the set is strongly connected by the edges that are taken infinitely often (any
    subset of its inner edges that connects it; taking them all is fairest), and for each condition
    either an edge of the name is taken, or the name is off somewhere (weak) or everywhere (strong).
    """
    moving = [(s, name, t) for s, name, t in edges if s != t]
    for mask in range(1, 1 << size):
        inside = {s for s in range(size) if mask >> s & 1}
        if not inside <= allowed or not connected(inside, moving):
            continue
        taken = {name for s, name, t in moving if s in inside and t in inside}
        on = {s: {name for t, name, _ in moving if t == s} for s in inside}
        if all(
            name in taken
            or (
                all(name not in on[s] for s in inside)
                if is_strong
                else any(name not in on[s] for s in inside)
            )
            for is_strong, name in conditions
        ):
            yield inside


def connected(inside, edges):
    return all(inside <= reach({s}, edges, inside) for s in inside)


def reach(starts, edges, allowed):
    seen, todo = set(starts), list(starts)
    while todo:
        here = todo.pop()
        for s, _, t in edges:
            if s == here and t in allowed and t not in seen:
                seen.add(t)
                todo.append(t)
    return seen


def oracle(size, edges, conditions, starts, good):
    """Whether some fair behaviour avoids `good` from a state of `starts` on."""
    allowed = set(range(size)) - good
    within = reach(starts & allowed, edges, allowed)
    return any(fair <= within for fair in fair_sets(size, edges, conditions, allowed))


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    graph=graphs(),
    conditions=CONDITIONS,
    good=st.sets(st.integers(0, 4), max_size=3),
    when=st.sets(st.integers(0, 4), max_size=3),
)
def test_liveness_agrees_with_brute_force(monkeypatch, compiled, graph, conditions, good, when):
    if compiled:
        pytest.importorskip("numba")
        monkeypatch.setattr(liveness, "COMPILED_FROM", 0)
    size, edges = graph
    fairness = [(strong if is_strong else weak)(name) for is_strong, name in conditions]
    model = Model(
        "random",
        [0],
        lambda s: [(name, t) for source, name, t in edges if source == s],
        [
            eventually("good", lambda s: s in good),
            leads_to("when then good", lambda s: s in when, lambda s: s in good),
        ],
        fairness,
        terminal=lambda s: True,
        alphabet=frozenset(name for _, name in conditions),
    )
    result = check(model)
    everywhere = reach({0}, edges, set(range(size)))
    expected = {
        "good": oracle(size, edges, conditions, {0}, good),
        "when then good": oracle(size, edges, conditions, when & everywhere, good),
    }
    for name, violated in expected.items():
        finding = result.finding(name)
        assert (finding.verdict is Verdict.VIOLATED) == violated
        if violated:
            starts = {0} if name == "good" else when
            follow(finding.path, edges, conditions, starts, good)


def follow(path, edges, conditions, starts, good):
    """The lasso is a behaviour of the graph, avoids `good`, and is fair by itself."""
    states = [m.state for m in path.moments]
    for before, moment in zip(states, path.moments[1:], strict=False):
        assert (before, moment.action.name, moment.state) in edges
    avoiding = next(i for i, s in enumerate(states) if s in starts and not good & {*states[i:]})
    assert avoiding <= path.loop
    assert states[-1] == states[path.loop]
    moving = [(s, name, t) for s, name, t in edges if s != t]
    loop = set(states[path.loop :])
    taken = {m.action.name for m in path.moments[path.loop + 1 :]}
    for is_strong, name in conditions:
        on = [any(s == here and n == name for s, n, _ in moving) for here in loop]
        assert name in taken or not (any(on) if is_strong else all(on))


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("owing", [1, 2])
@pytest.mark.parametrize("compiled_from", [1, 50_000])
def test_a_lasso_that_owes_nothing_is_found_beside_one_that_a_limit_makes_fair(
    owing, compiled_from, monkeypatch
):
    """Two states in which nothing happens; a limit leaves out a step of one of them."""
    monkeypatch.setattr(liveness, "COMPILED_FROM", compiled_from)

    def actions(n):
        yield from [("left", 1), ("right", 2)] if n == 0 else []

    limit = Limit("the end", lambda n: [Action("up")] if n == owing else [], lambda: True)
    fairness = [weak("left"), weak("up")]
    claims = [eventually("three", lambda n: n == 3)]
    model = Model("two ends", [0], actions, claims, fairness, lambda n: True, limit=limit)
    result = check(model)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample.last == 3 - owing
