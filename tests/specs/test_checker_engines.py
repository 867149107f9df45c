"""Three engines, one result: on random systems of processes over every network."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from message_passing.network import Guarantee
from message_passing.process import (
    CancelTimer,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Timeout,
)
from specs.checker import (
    Action,
    Budget,
    Composite,
    PropertyError,
    Verdict,
    always,
    check,
    eventually,
    leads_to,
    reachable,
    strong,
    table,
    weak,
)
from specs.checker.composite import Change
from specs.system import Bounds, System, any_of, fair_delivery, script

NAMES = ("a", "b", "c")
STATES = 4
#: To compile the kernel takes longer than all that it is then asked here.
NUMBA = pytest.param("numba", marks=pytest.mark.slow)


class Drawn:
    """A process that does what a drawn table says; states are 0 to 3, messages 0 and 1."""

    def __init__(self, table):
        self.table = table

    def initial(self):
        return 0

    def step(self, state, event, now):
        match event:
            case Invoke(request):
                key = ("invoke", request)
            case Receive(_, message):
                key = ("receive", message)
            case Timeout(_):
                key = ("timeout", 0)
            case Restart():
                key = ("restart", 0)
        row = self.table.get((state, *key))
        if row is None:
            return Step(state, (), "")
        after, commands = row
        return Step(after, commands, f"{key[0]}-{state}")

    def durable(self, state):
        return state // 2


EVENTS = [("invoke", 0), ("invoke", 1), ("receive", 0), ("receive", 1), ("timeout", 0)]
COMMANDS = [
    *(Send(dst, message) for dst in NAMES for message in (0, 1)),
    SetTimer("t", 1.0),
    CancelTimer("t"),
    Respond(0),
]


@st.composite
def tables(draw, processes):
    rows = draw(
        st.dictionaries(
            st.sampled_from([(s, *e) for s in range(STATES) for e in EVENTS]),
            st.tuples(
                st.integers(0, STATES - 1),
                st.lists(st.sampled_from(COMMANDS), max_size=2).map(tuple),
            ),
            min_size=4,
            max_size=14,
        )
    )
    rows.setdefault((0, "invoke", 0), (1, (Send(NAMES[processes - 1], 0), SetTimer("t", 1.0))))
    rows |= {
        key: (
            after,
            tuple(
                c for c in commands if not (isinstance(c, Send) and c.dst not in NAMES[:processes])
            ),
        )
        for key, (after, commands) in rows.items()
    }
    return rows


@st.composite
def systems(draw):
    processes = draw(st.integers(1, 3))
    guarantee = draw(st.sampled_from(list(Guarantee)))
    observe = draw(st.booleans())
    return System(
        {name: Drawn(draw(tables(processes))) for name in NAMES[:processes]},
        guarantee,
        environment={
            name: draw(st.sampled_from([any_of(0, 1, times=2), script(0, 1), any_of(0, times=1)]))
            for name in NAMES[:processes]
        },
        bounds=Bounds(
            crashes=draw(st.integers(0, 1)),
            drops=draw(st.sampled_from([None, 1])),
            duplicates=draw(st.sampled_from([1, 2])),
            in_flight=draw(st.sampled_from([1, 2])),
        ),
        timer_guard=draw(
            st.sampled_from([None, lambda view, address, name: not list(view.in_flight)])
        ),
        observe=(lambda ghost, address, event, step: max(ghost, step.state)) if observe else None,
        ghost=0,
    )


def facts(result):
    return (
        result.verdict,
        result.distinct,
        result.generated,
        result.depth,
        result.actions,
        result.stopped,
        result.deadlock is None or len(result.deadlock),
        [
            # Any lasso will do; a shortest path has one length.
            (f.name, f.verdict, f.vacuous, f.path and (f.claim.is_liveness or len(f.path)))
            for f in result.findings
        ],
    )


def replayed(model, path):
    """Whether a path is one of the model's: each step is a transition, a loop closes."""
    plain = model.model()
    assert path.moments[0].state in plain.initial
    for before, after in itertools.pairwise(path.moments):
        assert (after.action, after.state) in plain.successors(before.state)
    if path.loop is not None:
        assert path.last == path.moments[path.loop].state


@pytest.fixture(autouse=True)
def early(monkeypatch):
    """Fuse rules and hand over to the kernel at once, so that small systems meet it all."""
    monkeypatch.setattr(table, "FUSE_AT", (2, 10, 60))
    monkeypatch.setattr(table, "FUSE_KEYS_MAX", 6)
    monkeypatch.setattr(table, "WARM_UP", 3)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["table", NUMBA])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    system=systems(),
    limit=st.integers(1, 6),
    live=st.booleans(),
    ends=st.booleans(),
    bounded=st.booleans(),
)
def test_engines_agree(engine, system, limit, live, ends, bounded):
    first, last = system.addresses[0], system.addresses[-1]
    properties = [
        always("sum", lambda view: sum(view[a] for a in view.addresses) <= limit),
        always("if two", lambda view: view[last] < 3, when=lambda view: view[first] == 2),
        reachable("three", lambda view: view[first] == 3),
    ]
    if live:
        properties = [
            eventually("leaves zero", lambda view: view[first] > 0),
            leads_to("two", lambda view: view[first] == 1, lambda view: view[last] == 2),
        ]
    model = system.model(
        "drawn",
        properties,
        fairness=[fair_delivery(), weak("timeout-1", each="process"), strong("invoke-0")],
        terminal=(lambda view: True) if ends else None,
        within=(lambda view: view[first] < 2 or view[last] == 3) if bounded else None,
        # A drawn system need not take the actions that fairness names, nor deliver.
        alphabet={"timeout-1", "invoke-0", "deliver-9"},
    )
    budget = Budget(states=4_000)
    expected = check(model, engine="reference", budget=budget)
    if expected.stopped:
        return
    got = check(model, engine=engine, budget=budget)
    assert facts(got) == facts(expected)
    for result in (expected, got):
        for path in [result.deadlock, *(f.path for f in result.findings)]:
            if path is not None:
                replayed(model, path)


@pytest.mark.parametrize("engine", ["reference", "table", NUMBA])
def test_properties_have_their_turn_in_order(engine):
    """What an earlier property decides stands, although a later one of the level raises."""

    def count(values):
        if values[0] < 3:
            yield Change(Action("count"), ((0, values[0] + 1),))

    low = always("low", lambda values: values[0] < 2)
    fragile = always("fragile", lambda values: 1 / (2 - values[0]) > 0)

    def made(*properties):
        return Composite(
            name="counter",
            slots=["n"],
            initial=[(0,)],
            rules=[count],
            apply=lambda slot, value, operation: value,
            view=lambda values: values,
            properties=properties,
        )

    result = check(made(low, fragile), engine=engine)
    assert [f.verdict for f in result.findings] == [Verdict.VIOLATED, Verdict.UNDETERMINED]
    with pytest.raises(PropertyError, match="fragile"):
        check(made(fragile, low), engine=engine)
