"""A model made of components: the form that the table engines take.

A state is a tuple with one value a component (*slot*).  A rule reads some slots and gives the
possible changes.  The slots that it reads are observed, not declared, so a rule is evaluated once
for each combination of values that it depends on, however many states share them.

A change may *write* slots with values of its rule, and *update* others without reading them:
appending to a channel is an update, and does not make the rule depend on the channel's contents.

Tables gain where many states share what a rule reads.  A rule that reads every slot is evaluated
for every state, and the table is a loss: a plain `Model` is then the better form, and the
reference engine the faster one (``docs/examples.md`` has figures).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from specs.checker.errors import ModelError
from specs.checker.layout import Lent
from specs.checker.model import Action, Fairness, Limit, Model, Property, check_parts
from specs.checker.purity import Repeater

V = TypeVar("V")


class Change(NamedTuple):
    """One possible change of a state."""

    action: Action
    #: (slot, new value)
    writes: tuple[tuple[int, Hashable], ...] = ()
    #: (slot, operation), applied in order, after the writes
    updates: tuple[tuple[int, Hashable], ...] = ()


#: From the slots' values to all possible changes.  Pure; it sees only the slots it indexes.
Rule: TypeAlias = Callable[[Sequence[Any]], Iterable[Change]]


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Which components are interchangeable.

    Replicas are named; ``names_of(slot)`` are the replicas that the slot belongs to, in order, and
    slots of one kind correspond.  ``rename(value, mapping)`` puts other names into a value.
    """

    replicas: tuple[str, ...]
    names_of: Callable[[int], tuple[str, ...]]
    rename: Callable[[Hashable, dict[str, str]], Hashable]
    #: How two of them are known to differ, if they do: then a search by symmetry is refused.
    unlike: str = ""


@dataclass(frozen=True, slots=True)
class Composite(Generic[V]):
    """Components, rules over them, and the properties.  See `Model` for the rest."""

    name: str
    slots: Sequence[str]
    initial: Sequence[tuple[Hashable, ...]]
    rules: Sequence[Rule]
    #: ``apply(slot, value, operation)``: a slot's value after an update.  Pure.
    apply: Callable[[int, Any, Any], Hashable]
    view: Callable[[Sequence[Any]], V]
    properties: Sequence[Property[V]] = ()
    fairness: Sequence[Fairness] = ()
    terminal: Callable[[V], bool] | None = None
    within: Callable[[V], bool] | None = None
    limit: Limit | None = None
    alphabet: frozenset[str] = frozenset()
    #: Slots of one kind draw from the same values; symmetry needs that.  By default all differ.
    kinds: Sequence[Hashable] = ()
    #: Slots that hold a FIFO queue as a tuple: every update appends at its end, and a rule that
    #: finds one empty gives no changes.  Partial-order reduction reads it.
    queues: frozenset[int] = frozenset()
    symmetry: Symmetry | None = None
    #: How often the real steps were called so far.
    step_calls: Callable[[], int] | None = None

    def __post_init__(self) -> None:
        check_parts(self.name, self.initial, self.properties)
        for state in self.initial:
            if len(state) != len(self.slots):
                raise ModelError(
                    f"an initial state of {self.name!r} has {len(state)} values "
                    f"for {len(self.slots)} slots"
                )

    def changes(self, rule: Rule, values: Sequence[Any]) -> list[Change]:
        """The changes that a rule gives in a state; raises `ModelError` if the rule fails."""
        try:
            return list(rule(values))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"a rule of {self.name!r} raised {type(error).__name__}: {error}",
                remedy="a step must answer every event that its guarantee allows",
            ) from error

    def effects(
        self, rule: Rule, state: tuple[Hashable, ...]
    ) -> list[tuple[Action, tuple[Hashable, ...]]]:
        """The transitions that a rule gives in a state.

        Raises `ImpureStep` for an update that reads the state behind the rule's back.
        """
        values = Lent(state)
        changes = self.changes(rule, values)
        values.close()
        return [(change.action, self.after(state, change)) for change in changes]

    def after(self, state: tuple[Hashable, ...], change: Change) -> tuple[Hashable, ...]:
        """The state after a change."""
        values = list(state)
        for slot, value in change.writes:
            values[slot] = value
        for slot, operation in change.updates:
            values[slot] = self.updated(slot, values[slot], operation)
        return tuple(values)

    def updated(self, slot: int, value: Any, operation: Any) -> Hashable:
        """A slot's value after an update; raises `ModelError` if `apply` fails."""
        try:
            return self.apply(slot, value, operation)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"an update of {self.slots[slot]!r} raised {type(error).__name__}: {error}; "
                f"of {value!r} by {operation!r}",
                remedy="`apply` must answer for every value that the slot can hold",
            ) from error

    def model(self) -> Model[tuple[Hashable, ...], V]:
        """The same as a plain model, for the reference engine and for paths."""
        return Model(
            name=self.name,
            initial=self.initial,
            actions=partial(self._actions, Repeater()),
            properties=self.properties,
            fairness=self.fairness,
            terminal=self.terminal,
            within=self.within,
            limit=self.limit,
            view=self.view,
            alphabet=self.alphabet,
        )

    def _actions(
        self, repeat: Repeater, state: tuple[Hashable, ...]
    ) -> Iterator[tuple[Action, tuple[Hashable, ...]]]:
        # A lent state finds updates that read it late.  Lending takes time, and such updates are
        # wrong only where answers are remembered: a sample will do.
        is_lent = repeat.is_due()
        for rule in self.rules:
            if is_lent:
                yield from self.effects(rule, state)
            else:
                for change in rule(state):
                    yield change.action, self.after(state, change)
