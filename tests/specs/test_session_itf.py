"""ITF: what `check --itf` writes is read and followed; hostile files are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.checker import Model, check
from specs.checker.itf import itf, itf_value
from specs.checker.result import Moment, Path
from specs.examples.die_hard import die_hard
from specs.models.mesi import mesi
from specs.models.teaching import ping
from specs.models.twophase import twophase
from specs.session import ForeignFile, Session, foreign_frame, read_itf
from specs.session.itf import SIZE_MAX, value_of


def written(model, path):
    return itf(path, getattr(model, "slots", ("state",)))


@pytest.mark.parametrize(
    "model",
    [mesi(broken="swmr"), twophase(4, hasty=True), ping(retries=False), die_hard(big=6)],
    ids=lambda model: model.name,
)
def test_a_counterexample_goes_out_and_comes_in(model):
    result = check(model)
    path = result.counterexample or Path((Moment(None, model.initial[0]),))
    session = Session(model)
    trace = read_itf(written(model, path))
    assert trace.loop == path.loop
    assert trace.follow(session) == session.follow(path)
    again = json.loads(written(model, session.path(trace.follow(session), path.loop)))
    assert again["states"][-1] == json.loads(written(model, path))["states"][-1] or path.loop


def test_the_order_of_sets_and_fields_says_nothing():
    model = Model("sets", [frozenset()], lambda s: [("add", s | {len(s)})] if len(s) < 3 else [])
    path = Path(tuple(Moment(None, frozenset(range(n))) for n in range(4)))
    document = json.loads(itf(path))
    for state in document["states"]:
        state["state"]["#set"].reverse()
    assert read_itf(json.dumps(document).encode()).follow(Session(model)) == [0, 0, 0, 0]


def test_a_trace_of_another_model_is_only_shown():
    model = twophase(4, hasty=True)
    trace = read_itf(written(model, check(model).counterexample))
    assert trace.follow(Session(die_hard())) == []
    shown = foreign_frame(trace, 3)
    assert shown.enabled == []
    assert len(shown.steps) == 3
    assert any(each.mark for each in shown.state.parts)


APALACHE = """{"#meta": {"format": "ITF"}, "vars": ["x", "m"], "loop": 0, "states": [
 {"#meta": {"index": 0}, "x": 1, "m": {"#map": [[{"#tup": [1, 2]},
   {"#bigint": "9007199254740993"}]]}},
 {"#meta": {"index": 1}, "x": {"tag": "A", "value": [1, 2]}, "m": {"#set": ["b", {"r": 1}]}}]}"""


def test_a_trace_of_apalache():
    trace = read_itf(APALACHE.encode())
    first, second = (foreign_frame(trace, step).state.parts for step in (0, 1))
    assert [each.text for each in first] == ["1", "{(1, 2): 9007199254740993}"]
    assert second[0].kind == "record"
    assert second[0].was == "1"
    assert second[1].text == '{"b", (r=1)}'


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda each: st.lists(each, max_size=3).map(tuple) | st.frozensets(each, max_size=3),
        max_leaves=9,
    )
)
def test_values_survive_the_round_trip(value):
    model = Model("one", [value], lambda _: ())
    trace = read_itf(itf(Path((Moment(None, value),))))
    assert trace.follow(Session(model)) == [0]
    assert value_of(json.loads(json.dumps(itf_value(value)))) == value


def nested(levels):
    return '{"vars":["x"],"states":[{"x":' + "[" * levels + "]" * levels + "}]}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "no object"),
        ("\udcff", "not JSON"),
        ('{"vars":[],"states":[{}]}', "`vars`"),
        ('{"vars":[1],"states":[{}]}', "`vars`"),
        ('{"vars":["x","x"],"states":[{"x":1}]}', "`vars`"),
        ('{"vars":["x"],"states":[]}', "`states`"),
        ('{"vars":["x"],"states":{"x":1}}', "`states`"),
        ('{"vars":["x"],"states":[1]}', "`states`"),
        ('{"vars":["x"],"states":[{"y":1}]}', "state 0 has no 'x'"),
        ('{"vars":["x"],"states":[{"x":1}],"loop":1}', "`loop`"),
        ('{"vars":["x"],"states":[{"x":1}],"loop":true}', "`loop`"),
        (nested(100), "64 levels"),
        (nested(100_000), "not JSON"),
        ('{"vars":["x"],"states":[' + ",".join(['{"x":1}'] * 10_001) + "]}", "10,001 states"),
        (" " * (SIZE_MAX + 1), "5,000,001 bytes"),
    ],
    ids=range(17),
)
def test_hostile_files_are_refused(text, words):
    with pytest.raises(ForeignFile, match=words):
        read_itf(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "value",
    [
        '{"#bigint": "9e99"}',
        '{"#bigint": "' + "9" * 5_000 + '"}',
        '{"#bigint": 1}',
        '{"#map": [[1]]}',
        '{"#map": 1}',
        '{"#set": {"a": 1}}',
        '{"#tup": null}',
        '{"#unserializable": {"x": []}}',
        '{"": {"": ""}}',
        "1.5",
        '"<script>alert(1)</script>\\u202e"',
    ],
)
def test_odd_values_are_data(value):
    trace = read_itf(b'{"vars":["x"],"states":[{"x":' + value.encode() + b"}]}")
    shown = foreign_frame(trace, 0)
    assert "\u202e" not in shown.state.parts[0].text
    assert trace.follow(Session(die_hard())) == []
