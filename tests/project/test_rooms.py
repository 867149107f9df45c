"""The house can be walked: no circles, no reaches, no name with two meanings, one interpreter.

ARCHITECTURE.md has a drawing of the rooms, which is compared with the imports.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import rooms

ROOT = Path(__file__).parents[2]

#: Where a command is carried out: the definition, and loops that are inlined for speed, each of
#: which a test compares with the definition on random steps.
INTERPRETERS = {"message_passing.turn", "message_passing.simulator", "specs.system"}
#: Where a command is told from others for another purpose.
READERS = {
    "specs.traces": "writes the commands of a recorded line as values of TLA+",
    "specs.symbolic.cache": "follows the terms of timers and answers: there is no driver to run",
    "specs.symbolic.home": "follows the terms of timers and announcements, as above",
}


@cache
def trees() -> dict[str, ast.Module]:
    return rooms.modules()


@cache
def edges() -> dict[str, set[str]]:
    return rooms.imports(trees())


@cache
def findings() -> list[tuple[str, str]]:
    return list(_findings())


def _findings() -> Iterator[tuple[str, str]]:
    """Everything that should not be there: a module, and what is wrong with it."""
    for circle in rooms.circles(edges()):
        yield circle[0], f"a circle of imports: {' - '.join(circle)}"
    for reach in rooms.reaches(trees()):
        module, _, name = reach.partition(":")
        yield module, f"a private name of another file: line {name}"
    for name, modules in rooms.homonyms(trees()).items():
        yield modules[0], f"a class with two meanings: {name} in {', '.join(modules)}"
    for module, tree in trees().items():
        if module not in INTERPRETERS | set(READERS):
            for line in rooms.command_tests(tree):
                yield module, f"an interpreter of commands: line {line}"


@pytest.mark.slow
def test_no_circle_no_reach_no_homonym_no_second_interpreter():
    assert findings() == []


@pytest.mark.slow
def test_the_named_interpreters_are_there():
    assert [m for m in (*INTERPRETERS, *READERS) if not rooms.command_tests(trees()[m])] == []


def parsed(**sources: str) -> dict[str, ast.Module]:
    """Modules of a package `p`, by the last part of their names."""
    return {"p": ast.parse("")} | {f"p.{name}": ast.parse(s) for name, s in sources.items()}


CIRCLES = {
    "at the top": "from p import a",
    "relative": "from . import a",
    "relative, by name": "from .a import f",
    "in a function": "def f():\n    from p.a import g",
    "for types": "if TYPE_CHECKING:\n    import p.a",
    "by way of a third": "import p.c",
}


@pytest.mark.parametrize("source", CIRCLES.values(), ids=CIRCLES)
def test_a_circle_is_found(source):
    modules = parsed(a="import p.b", b=source, c="import p.a")
    (circle,) = rooms.circles(rooms.imports(modules))
    assert {"p.a", "p.b"} <= set(circle)


def test_a_reach_is_found():
    modules = parsed(a="class A:\n    def __init__(self):\n        self._x = 1", b="print(a._x)")
    assert rooms.reaches(modules) == ["p.b:1 _x"]


def test_a_homonym_is_found():
    assert rooms.homonyms(parsed(a="class Row: ...", b="class Row: ...")) == {
        "p: Row": ["p.a", "p.b"]
    }


INTERPRETING = {
    "is": "if kind is SetTimer: ...",
    "==": "if process.SetTimer == kind: ...",
    "in": "if kind in (Send, SetTimer): ...",
    "isinstance": "if isinstance(command, Send | SetTimer): ...",
    "match": "match command:\n    case SetTimer(name): ...",
}


@pytest.mark.parametrize("source", INTERPRETING.values(), ids=INTERPRETING)
def test_an_interpreter_is_found(source):
    assert rooms.command_tests(ast.parse(source))


def test_a_step_that_sets_a_timer_is_not_an_interpreter():
    assert rooms.command_tests(ast.parse("commands.append(SetTimer(name, at))")) == []
    assert rooms.command_tests(ast.parse("kinds: Send | SetTimer\ntimers = (SetTimer,)")) == []


# The drawing


def drawn() -> tuple[set[str], set[tuple[str, str]]]:
    """The nodes and edges of the Mermaid flowchart in ARCHITECTURE.md."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (chart,) = re.findall(r"```mermaid\nflowchart \w+\n(.*?)```", page, re.DOTALL)
    names = dict(re.findall(r'^ +(\w+)\["([\w/, ]+)"\]$', chart, re.MULTILINE))
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", chart, re.MULTILINE)
    assert len(names) + len(arrows) == len(chart.splitlines())
    return set(names.values()), {(names[a], names[b]) for a, b in arrows}


@pytest.mark.slow
def test_the_drawing_shows_the_rooms_and_their_imports():
    """Without fronts (`rooms.is_front`), and without arrows that follow from a longer path."""
    nodes, arrows = drawn()
    real = rooms.room_imports(edges())
    assert nodes == set(rooms.ROOMS)
    assert arrows == rooms.reduced(real)


@pytest.mark.slow
def test_rooms_do_not_import_each_other():
    real = rooms.room_imports(edges())
    assert rooms.circles({a: {c for b, c in real if b == a} for a in rooms.ROOMS}) == []


@pytest.mark.slow
def test_every_module_is_in_a_room_or_a_front():
    lost = [m for m in trees() if rooms.room_of(m) is None and not rooms.is_front(m)]
    assert lost == []
