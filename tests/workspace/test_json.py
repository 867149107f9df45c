"""JSON values in artifacts: one text for each, nothing taken for what it is not, exact patches."""

from __future__ import annotations

import asyncio
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coherence import AsyncWorkspace, Conflict, InvalidContent, Workspace
from coherence.workspace import json

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3)
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)


@pytest.mark.slow
@given(values)
def test_a_value_comes_back_as_it_was_written(value):
    text = json.encode(value)
    assert json.decode(text) == value
    assert json.encode(json.decode(text)) == text


def test_equal_values_have_one_text_and_a_line_for_each_scalar():
    assert json.encode({"b": [1, 2], "a": None}) == json.encode({"a": None, "b": [1, 2]})
    assert json.encode({"b": 1, "a": True}) == '{\n  "a": true,\n  "b": 1\n}\n'


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        (1, 2),
        {"a": (1,)},
        {1, 2},
        b"bytes",
        {1: 2},
        datetime.date(2026, 1, 1),
        object(),
        "\ud800",
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_does_not_hold_is_refused(value):
    with pytest.raises(json.NotJson):
        json.encode(value)


def test_what_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(json.NotJson):
        json.encode(value)


def test_threads_share_a_value():
    with Workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.update("plan.json", json.applied(lambda plan: [*plan, "one"], []))
        before = bob.read("plan.json")
        ann.update("plan.json", json.applied(lambda plan: [*plan, "two"], []))
        with pytest.raises(Conflict):
            bob.write("plan.json", json.encode(["mine"]))
        assert json.decode(bob.read("plan.json")) == ["one", "two"]
        assert json.patch(before, bob.read("plan.json")) == [
            {"op": "add", "path": "/1", "value": "two"}
        ]


def test_a_function_that_makes_no_json_changes_nothing():
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        ann.write("plan.json", json.encode({}))
        with pytest.raises(json.NotJson):
            ann.update("plan.json", json.applied(lambda plan: {"at": datetime.date(2026, 1, 1)}))
        assert str(ann.read("plan.json").ref) == "plan.json@1"


def test_a_function_that_is_called_again_starts_from_what_is_there():
    def add(plan):
        plan.append(1)
        return plan

    twice = json.applied(add, [])
    assert json.decode(twice("")) == json.decode(twice("")) == [1]


def test_texts_and_bytes_that_are_none_are_refused():
    with Workspace() as workspace:
        ann = workspace.agent("ann")
        ann.write("notes.md", "# Notes")
        ann.write("raw", b"{}")
        with pytest.raises(json.NotJson, match=r"notes\.md@1"):
            json.decode(ann.read("notes.md"))
        with pytest.raises(InvalidContent):
            json.decode(ann.read("raw"))
        with pytest.raises(json.NotJson):
            ann.update("notes.md", json.applied(lambda value: value))


def test_tasks_share_a_value():
    async def later(plan):
        await asyncio.sleep(0)
        return {**plan, "done": True}

    async def work():
        async with AsyncWorkspace() as workspace:
            ann = await workspace.agent("ann")
            await ann.write("plan.json", json.encode({"steps": 2}))
            await ann.update("plan.json", json.applied(later))
            return json.decode(await ann.read("plan.json"))

    assert asyncio.run(work()) == {"done": True, "steps": 2}


@settings(max_examples=60)
@given(values, values)
def test_a_patch_makes_the_one_from_the_other(old, new):
    jsonpatch = pytest.importorskip("jsonpatch")
    before, after = json.encode(old), json.encode(new)
    made = json.patch(before, after)
    assert json.encode(jsonpatch.apply_patch(json.decode(before), made)) == after
    assert len(json.encode(made)) <= len(json.encode([{"op": "replace", "path": "", "value": new}]))


def test_a_patch_is_short_where_little_changed():
    pytest.importorskip("jsonpatch")
    tasks = [{"name": f"task {number}", "done": False} for number in range(100)]
    before = json.encode({"tasks": tasks})
    tasks[41]["done"] = True
    assert json.patch(before, json.encode({"tasks": tasks})) == [
        {"op": "replace", "path": "/tasks/41/done", "value": True}
    ]
    assert json.patch("1", "true") == [{"op": "replace", "path": "", "value": True}]
