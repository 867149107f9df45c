"""Several workers, one result: processes of the table engine, threads of the kernel."""

import itertools
import os
import random
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from specs import catalogue
from specs.checker import (
    Action,
    Budget,
    Change,
    Composite,
    ModelError,
    UsageError,
    Verdict,
    always,
    check,
    crew,
    eventually,
    leads_to,
    partitioned,
    reachable,
    strong,
    table,
    weak,
)
from specs.checker.division import Division
from specs.checker.result import INTERRUPTED
from specs.checker.search import Watch
from specs.models.twophase import twophase

ENGINES = ["table", "numba"]
#: Larger cases are left to the slow tests; the largest are divided as others are.
SMALL, LARGE = 1_500, 8_000
CASES = [
    pytest.param(case, marks=() if (case.generated or 0) <= SMALL else pytest.mark.slow)
    for case in catalogue.cases()
    if case.time == "fast"
    and (case.generated or 0) <= LARGE
    and isinstance(catalogue.factory(case.name)(**case.constants), Composite)
]


@pytest.fixture
def at_once(monkeypatch):
    """Divide every search at once, so that small models meet it all."""
    monkeypatch.setattr(partitioned, "DIVIDE_FROM", 1)
    monkeypatch.setattr(partitioned, "LEVEL_FROM", 1)
    monkeypatch.setattr(partitioned, "MISSES_MAX", 1e9)
    monkeypatch.setattr(crew, "SHARED_FROM", 1)
    monkeypatch.setattr(crew, "BLOCK", 1)
    monkeypatch.setattr(table, "WARM_UP", 3)


def facts(result):
    return (
        *(result.verdict, result.distinct, result.generated, result.depth, result.actions),
        *(result.bounded, result.deadlock and len(result.deadlock)),
        *[
            (f.name, f.verdict, f.vacuous, f.path and (f.claim.is_liveness or len(f.path)))
            for f in result.findings
        ],
    )


def replayed(model, result):
    """Each path is one of the model's."""
    plain = model.model()
    for path in [result.deadlock, *(f.path for f in result.findings)]:
        if path is not None:
            assert path.moments[0].state in plain.initial
            for before, after in itertools.pairwise(path.moments):
                assert (after.action, after.state) in plain.successors(before.state)


def agree(model, engine, workers=2, **options):
    expected = check(model, engine="reference", **options)
    got = check(model, engine=engine, workers=workers, **options)
    assert facts(got) == facts(expected)
    assert got.states == expected.states
    replayed(model, got)
    return got


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pinned_cases(at_once, case, engine):
    model = catalogue.factory(case.name)(**case.constants)
    result = check(model, engine=engine, workers=2)
    assert case.differences(result) == []
    assert facts(result) == facts(check(model, engine=engine))
    replayed(model, result)


def drawn(rng):
    """A random composite: rules that read and write few slots, updates, and claims of all kinds."""
    slots, values = rng.randint(2, 4), rng.randint(2, 4)

    def table_of(keys):
        return [
            (
                tuple(rng.randrange(values) for _ in keys),
                Action(rng.choice("ab"), rng.choice("pq")),
                tuple((slot, rng.randrange(values)) for slot in keys if rng.random() < 0.7),
                tuple((slot, rng.randint(1, 2)) for slot in range(slots) if rng.random() < 0.3),
            )
            for _ in range(rng.randint(2, 8))
        ]

    def rule_of(keys):
        rows = table_of(keys)

        def rule(state):
            for when, action, writes, updates in rows:
                if all(state[slot] == value for slot, value in zip(keys, when, strict=True)):
                    yield Change(action, writes, updates)

        return rule

    rules = [rule_of(rng.sample(range(slots), rng.randint(1, 2))) for _ in range(rng.randint(2, 4))]
    chosen = [rng.randrange(slots) for _ in range(4)]

    def sum_below(most):
        return lambda state: state[chosen[0]] + state[chosen[1]] < most

    claims = [always("few", sum_below(rng.randint(3, 7))), reachable("some", lambda s: s[0] == 1)]
    if rng.random() < 0.5:
        claims += [
            eventually("moves", lambda state: state[chosen[2]] == 1),
            leads_to(
                "on", lambda state: state[chosen[2]] == 1, lambda state: state[chosen[3]] == 0
            ),
        ]
    return Composite(
        "drawn",
        [f"slot{slot}" for slot in range(slots)],
        [tuple(rng.randrange(values) for _ in range(slots)) for _ in range(rng.randint(1, 3))],
        rules,
        lambda slot, value, operation: (value + operation) % (values + 2),
        lambda state: state,
        claims,
        fairness=rng.sample([weak("a"), strong("b")], rng.randint(0, 2)),
        terminal=rng.choice([None, lambda state: True, lambda state: state[0] == 0]),
        within=sum_below(rng.randint(4, 8)) if rng.random() < 0.3 else None,
        alphabet=frozenset("ab"),
    )


@pytest.mark.slow(fast=8)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(20))
def test_random_models(at_once, engine, seed):
    rng = random.Random(seed)
    agree(drawn(rng), engine, workers=rng.randint(2, 3), digest=True)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(1_000, 1_080))
def test_many_random_models(at_once, engine, seed):
    test_random_models(None, engine, seed)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("engine", ENGINES)
def test_workers_share_a_search(engine, monkeypatch):
    monkeypatch.setattr(partitioned, "DIVIDE_FROM", 2_000)
    monkeypatch.setattr(partitioned, "LEVEL_FROM", 500)
    monkeypatch.setattr(partitioned, "MISSES_MAX", 1e9)
    monkeypatch.setattr(crew, "SHARED_FROM", 500)
    monkeypatch.setattr(table, "WARM_UP", 2_000)
    result = check(twophase(6), engine=engine, workers=3)
    assert facts(result) == facts(check(twophase(6), engine=engine))
    assert result.distinct == 50_816
    assert any(note.startswith("shared by 3 ") for note in result.notes)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_violation_by_a_shortest_path(at_once, engine):
    result = agree(twophase(3, hasty=True), engine)
    assert result.verdict is Verdict.VIOLATED


def counters(limit, steps=((1,), (1,)), **more):
    """Counters that stop at a limit; each takes steps of several sizes."""

    def rule_of(slot, size):
        def rule(state):
            if state[slot] + size <= limit:
                yield Change(Action("up", str(slot)), ((slot, state[slot] + size),))

        return rule

    return Composite(
        "counters",
        [f"counter{slot}" for slot in range(len(steps))],
        [(0,) * len(steps)],
        [rule_of(slot, size) for slot, sizes in enumerate(steps) for size in sizes],
        lambda slot, value, operation: value,
        lambda state: state,
        **more,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_deadlock(at_once, engine):
    result = agree(counters(6), engine)
    assert len(result.deadlock) == 12
    ended = agree(counters(6, terminal=lambda state: state[0] + state[1] == 12), engine)
    assert ended.verdict is Verdict.HOLDS


# Two words are another type, for which the kernel is compiled once more.
@pytest.mark.parametrize("engine", ["table", pytest.param("numba", marks=pytest.mark.slow)])
def test_states_that_outgrow_a_word(at_once, engine):
    """Two rows of lamps, each lit after the one before it: a bit each, met one after another."""
    each = 35

    def rule_of(slot):
        def rule(state):
            if not state[slot] and (slot % each == 0 or state[slot - 1]):
                yield Change(Action("light", str(slot)), ((slot, 1),))

        return rule

    model = Composite(
        "lamps",
        [f"lamp{slot}" for slot in range(2 * each)],
        [(0,) * 2 * each],
        [rule_of(slot) for slot in range(2 * each)],
        lambda slot, value, operation: value,
        lambda state: state,
        [always("dark", lambda state: not (state[each - 1] and state[-1]))],
        terminal=lambda state: True,
    )
    result = agree(model, engine)
    assert result.distinct == (each + 1) ** 2
    assert len(result.counterexample) == 2 * each


@pytest.mark.parametrize("engine", ENGINES)
def test_a_budget_ends_it(at_once, engine):
    result = check(twophase(5), engine=engine, workers=2, budget=Budget(states=1_000))
    assert result.verdict is Verdict.UNDETERMINED
    assert result.stopped == "budget of 1000 states"
    assert result.distinct > 1_000


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_ends_it(at_once, engine, monkeypatch):
    """The results so far stand; no thread and no process is left."""
    seen = []

    def interrupt(self, distinct, *rest):
        seen.append(distinct)
        if len(seen) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return ""

    monkeypatch.setattr("specs.checker.search.Watch.exceeded", interrupt)
    begun = begun_processes(monkeypatch)
    # A shell's background job, and what it starts, ignores interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = check(twophase(5), engine=engine, workers=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.stopped == INTERRUPTED
    assert result.verdict is Verdict.UNDETERMINED
    assert 0 < result.distinct < 8_832
    assert all(process.returncode is not None for process in begun)


def begun_processes(monkeypatch):
    """All processes that searches begin from now on."""
    begun = []
    shown = subprocess.Popen.__init__

    def noted(self, *arguments, **options):
        begun.append(self)
        shown(self, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    return begun


def test_processes_end_with_the_search(at_once, monkeypatch):
    begun = begun_processes(monkeypatch)
    check(twophase(3), engine="table", workers=2)
    with pytest.raises(ModelError):
        check(replace(twophase(3), rules=[faulty]), engine="table", workers=2)
    assert len(begun) >= 2
    assert all(process.returncode is not None for process in begun)


def faulty(state):
    raise ValueError("faulty")


def test_a_killed_process_is_an_error(at_once, monkeypatch):
    begun = begun_processes(monkeypatch)

    def exceeded(self, *counts):
        if begun:
            begun[0].kill()
        return ""

    monkeypatch.setattr("specs.checker.search.Watch.exceeded", exceeded)
    with pytest.raises(UsageError, match="killed"):
        check(twophase(5), engine="table", workers=2)
    assert all(process.returncode is not None for process in begun)


#: Tells the numbers of its two processes as soon as they search.
PARENT = """
import sys
from specs.checker import check, partitioned, processes, search
from specs.models.twophase import twophase

partitioned.DIVIDE_FROM = partitioned.LEVEL_FROM = 1
partitioned.MISSES_MAX = 1e9
begin = processes.Processes.__init__

def told(self, count):
    begin(self, count)
    print(*[process.pid for process in self._processes], flush=True)

processes.Processes.__init__ = told
check(twophase(9), engine="table", workers=2)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes of others by pidfd")
def test_processes_end_with_a_killed_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        files = [os.pidfd_open(pid) for pid in pids]
        parent.kill()
    assert len(files) == 2
    for file in files:
        assert select.select([file], [], [], 60)[0]
        os.close(file)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"engine": "reference"}, "this engine uses one core"),
        ({"por": True}, "this engine uses one core"),
        ({"engine": "table", "symmetry": True}, "under symmetry"),
        ({"engine": "table"}, "no level was large enough"),
        ({"engine": "numba"}, "so few states repay no others"),
        ({"engine": "auto"}, "so few states repay no others"),
    ],
    ids=str,
)
def test_a_note_says_why_one_worker_searched(options, why):
    notes = check(twophase(3), workers=2, **options).notes
    assert any(note.startswith("one of 2 workers searched") and why in note for note in notes)
    assert not any("worker" in note for note in check(twophase(3), **options).notes)


def test_workers_are_counted_from_one():
    with pytest.raises(UsageError, match="0 workers"):
        check(twophase(2), workers=0)


def test_states_are_divided_by_slots_that_few_steps_change():
    model = counters(12, steps=[(1, 2, 3), (1, 2, 3), (1,)], terminal=lambda state: True)
    found = table.TableSearch(model, Watch(Budget())).run()
    states = found.order()
    owner = Division(found.tables, states, 2).owner
    assert 0.3 < sum(map(owner, states)) / len(states) < 0.7
    steps = [(packed, to) for packed in states for _, to in found.tables.successors(packed)]
    # By all slots, half of them would lead to the other process.
    assert sum(owner(packed) != owner(to) for packed, to in steps) / len(steps) < 0.35
