"""The ghost judges as the graph does, and the hybrid's cursors stand where they should."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal import Announcing, Cykas, Hybrid, HybridPlain, specimens
from causal.history import History
from causal.invariants import Knowledge, cursors_hold, hybrid_holds, nothing, observe
from causal.simulate.walk import Bench
from message_passing.process import Event, Step

TEAM = tuple("abcd")
SCRIPTS = st.lists(
    st.one_of(st.tuples(st.sampled_from(TEAM), st.sampled_from(TEAM)), st.integers(0, 30)),
    max_size=60,
)


class Both(History):
    """The graph, with the ghost beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.knowledge = nothing(TEAM)

    def observe(self, address: str, event: Event[Any, Any], step: Step[Any]) -> None:
        super().observe(address, event, step)
        self.knowledge = observe(self.knowledge, address, event, step)


def run(build: Any, script: list[Any], check: Any = None) -> Both:
    both = Both()
    bench = Bench({a: build(a, TEAM) for a in TEAM}, history=both)
    for event in script:
        if isinstance(event, tuple):
            bench.send(*event)
        elif bench.flying:
            bench.arrive(event % len(bench.flying))
        if check is not None:
            assert all(check(state) for state in bench.states.values())
    bench.drain()
    return both


@given(SCRIPTS, st.sampled_from([specimens.Raw, specimens.NoSecrets, Cykas, HybridPlain]))
def test_ghost_and_graph_agree(script: list[Any], build: Any) -> None:
    both = run(build, script)
    assert bool(both.knowledge.broken) == bool(both.breaches())
    assert len(both.knowledge.pending) == len(both.missing())


def test_the_ghost_names_the_pair() -> None:
    bench = Bench({a: specimens.Raw(a, TEAM) for a in TEAM}, history=Both())
    bench.play("a>b a>c c<a c>b b<c")
    assert isinstance(bench.history, Both)
    assert bench.history.knowledge.broken == "b delivers c1 before a1"


@pytest.mark.slow
@given(SCRIPTS)
def test_what_is_delivered_everywhere_is_forgotten(script: list[Any]) -> None:
    assert run(Hybrid, script).knowledge == nothing(TEAM)


@given(SCRIPTS, st.sampled_from([Hybrid, Announcing]))
def test_the_cursors_of_the_hybrid_hold(script: list[Any], build: Any) -> None:
    run(build, script, hybrid_holds)


def test_a_cursor_that_is_off_is_noticed() -> None:
    bench = Bench({a: Hybrid(a, TEAM) for a in TEAM})
    bench.play("a>b a>c a>b")
    own = bench.states["a"].own
    assert cursors_hold(own, lambda entry: entry.acked)
    for wrong in ({"first": 2}, {"second": 3}, {"party": 3}):
        fields = {f: getattr(own, f) for f in own.__struct_fields__}
        assert not cursors_hold(type(own)(**(fields | wrong)), lambda entry: entry.acked)


def test_it_is_a_value() -> None:
    assert hash(nothing(TEAM)) == hash(Knowledge(nothing(TEAM).known))
