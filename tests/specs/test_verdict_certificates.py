"""Certificates: the judge accepts every pinned verdict of every engine, and no other."""

import copy
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from types import SimpleNamespace

import msgspec
import pytest

from specs import catalogue, certificate, space
from specs.certificate import Origin, certify, read, signed, written
from specs.checker import (
    Action,
    Budget,
    Composite,
    Limit,
    Model,
    ModelError,
    UsageError,
    Verdict,
    always,
    check,
    enabled,
    equivariance,
    eventually,
    every_step,
    infinitely_often,
    leads_to,
    liveness,
    reachable,
    reference,
    refines,
    strong,
    table,
    temporal,
    weak,
)
from specs.checker.canonical import digest, digest_of_set, encode
from specs.checker.composite import Change, Symmetry
from specs.cli import main
from specs.judge import judge

ORIGIN = Origin("test")
LARGE, SMALL = 2_000, 400


def searches(model):
    """The searches that a model allows: the arguments of `check`, and the reduction."""
    yield {"engine": "reference"}, ""
    if isinstance(model, Composite):
        yield {"engine": "table"}, ""
        yield {"engine": "numba"}, ""
        if model.symmetry is not None and not any(p.is_liveness for p in model.properties):
            yield {"engine": "table", "symmetry": True}, "symmetry"


def certified(model, reduction="", **call):
    return certify(check(model, digest=True, **call), model, ORIGIN, reduction=reduction)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if (case.distinct or 0) <= SMALL else pytest.mark.slow)
        for case in catalogue.cases()
        if case.time == "fast" and (case.distinct or 0) <= LARGE
    ],
    ids=str,
)
def test_pinned_verdicts_of_every_engine_are_accepted(case, monkeypatch):
    monkeypatch.setattr(table, "WARM_UP", 3)
    model = catalogue.factory(case.name)(**case.constants)
    plain = model.model() if isinstance(model, Composite) else model
    runs = [*searches(model), *([({"por": True}, "partial order")] if case.por else [])]
    made = [certified(model, reduction, **call) for call, reduction in runs]
    complete = any(each.states for each in made)
    graph = space.Space(plain) if complete else None
    for each in made:
        assert judge(read(written(each)), model, graph=graph) == ""
    assert len({each.states for each in made if each.reduction != "partial order"}) == 1


# What is refused.


def ring(state):
    """Idle, asked and served in turn; a request may be lost."""
    yield from {
        "idle": [("ask", "asked")],
        "asked": [("answer", "served"), ("lose", "lost")],
        "served": [("rest", "idle")],
        "lost": [("wait", "lost too")],
        "lost too": [("return", "lost")],
    }.get(state, ())


def at(name):
    return lambda state: state == name


CLAIMS = [
    leads_to("answered", at("asked"), at("served")),
    eventually("asks", at("asked")),
    reachable("lost", at("lost")),
    reachable("nowhere", at("nowhere")),
    always("known", lambda state: state != "nowhere"),
    always("vacuous", lambda state: False, when=at("nowhere")),
    every_step("moves on", lambda before, after: before != after),
    infinitely_often("rests", at("idle")),
    temporal("nested", "[](a => <>(s /\\ <>a))", a=at("asked"), s=at("served")),
    temporal("vacuous formula", "[](n => <>i)", n=at("nowhere"), i=at("idle")),
    always("can", lambda state: True, when=enabled("ask")),
]
ONE_CLASS = [weak("ask"), strong("wait"), weak("answer"), strong("rest")]
LASSO = Model("lasso", ["idle"], ring, CLAIMS, ONE_CLASS)


def counts(n):
    yield from [("up", n + 1)] if n < 3 else []


UP = [
    Model("deadlock", [0], counts, [always("small", lambda n: n < 9)]),
    Model("state", [0], counts, [always("small", lambda n: n < 2), eventually("far", at(9))]),
    Model("step", [0], counts, [every_step("low", lambda before, after: after < 2)]),
    Model(
        "bounded",
        [0],
        counts,
        [reachable("three", at(3)), eventually("two", at(2)), reachable("one", at(1))],
        within=lambda n: n < 2,
        fairness=[weak("up")],
    ),
    Model("stutters", [0], counts, [eventually("three", at(3))], terminal=at(3)),
]
ABSTRACT = Model("abstract", [0], lambda n: [("up", n + 1)] if n < 1 else [])
UP.append(Model("refines", [0], counts, [refines("abstract", ABSTRACT, lambda n: n)]))

#: Of what a judge learns only from the certificate: a checksum alone protects it.
TOLD = {"origin", "engine", "budget", "reduction", "checksum", "form"}


def leaves(document, way=()):
    """The ways to all values in a JSON document that are neither objects nor arrays of them."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*way, key))
    elif isinstance(document, list):
        yield way
        for index, value in enumerate(document):
            yield from leaves(value, (*way, index))
    else:
        yield way


def others(value):
    """Other values in place of one."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1, None]
        case None:
            return [0, "other"]
        case list():
            return [value[:-1], value + value[-1:]] if value else []
        case "HOLDS" | "VIOLATED" | "UNDETERMINED":
            return [verdict.value for verdict in Verdict if verdict.value != value]
        case str():
            return [value + "0", value[:-1]] if value else ["other"]
    raise AssertionError(value)


def damaged(document):
    """The document with one value changed, for every value and some changes of each."""
    for way in leaves(document):
        whole = SimpleNamespace(value=copy.deepcopy(document))
        holder, key = whole.__dict__, "value"
        for step in way:
            holder, key = holder[key], step
        for other in others(holder[key]):
            kept, holder[key] = holder[key], other
            yield way, copy.deepcopy(whole.value)
            holder[key] = kept


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("model", [LASSO, *UP], ids=lambda model: model.name)
def test_a_certificate_with_any_field_changed_is_refused(model):
    good = certified(model)
    assert judge(good, model) == ""
    for way, document in damaged(json.loads(written(good))):
        try:
            other = read(json.dumps(document).encode())
        except UsageError:
            continue
        assert judge(other, model) == "the checksum is another", way
        # Why a search without a claim left open ended early is only told, too.
        if way[0] not in TOLD and (way[0] != "stopped" or good.states):
            assert judge(signed(other), model), (way, document)


def test_a_stopped_search_is_accepted_with_its_reason():
    endless = Model("endless", [0], lambda n: [("up", n + 1)], [always("n", lambda n: n >= 0)])
    good = certified(endless, budget=Budget(states=10))
    assert judge(good, endless) == ""
    assert good.claims[0].why == "budget of 10 states"
    (claim,) = good.claims
    holds = msgspec.structs.replace(claim, verdict=Verdict.HOLDS, why="")
    proud = signed(
        msgspec.structs.replace(good, claims=(holds,), verdict=Verdict.HOLDS, stopped="")
    )
    assert judge(proud, endless, 1_000) == "only a full search names all states"
    assert "more than 1,000 states" in judge(
        signed(msgspec.structs.replace(proud, states=certified(LASSO).states)), endless, 1_000
    )


def test_a_certificate_of_another_model_is_refused():
    good = certified(LASSO)
    assert "about 'lasso'" in judge(good, UP[0])
    fewer = Model("lasso", ["idle"], ring, CLAIMS[1:], ONE_CLASS)
    assert judge(good, fewer) == "other claims"
    unfair = Model("lasso", ["idle"], ring, CLAIMS, [*ONE_CLASS, strong("lose")])
    assert judge(good, unfair) == ""
    fair = Model("lasso", ["idle"], ring, CLAIMS, [*ONE_CLASS, weak(lambda action: "any")])
    assert "no reason" in judge(good, fair)


def test_steps_that_a_limit_leaves_out_are_owed():
    def actions(n):
        yield from [("up", n + 1)] if n < 2 else [("rest", 2)]

    limit = Limit("n=2", lambda n: [Action("up")] if n == 2 else [], lambda: True)
    claims = [eventually("three", at(3))]
    model = Model("limited", [0], actions, claims, [weak("up")], limit=limit)
    good = certified(model)
    assert good.claims[0].verdict is Verdict.UNDETERMINED
    assert judge(good, model) == ""
    assert "VIOLATED" in judge(good, Model("limited", [0], actions, claims, [weak("up")]))


# Mistakes of engines.


def pair(claims, **more):
    """Two counters, each to 2."""

    def rule(slot, values):
        if values[slot] < 2:
            yield Change(Action("up", "ab"[slot]), ((slot, values[slot] + 1),))

    return Composite(
        "pair",
        ["a", "b"],
        [(0, 0)],
        [lambda values, slot=slot: rule(slot, values) for slot in (0, 1)],
        lambda slot, value, operation: value,
        lambda values: values,
        claims,
        terminal=lambda values: True,
        kinds=["n", "n"],
        symmetry=Symmetry(("a", "b"), lambda slot: ("ab"[slot],), lambda value, mapping: value),
        **more,
    )


def test_a_lasso_that_passes_the_good_state_is_refused(monkeypatch):
    monkeypatch.setattr(sys.modules["specs.checker.check"], "_refutes", lambda *_: True)
    refused = {
        judge(certified(one, engine="reference"), one)
        for good in itertools.combinations(itertools.product(range(3), repeat=2), 2)
        for one in [pair([eventually("good", lambda v, good=good: tuple(v) in good)])]
    }
    assert refused == {"", "'good': the lasso satisfies it"}


def test_a_claim_that_tells_replicas_apart_is_refused(monkeypatch):
    monkeypatch.setattr(equivariance.Equivariance, "test", lambda self, packed: None)
    model = pair([always("behind", lambda values: values[0] <= values[1])])
    assert check(model, engine="table", symmetry=True).verdict is Verdict.HOLDS
    refused = judge(certified(model, "symmetry", engine="table", symmetry=True), model)
    assert refused == "'behind': it is VIOLATED"


def test_a_deadlock_that_was_not_seen_is_refused(monkeypatch):
    monkeypatch.setattr(reference, "may_rest", lambda model, state: True)
    assert judge(certified(UP[0]), UP[0]) == "there is a deadlock"


def test_a_lasso_that_was_not_found_is_refused(monkeypatch):
    monkeypatch.setattr(liveness.FairGraph, "_fair_component", lambda *_: None)
    assert judge(certified(LASSO), LASSO) == "'answered': it is VIOLATED"


def test_a_state_that_was_lost_is_refused(monkeypatch):
    known = reference.ReferenceExploration.add
    monkeypatch.setattr(
        reference.ReferenceExploration,
        "add",
        lambda self, state, parent: state != (2, 2) and known(self, state, parent),
    )
    model = pair([])
    assert "the states are" in judge(certified(model, engine="reference"), model)


# The canonical encoding.


class Colour(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    A = "a"


@dataclass(frozen=True)
class Point:
    x: object
    y: int = 0
    note: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class Identity:
    x: int


class Record(msgspec.Struct, frozen=True):
    x: object


VALUES = [
    *(None, 0, 1, -1, 2**70, 0.5, float("inf"), float("-inf"), "", "a", "1", b"a", b""),
    *((), (1,), ((1,),), (1, 1), ("a", "b"), ("ab",), ("a", ("b",)), frozenset(), frozenset({1})),
    *(frozenset({(1,), (2,)}), Colour.RED, "\ud800"),
    *(Point(1), Point(2), Point((1,)), Record(1), Record(frozenset({1}))),
]


def test_different_values_have_different_encodings():
    encodings = [encode(value) for value in VALUES]
    assert len(set(encodings)) == len(encodings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (1, Fraction(1)),
        (1, Decimal(1)),
        (1, Number.ONE),
        (0.0, -0.0),
        (float("inf"), Decimal("Infinity")),
        ("a", Word.A),
        (Action("a"), ("a", "", "", "", None, ())),
        (frozenset({1, 2}), frozenset({2.0, True})),
        (Point(1, note="first"), Point(1, note="second")),
    ],
)
def test_equal_values_have_equal_encodings(one, other):
    assert one == other
    assert encode(one) == encode(other)


@pytest.mark.parametrize("value", [object(), Identity(1), float("nan"), [1], 1j, len])
def test_a_value_without_a_form_is_refused(value):
    with pytest.raises(ModelError, match="no canonical form"):
        digest((value,))


def test_the_digest_of_a_set_depends_on_no_order():
    states = [(n, frozenset({n, "a"})) for n in range(9)]
    assert digest_of_set(states) == digest_of_set(reversed(states)) != digest_of_set(states[1:])
    assert digest_of_set(iter(["a"])) == digest("a")
    assert digest_of_set([(1, 2)]) == digest((1, 2))


def test_certificates_depend_on_no_hash_seed(tmp_path):
    command = [sys.executable, "-m", "specs", "check", "twophase", "--rms", "2", "--certify"]
    files = [tmp_path / "one.json", tmp_path / "other.json"]
    for seed, path in enumerate(files):
        subprocess.run(
            [*command, str(path)],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
        )
    assert files[0].read_bytes() == files[1].read_bytes()


# The commands.


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["twophase", "--rms", "3"], 0),
        (["twophase", "--rms", "3", "--symmetry"], 0),
        (["twophase", "--rms", "3", "--por"], 0),
        (["twophase", "--rms", "5", "--budget-states", "100"], 3),
        (["ping", "--no-retries"], 1),
        (["dining", "--philosophers", "3", "--no-polite"], 1),
    ],
    ids=lambda arguments: " ".join(arguments) if isinstance(arguments, list) else "",
)
def test_certify_and_judge(arguments, code, tmp_path, capsys):
    path = tmp_path / "certificate.json"
    assert main(["check", *arguments, "--certify", str(path)]) == code
    capsys.readouterr()
    assert main(["judge", str(path)]) == 0
    assert capsys.readouterr().out.startswith("accepted")
    good = read(path.read_bytes())
    path.write_bytes(written(msgspec.structs.replace(good, stopped="tired")))
    assert main(["judge", str(path)]) == 1
    assert "the checksum is another" in capsys.readouterr().out


def test_files_that_are_no_certificates(tmp_path, capsys):
    path = tmp_path / "certificate.json"
    assert main(["judge", str(path)]) == 2
    for text, says in (
        ("[]", "not a certificate"),
        ("{", "not a certificate"),
        ('{"form": 99}', "of form 99"),
        ('{"form": 1}', "not a certificate"),
    ):
        path.write_text(text)
        assert main(["judge", str(path)]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(UsageError):
        read(b"\xff")


def test_certify_takes_one_search(tmp_path, capsys):
    for beside in (["all"], ["ping", "--simulate", "3"]):
        assert main(["check", *beside, "--certify", str(tmp_path / "c.json")]) == 2
        assert "--certify" in capsys.readouterr().err


def test_the_form_is_pinned():
    assert certificate.FORM == 1
    good = certified(LASSO)
    assert signed(good) == good
    assert certified(LASSO).checksum == good.checksum


def test_enabled_has_a_meaning_in_bounds_alone():
    model = Model("ends", [0], counts, [reachable("three", at(3))], within=enabled("up"))
    assert (check(model).verdict, check(model).bounded) == (Verdict.HOLDS, True)
    assert judge(certified(model), model) == ""
