"""A model to check: its initial states, its actions and its properties.

A complete first model::

    def actions(hour):
        yield "tick", hour % 12 + 1

    clock = Model("hour clock", initial=[1], actions=actions,
                  properties=[always("in range", lambda hour: 1 <= hour <= 12)])

States may be any hashable values.  An action is a name, or an :class:`Action` for charts, fairness
by process and context switches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from specs.checker.errors import ModelError, UsageError
from specs.checker.formula import Formula, atom

S = TypeVar("S")
V = TypeVar("V")


class Action(NamedTuple):
    """The label of one transition: the action's name, its process and its subject."""

    name: str
    #: The process that stepped; a context switch is a change of this.
    process: str = ""
    #: The kind of event: one word, such as "deliver" or "timeout".
    kind: str = ""
    #: The other side of a "deliver".
    peer: str = ""
    #: The message, request or timer name.
    subject: Hashable = None
    #: What the step sent, as (destination, message) pairs in order.
    sent: tuple[tuple[str, Hashable], ...] = ()

    def __str__(self) -> str:
        about = [self.process] if self.process else []
        if self.kind:
            about.append(self.kind + (f" from {self.peer}" if self.peer else ""))
        if self.subject is not None:
            about.append(str(self.subject))
        return f"{self.name}({', '.join(about)})" if about else self.name


Transition: TypeAlias = tuple[str | Action, S]
Kind: TypeAlias = Literal[
    "always",
    "reachable",
    "every_step",
    "refines",
    "refines_fairly",
    "eventually",
    "leads_to",
    "infinitely_often",
    "eventually_always",
    "temporal",
]


class StepRule(Protocol):
    """What a property says of steps: see `every_step` and `refines`."""

    @property
    def of(self) -> Callable[[Any], Any] | None:
        """What the property is about: a step that leaves it unchanged is allowed; None: all."""

    @property
    def reads_action(self) -> bool:
        """Whether the answer depends on the action, and not on the two states alone."""

    def allows(self, before: Any, action: Action, after: Any) -> bool | None:
        """Whether the step is allowed; None if it leaves unchanged what the property is about."""

    def reason(self, before: Any, action: Action, after: Any) -> str:
        """Why the step is not allowed, in words; "" if the step itself says it."""

    def reason_at_start(self, view: Any) -> str:
        """Why an initial state is not allowed."""

    def through(self, see: Callable[[Any], Any], of: Callable[[Any], Any] | None) -> StepRule:
        """The same rule for other views, of which `see` gives these; `of` is its `of` for those."""


class FairnessRule(Protocol):
    """What a property says of fairness: see `refines_fairly`."""

    @property
    def mapping(self) -> Callable[[Any], Hashable]:
        """The abstract state that a view stands for."""

    @property
    def conditions(self) -> Sequence[Fairness]:
        """The fairness conditions of the abstract model."""

    def stands_for(self, view: Any) -> Hashable:
        """The same; raises `PropertyError` if the mapping fails."""

    def offers(self, state: Hashable) -> list[tuple[Action, Any]]:
        """The steps of the abstract model that change a state."""

    def neglected(self, loop: Sequence[Any]) -> str:
        """The condition that a loop neglects, or "".  `loop` is its views, the first one again."""

    def through(self, mapping: Callable[[Any], Hashable]) -> FairnessRule:
        """The same rule for other views, with their mapping."""


@dataclass(frozen=True, slots=True)
class Property(Generic[V]):
    """A claim about all behaviours of a model.

    Make one with a function: those below, or those of `specs.checker.claims`.

    `predicate` is the claim of `always`, `reachable` and `eventually`, the consequence of
    `leads_to`; of a property with `steps` it is the claim on initial states.  `when` is an
    antecedent: if no reachable state satisfies it, the property holds vacuously, and the result
    says so.  A property with `steps` holds vacuously if no step changes what it is about.
    """

    kind: Kind
    name: str
    predicate: Callable[[V], bool]
    when: Callable[[V], bool] | None = None
    steps: StepRule | None = None
    #: What a liveness property says of behaviours.
    formula: Formula | None = None
    #: The predicates of the formula; without them it is about `predicate` and `when`.
    atoms: tuple[tuple[str, Callable[[V], bool]], ...] = ()
    #: The fairness that behaviours keep, of an abstract model.
    fair: FairnessRule | None = None

    def __str__(self) -> str:
        return f"property {self.name!r}"

    @property
    def is_liveness(self) -> bool:
        """Whether only an infinite behaviour can violate it."""
        return self.formula is not None or self.fair is not None

    @property
    def is_invariant(self) -> bool:
        """Whether one reachable state or step can violate it: that ends a search."""
        return self.kind == "always" or self.steps is not None

    @property
    def questions(self) -> tuple[Callable[[V], bool], ...]:
        """All that it asks of single states."""
        return tuple(predicate for _, predicate in self.meaning)

    @property
    def meaning(self) -> tuple[tuple[str, Callable[[V], bool]], ...]:
        """The predicates by name, as the formula calls them."""
        if self.atoms:
            return self.atoms
        named = ((WHEN.name, self.when), (GOOD.name, self.predicate))
        return tuple((name, predicate) for name, predicate in named if predicate is not None)

    def through(
        self,
        see: Callable[[Any], V],
        bind: Callable[[Callable[[V], Any]], Callable[[Any], Any]] | None = None,
    ) -> Property[Any]:
        """The same claim for other views, of which `see` gives these.

        `bind` turns a predicate into one of those views; by default it looks through `see`.
        """

        def plain(predicate: Callable[[V], Any]) -> Callable[[Any], Any]:
            return lambda view: predicate(see(view))

        bind = bind or plain
        steps = self.steps
        if steps is not None:
            steps = steps.through(see, None if steps.of is None else bind(steps.of))
        return replace(
            self,
            predicate=bind(self.predicate),
            when=None if self.when is None else bind(self.when),
            steps=steps,
            atoms=tuple((name, bind(each)) for name, each in self.atoms),
            fair=None if self.fair is None else self.fair.through(bind(self.fair.mapping)),
        )


def always(
    name: str, predicate: Callable[[V], bool], *, when: Callable[[V], bool] | None = None
) -> Property[V]:
    """An invariant: `predicate` holds in every reachable state (that satisfies `when`)."""
    return Property("always", name, predicate, when)


def reachable(name: str, predicate: Callable[[V], bool]) -> Property[V]:
    """Some reachable state satisfies `predicate`: guards against models that do nothing."""
    return Property("reachable", name, predicate)


def eventually(name: str, predicate: Callable[[V], bool]) -> Property[V]:
    """Every fair behaviour reaches a state that satisfies `predicate`."""
    return Property("eventually", name, predicate, formula=_EVENTUALLY)


def leads_to(name: str, when: Callable[[V], bool], then: Callable[[V], bool]) -> Property[V]:
    """In every fair behaviour each state that satisfies `when` is followed by one of `then`."""
    return Property("leads_to", name, then, when, formula=_LEADS_TO)


WHEN, GOOD = atom("when"), atom("good")
_EVENTUALLY = Formula("<>", (GOOD,))
_LEADS_TO = Formula("~>", (WHEN, GOOD))


@dataclass(frozen=True, slots=True)
class Fairness:
    """Actions that may not be neglected for ever.  `weak` and `strong` below make one.

    `key` sorts actions into classes, each fair on its own; None leaves an action out.
    """

    strong: bool
    name: str
    key: Callable[[Action], Hashable | None]
    #: The action's name, if it is fairness of one action.
    action: str = ""


Selector: TypeAlias = str | Callable[[Action], Hashable | None]


def weak(actions: Selector, *, each: str = "") -> Fairness:
    """An action that stays enabled is taken: ``WF_vars(A)``.

    `actions` is an action's name, or a function from an action to the class it is fair in (None:
    no class).  ``each="process"`` makes one class of each value of that field.  A check of a
    liveness property raises `ModelError` if neither the alphabet nor a step has such an action.
    """
    return _fairness(False, actions, each)


def strong(actions: Selector, *, each: str = "") -> Fairness:
    """An action that is enabled again and again is taken: ``SF_vars(A)``.  See :func:`weak`."""
    return _fairness(True, actions, each)


def _fairness(is_strong: bool, actions: Selector, each: str) -> Fairness:
    kind = "SF" if is_strong else "WF"
    if each and each not in Action._fields:
        raise UsageError(
            f"fairness for each {each!r}: an action has no such field",
            remedy=f"one of {', '.join(Action._fields)}",
        )
    if callable(actions):
        if each:
            raise UsageError("`each` goes with an action's name; a function gives its own classes")
        return Fairness(is_strong, f"{kind}({getattr(actions, '__name__', 'actions')})", actions)
    wanted: str = actions

    def key(action: Action) -> Hashable | None:
        if action.name != wanted:
            return None
        return (wanted, getattr(action, each)) if each else wanted

    return Fairness(is_strong, f"{kind}({wanted}{', each ' + each if each else ''})", key, wanted)


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound within the rules: they leave steps out in some states, to keep the model finite."""

    name: str
    #: The steps that the rules leave out in a state.
    left_out: Callable[[Any], Iterable[Action]]
    #: Whether the rules have left out a step so far.
    was_met: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Model(Generic[S, V]):
    """A state graph given by rules, and its properties.

    Without `terminal`, a state in which nothing is enabled is a deadlock; with it, only if
    `terminal` is false.  Predicates are given ``view(state)``, by default the state itself.

    Equal states are one state, by Python's ``==``, and the first one met stays: ``1``, ``True`` and
    ``1.0`` are equal, and so are ``0.0`` and ``-0.0``.  Use one type for each part of a state.  The
    table engines refuse a `Composite` that mixes them in a slot; the reference engine, and so a
    plain model, does not notice.

    Two things bound a model.  States outside `within` are checked but not expanded; a `limit` tells
    which steps the rules themselves leave out.  A bound is *met* if a search finds such a state or
    leaves out such a step.  The result is then `bounded`.  Its proofs of violations are about the
    unbounded model, and its HOLDS is about the bounded one:

    ============  =========================================================================
    always        VIOLATED is a proof.  HOLDS is proved for the states that the search found:
                  those within the bounds, and those one step outside `within`.
    every_step,   The same for steps: those from states within the bounds.
    refines
    reachable     HOLDS is a proof.  If no state found is a witness: UNDETERMINED.
    liveness      VIOLATED is a proof: the lasso stays within the bounds, and it is fair even if
                  the steps that `limit` left out count as enabled.  UNDETERMINED, if there is
                  no such lasso, but a behaviour leaves `within` and would violate the property
                  if it changed nothing from there on (`eventually`: it still owes the good
                  state), or a lasso is fair only because `limit` leaves steps out.  Otherwise
                  HOLDS: proved for behaviours that stay within the bounds; a behaviour that
                  leaves `within` owes nothing there.
    deadlock      A deadlock is a proof.  States outside `within`, and states in which `limit`
                  leaves out a step, are not deadlocks.
    ============  =========================================================================
    """

    name: str
    initial: Sequence[S]
    actions: Callable[[S], Iterable[Transition[S]]]
    properties: Sequence[Property[V]] = ()
    fairness: Sequence[Fairness] = ()
    terminal: Callable[[V], bool] | None = None
    within: Callable[[V], bool] | None = None
    limit: Limit | None = None
    view: Callable[[S], V] | None = None
    #: All action names of the model, so that names never taken can be reported.
    alphabet: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check_parts(self.name, self.initial, self.properties)

    def seen(self, state: S) -> V:
        """The argument of predicates for `state`."""
        return self.view(state) if self.view is not None else state  # type: ignore[return-value]

    def successors(self, state: S) -> list[tuple[Action, S]]:
        """All transitions from `state`, with complete labels.

        Raises `ModelError` if the model's own code raises or yields another type.
        """
        try:
            return [
                (label if type(label) is Action else as_action(label), following)
                for label, following in self.actions(state)
            ]
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"actions of {self.name!r} raised {type(error).__name__}: {error}; in {state!r}",
                remedy="an action must yield (name, next state) pairs and raise nothing",
            ) from error


def as_action(label: Any) -> Action:
    """The label as an `Action`; a plain string is an action's name."""
    if isinstance(label, Action):
        return label
    if isinstance(label, str):
        return Action(label)
    raise ModelError(f"a label must be a string or an Action, not {label!r}")


def check_parts(name: str, initial: Sequence[Any], properties: Sequence[Property[Any]]) -> None:
    """Refuse a model without initial state, with unhashable states or with duplicate names."""
    if not initial:
        raise ModelError(f"model {name!r} has no initial state", remedy="give at least one")
    for state in initial:
        require_hashable(state)
    names = [prop.name for prop in properties]
    for prop in properties:
        if not callable(prop.predicate):
            raise ModelError(f"property {prop.name!r} of {name!r} has no predicate to evaluate")
        if names.count(prop.name) > 1:
            raise ModelError(f"model {name!r} has two properties named {prop.name!r}")


def require_hashable(state: Any) -> None:
    """Raise `ModelError` if `state` cannot be stored."""
    try:
        hash(state)
    except TypeError as error:
        raise ModelError(
            f"a state cannot be hashed: {error}; in {state!r}",
            remedy="build states from tuples, frozensets and frozen classes",
        ) from error
