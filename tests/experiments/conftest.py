"""What the experiments' tests share: small workloads that can be worked by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import pytest
from hypothesis import strategies as st

from coherence.simulate.experiments.edits import EditedContents, Span
from coherence.simulate.experiments.workload import Workload, grouped
from coherence.simulate.stream import Action


def _workload(
    actions: Iterable[Action],
    sizes: Sequence[int],
    edits: Sequence[Sequence[tuple[int, int]]],
    agents: int = 2,
    cuts: Iterable[bool] = repeat(False),
) -> Workload:
    """The calls of `actions`; edits are intervals of positions, of which each is two tokens."""
    places = [
        [Span((a, b), min(size, 2 * (b - a))) for a, b in intervals]
        for size, intervals in zip(sizes, edits, strict=True)
    ]
    turns = list(grouped(actions, iter(cuts)))
    return Workload(agents, len(sizes), EditedContents(sizes, places), turns)


@pytest.fixture(scope="session")
def make_workload() -> Callable[..., Workload]:
    return _workload


@st.composite
def _workloads(
    draw: st.DrawFn, steps: int = 12, sizes: Sequence[int] = (4, 40, 1_000), agents: int = 3
) -> Workload:
    chosen = draw(st.lists(st.sampled_from(sizes), min_size=1, max_size=3))
    number = st.integers(0, len(chosen) - 1)
    actions: list[Action] = []
    edits: list[list[tuple[int, int]]] = [[] for _ in chosen]
    for step in range(draw(st.integers(0, steps))):
        for agent in range(agents):
            for artifact in draw(st.lists(number, max_size=2, unique=True)):
                is_write = draw(st.booleans())
                actions.append((step, agent, artifact, is_write))
                if is_write:
                    size = chosen[artifact]
                    first = draw(st.integers(0, size - 1))
                    edits[artifact].append((first, draw(st.integers(first + 1, size))))
    cuts = draw(st.lists(st.booleans(), min_size=len(actions), max_size=len(actions)))
    return _workload(actions, chosen, edits, agents, cuts)


@pytest.fixture(scope="session")
def workloads() -> Callable[..., st.SearchStrategy[Workload]]:
    """Workloads of every shape; a fixture, since test modules cannot import one another."""
    return _workloads
