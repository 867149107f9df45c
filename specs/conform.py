"""Two descriptions of one protocol, compared edge by edge: TLC's state graph and ours.

A *twin* is a TLA+ module and a Python model that claim to be the same.  For one configuration of
the module, TLC dumps its whole state graph; both graphs are brought to one form, in which a state
is the module's variables as values; then the sets of states and of labelled edges must be equal.

Properties of TLC that the comparison allows for: it prints an edge once for each way to take it,
its labels name the action without its arguments, and a step that changes nothing is an edge like
any other.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from specs import tlc
from specs.checker.composite import Composite
from specs.tlavalue import Function, parse, parse_state

#: The variables of a module by name.
State: TypeAlias = Mapping[str, Any]
#: The same as a value that can be looked up.
Key: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Twin:
    """A module, with the mapping of its states, actions and constants to ours."""

    module: str
    #: From the constants of a configuration to the model.
    model: Callable[[Mapping[str, Any]], Composite[Any]]
    #: From the constants, the places of our slots and a state of ours to the module's variables.
    variables: Callable[[Mapping[str, Any], Mapping[str, int], tuple[Any, ...]], State]
    #: Actions of the module that have another name in the code.
    renamed: Mapping[str, str] = field(default_factory=dict)
    #: History variables of the module, which no state of ours has.
    history: frozenset[str] = frozenset()


@dataclass(slots=True)
class Graph:
    """A state graph: states numbered in the order they were met, labelled edges between them."""

    names: tuple[str, ...]
    states: list[Key] = field(default_factory=list)
    edges: set[tuple[int, str, int]] = field(default_factory=set)
    #: States that stand for several of ours with different steps.
    uneven: set[int] = field(default_factory=set)
    _numbers: dict[Key, int] = field(default_factory=dict)

    def number(self, state: State) -> int:
        """The number of a state, a new one if it was not met before."""
        key = tuple(state[name] for name in self.names)
        number = self._numbers.setdefault(key, len(self.states))
        if number == len(self.states):
            self.states.append(key)
        return number

    def find(self, key: Key) -> int | None:
        """The number of a state that was met, or None."""
        return self._numbers.get(key)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sizes of two graphs, and the first difference between them."""

    module: str
    config: str
    distinct: tuple[int, int]
    edges: tuple[int, int]
    #: TLC's verdict on the specification, from the same run.
    said: tlc.TlcResult
    #: Differences in words, nearest to the initial state first; TLC's side is called "spec".
    differences: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both graphs are the same."""
        return not self.differences


def read_config(path: Path) -> dict[str, Any]:
    """The constants of a TLC configuration."""
    text = re.sub(r"\\\*.*", "", path.read_text(encoding="utf-8"))
    pairs = re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    return {name: parse(value) for name, value in pairs}


def compare(twin: Twin, config: str, *, folder: Path = tlc.TLA) -> Comparison:
    """Compare a twin's graphs under `config`.  Raises what `tlc.run` raises."""
    said, spec = drawn(twin, config, folder=folder)
    code = code_graph(twin, read_config(folder / f"{config}.cfg"))
    differences = tuple(differences_of(spec, code))
    sizes = (len(spec.states), len(code.states)), (len(spec.edges), len(code.edges))
    return Comparison(twin.module, config, *sizes, said, differences)


_NODE = re.compile(r'^(-?\d+) \[label="((?:[^"\\]|\\.)*)"(.*)')
_EDGE = re.compile(r'^(-?\d+) -> (-?\d+) \[label="(\w+)')


def spec_graph(twin: Twin, config: str, *, folder: Path = tlc.TLA) -> Graph:
    """TLC's state graph.  Node 0 is initial."""
    return drawn(twin, config, folder=folder)[1]


def drawn(twin: Twin, config: str, *, folder: Path = tlc.TLA) -> tuple[tlc.TlcResult, Graph]:
    """TLC's verdict on the specification, and its state graph."""
    with tempfile.TemporaryDirectory(prefix="graph-") as scratch:
        dot = Path(scratch) / "graph.dot"
        said = tlc.run(twin.module, config, folder=folder, dump=dot, workers=1)
        return said, read_dot(twin, dot.read_text(encoding="utf-8").splitlines())


def read_dot(twin: Twin, lines: list[str]) -> Graph:
    """The state graph that the lines of a dot file draw."""
    graph = Graph(())
    number_of: dict[str, int] = {}
    edges: list[tuple[str, str, str]] = []
    for line in lines:
        if match := _EDGE.match(line):
            edges.append((match[1], match[3], match[2]))
        elif match := _NODE.match(line):
            text = match[2].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
            state = {k: v for k, v in parse_state(text).items() if k not in twin.history}
            graph.names = graph.names or tuple(sorted(state))
            number_of[match[1]] = graph.number(state)
    for source, label, target in edges:
        name = twin.renamed.get(label, label)
        graph.edges.add((number_of[source], name, number_of[target]))
    return graph


def code_graph(twin: Twin, constants: Mapping[str, Any]) -> Graph:
    """The state graph of our model.  State 0 is initial.

    Several states of ours may be one state of the module; they must then have the same steps.
    """
    composite = twin.model(constants)
    model = composite.model()
    slots = {slot: place for place, slot in enumerate(composite.slots)}
    variables = partial(twin.variables, constants, slots)
    initial = variables(model.initial[0])
    graph = Graph(tuple(sorted(initial)))
    graph.number(initial)
    numbers = {model.initial[0]: 0}
    known: dict[int, frozenset[tuple[str, int]]] = {}
    todo = deque(model.initial)
    while todo:
        state = todo.popleft()
        if model.within is not None and not model.within(model.seen(state)):
            continue
        moves = set()
        for action, following in model.successors(state):
            target = numbers.get(following)
            if target is None:
                target = numbers[following] = graph.number(variables(following))
                todo.append(following)
            moves.add((action.name, target))
        source = numbers[state]
        if known.setdefault(source, frozenset(moves)) != moves:
            graph.uneven.add(source)
        graph.edges.update((source, *move) for move in moves)
    return graph


def differences_of(spec: Graph, code: Graph, limit: int = 5) -> Iterator[str]:
    """The first differences in words; empty if the graphs are equal."""
    if spec.names != code.names:
        yield f"variables: spec {spec.names}, code {code.names}"
        return
    if spec.states[:1] != code.states[:1]:
        yield f"initial state: {_apart(spec.names, spec.states[0], code.states[0])}"
        return
    for number in sorted(code.uneven)[:1]:
        yield f"one in spec, not the same in code: {_shown(code.names, code.states[number])}"
    theirs, ours = _outgoing(spec), _outgoing(code)
    for number, key in enumerate(code.states):
        known = spec.find(key)
        if known is None or theirs[known] == ours[number]:
            continue
        for side, these, others in (
            ("code", ours[number], theirs[known]),
            ("spec", theirs[known], ours[number]),
        ):
            for label, target in sorted(these - others, key=repr):
                moves = _apart(code.names, key, target)
                where = "the initial state"
                if number:
                    where += f" but {_apart(code.names, code.states[0], key)}"
                yield f"only in {side}: {label}: {moves}; from {where}"
                limit -= 1
                if not limit:
                    return


def _outgoing(graph: Graph) -> list[set[tuple[str, Key]]]:
    outgoing: list[set[tuple[str, Key]]] = [set() for _ in graph.states]
    for source, label, target in graph.edges:
        outgoing[source].add((label, graph.states[target]))
    return outgoing


def _apart(names: tuple[str, ...], before: Key, after: Key) -> str:
    moved = [
        line
        for name, old, new in zip(names, before, after, strict=True)
        for line in _parts_apart(name, old, new)
    ]
    return "; ".join(moved) or "nothing changes"


def _parts_apart(name: str, old: Any, new: Any) -> Iterator[str]:
    """The parts of a value that differ: fields of records and places in sequences, to any depth."""
    before, after = _parts_of(old), _parts_of(new)
    if old == new:
        return
    if before and before.keys() == after.keys():
        for part, value in before.items():
            yield from _parts_apart(f"{name}{part}", value, after[part])
    else:
        yield f"{name} {old} -> {new}"


def _parts_of(value: Any) -> dict[str, Any]:
    if isinstance(value, Function):
        return {f"[{key}]": of for key, of in sorted(value.items, key=repr)}
    if isinstance(value, tuple):
        return {f"[{place}]": of for place, of in enumerate(value, 1)}
    return {}


def _shown(names: tuple[str, ...], key: Key) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))
