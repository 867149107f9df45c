"""The environment of a `System`: requests, limits, fairness, and the view of a property."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from message_passing.process import Address, Event, Step
from specs.checker.composite import Change, Composite, Rule, Symmetry
from specs.checker.errors import ModelError
from specs.checker.model import Action, Fairness, weak
from specs.slots import Slots


class Local(NamedTuple):
    """A process in the model: its state, and the part of its driver that matters."""

    state: Any
    armed: frozenset[str] = frozenset()
    up: bool = True
    #: Requests made so far, if the environment counts them.
    invoked: int = 0
    #: Whether a request is waiting for its response.
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests that the environment may still make of a process.

    `choose` is given the process's state and the number of requests made so far (always 0 where
    they are not counted).  A sequential environment waits for each response.
    """

    choose: Callable[[Any, int], Iterable[Hashable]]
    counted: bool = True
    sequential: bool = True


def any_of(*requests: Hashable, times: int, sequential: bool = True) -> Requests:
    """Any of `requests`, up to `times` in all."""
    return Requests(lambda _, made: requests if made < times else (), sequential=sequential)


def script(*requests: Hashable, sequential: bool = True) -> Requests:
    """These requests, in this order."""
    return Requests(lambda _, made: requests[made : made + 1], sequential=sequential)


def whenever(choose: Callable[[Any], Iterable[Hashable]]) -> Requests:
    """All that `choose` offers in the process's state, any number of times."""
    return Requests(lambda state, _: choose(state), counted=False, sequential=False)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on the faults, so that a model stays finite.  None means unlimited."""

    #: Crashes in all, of the processes in `crashable` (None: of any).
    crashes: int = 0
    crashable: frozenset[Address] | None = None
    drops: int | None = None
    duplicates: int | None = None
    #: How often in all `Hearsay` may be about a process that is up.
    alarms: int = 0
    #: Messages that one pair's channel holds; beyond it the sender's step is not taken.  The
    #: checker knows the steps left out: see `Limit` and `Model` of `specs.checker.model`.
    in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Hearsay:
    """A message that `to` may get at any moment, in the name of a process that is down.

    `say` gets the address of that process, which is in `of`, and the state of `to`.  By mistake the
    message may also name a process that is up, as often as `Bounds.alarms` says.
    """

    to: Address
    of: frozenset[Address]
    say: Callable[[Address, Any], Iterable[Hashable]]


Ghost: TypeAlias = Hashable
#: From the ghost and the witness's value to the next ghost.
Observe: TypeAlias = Callable[..., Ghost]
Seen: TypeAlias = tuple[Hashable, ...]
Witness: TypeAlias = Callable[[Address, Any, Event[Any, Any], Step[Any]], Seen | None]


class View:
    """A global state, in the form that properties read."""

    __slots__ = ("_slots", "_values")

    def __init__(self, slots: Slots, values: Sequence[Any]) -> None:
        self._slots = slots
        self._values = values

    def local(self, address: Address) -> Local:
        """A process with its timers and its standing."""
        local: Local = self._values[self._slots.slot_of(address)]
        return local

    def __getitem__(self, address: Address) -> Any:
        """The state of a process."""
        return self.local(address).state

    def channel(self, src: Address, dst: Address) -> tuple[Any, ...]:
        """The messages in transit from `src` to `dst`, in order if the network keeps it."""
        return self._slots.messages(self._values[self._slots.channel_slot(src, dst)])

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All processes."""
        return self._slots.addresses

    @property
    def in_flight(self) -> Iterator[tuple[Address, Address, Any]]:
        """Every message in transit, as (src, dst, message)."""
        for src in self.addresses:
            for dst in self.addresses:
                for message in self.channel(src, dst):
                    yield src, dst, message

    @property
    def ghost(self) -> Any:
        """The result of `observe` over the history."""
        return self._values[self._slots.extra_slot("ghost")]

    @property
    def raised(self) -> str | None:
        """The error that a step raised, if any."""
        raised: str | None = self._values[self._slots.extra_slot("raised")]
        return raised

    def __repr__(self) -> str:
        parts = [f"{address}={self.local(address)}" for address in self.addresses]
        parts += [f"{src}->{dst}: {message}" for src, dst, message in self.in_flight]
        return "; ".join(parts)


TimerGuard: TypeAlias = Callable[[View, Address, str], bool]


def fair_delivery() -> Fairness:
    """Every channel keeps delivering: weak fairness of "deliver" for each pair."""
    return weak(_delivered)


def _delivered(action: Action) -> Hashable | None:
    return (action.peer, action.process) if action.kind == "deliver" else None


def kinds_of(slots: Slots, symmetric: Sequence[Address]) -> Sequence[Hashable]:
    """The kind of each slot of a system; interchangeable processes share a kind."""
    of = {address: "*" if address in symmetric else address for address in slots.addresses}
    kinds: list[Hashable] = list(of.values())
    kinds += [(of[src], of[dst]) for src, dst in slots.pairs]
    return [*kinds, *(("extra", name) for name in slots.extras)]


def symmetry_of(
    slots: Slots, symmetric: Sequence[Address], processes: Mapping[Address, object]
) -> Symmetry | None:
    """The symmetry of a system, if it has any; raises `ModelError`."""
    if not symmetric:
        return None
    unknown = set(symmetric) - set(slots.addresses)
    if unknown:
        raise ModelError(f"no such process: {', '.join(sorted(unknown))}")
    places = [(address,) for address in slots.addresses]
    owners: list[tuple[str, ...]] = [*places, *slots.pairs, *(() for _ in slots.extras)]
    differs = unlike(processes, symmetric)
    return Symmetry(tuple(symmetric), owners.__getitem__, renamed, differs)


def unlike(processes: Mapping[Address, object], symmetric: Sequence[Address]) -> str:
    """How the first interchangeable process differs from another by its structure, or "".

    Compared are classes, numbers, and strings up to the exchange of names.  That they are equal
    proves nothing: a step may still tell names apart.  So a search tests a sample of states.
    """
    for first, other in ((symmetric[0], other) for other in symmetric[1:]):
        one, two = processes[first], processes[other]
        both = f"{first} and {other} are not interchangeable"
        if type(one) is not type(two):
            return f"{both}: one is a {type(one).__name__}, the other a {type(two).__name__}"
        names, theirs = {first: other, other: first}, getattr(two, "__dict__", {})
        for name, value in getattr(one, "__dict__", {}).items():
            is_plain = isinstance(value, str | int | float) and name in theirs
            if is_plain and renamed(value, names) != theirs[name]:
                return f"{both}: {name} is {value!r} and {theirs[name]!r}"
    return ""


def in_turn(model: Composite[View], addresses: Sequence[Address]) -> Composite[View]:
    """`model` with an environment that asks one process at a time, and waits for its answer."""
    slots = [model.slots.index(address) for address in addresses]

    def polite(rule: Rule, values: Sequence[Any]) -> Iterator[Change]:
        for change in rule(values):
            asks = change.action.kind == "invoke"
            if not (asks and any(values[slot].waiting for slot in slots)):
                yield change

    return replace(model, rules=[partial(polite, rule) for rule in model.rules])


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with the names in it replaced, also inside structs, tuples, sets and dataclasses."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, tuple):
        parts = _all_renamed(value, names)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, frozenset):
        return frozenset(_all_renamed(value, names))
    fields = getattr(value, "__struct_fields__", None)
    if fields is None:
        fields = getattr(value, "__dataclass_fields__", None)
    if fields is None:
        return value
    return type(value)(**{name: renamed(getattr(value, name), names) for name in fields})


def _all_renamed(values: Iterable[Any], names: Mapping[str, str]) -> list[Any]:
    # Most values are names, for which a call each would be slow.
    return [
        names.get(value, value) if type(value) is str else renamed(value, names) for value in values
    ]
