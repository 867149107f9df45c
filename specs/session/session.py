"""A state space, walked by the numbers of actions: states on demand, whatever its size.

A path is a sequence of numbers: that of an initial state, then those of the actions taken, each
among the enabled ones in their order.  Numbers are short, so a path fits into an address; but they
mean what `Model.actions` yields, in that order.  A model that iterates over a set may yield another
order in another process.  The digest of a path tells: carry it along, and compare.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from specs.checker.canonical import digest
from specs.checker.composite import Composite
from specs.checker.enabled import bound
from specs.checker.errors import ModelError, UsageError
from specs.checker.model import Action, Model
from specs.checker.result import Moment, Path
from specs.session.judging import Judge
from specs.session.values import label_of, text_of

#: Places that are remembered; beyond that the cache begins again.
PLACES_MAX = 20_000
#: Steps of a path.
STEPS_MAX = 10_000
#: Characters of a state without a canonical form that its digest covers.
_TEXT_OF_DIGEST = 1_000_000


class NoSuchPath(UsageError):
    """The model has no such path.  `steps` says how many steps of the path there are."""

    code = "no-such-path"

    def __init__(self, message: str, steps: int) -> None:
        super().__init__(message, remedy=f"the path up to step {steps} is there")
        self.steps = steps


class Place:
    """A state, reached on one way."""

    __slots__ = ("_following", "_model", "action", "label", "next", "state")

    def __init__(self, model: Model[Any, Any], state: Any, action: Action | None) -> None:
        self._model = model
        self._following: list[tuple[Action, Any]] | None = None
        self.state = state
        self.action = action
        #: The text of the action; "" for an initial state.
        self.label = "" if action is None else label_of(action)
        #: The places that were asked for, by the numbers of the actions.
        self.next: dict[int, Place] = {}

    @property
    def following(self) -> list[tuple[Action, Any]]:
        """The enabled actions with the states they lead to; raises `ModelError`."""
        if self._following is None:
            self._following = self._model.successors(self.state)
        return self._following


class Session:
    """A model with the places that were visited.  One thread uses it at a time."""

    def __init__(self, model: Model[Any, Any] | Composite[Any]) -> None:
        self.slots = tuple(model.slots) if isinstance(model, Composite) else ()
        self.model = bound(model.model() if isinstance(model, Composite) else model)
        self.judge = Judge(self.model)
        self._begin()

    def _begin(self) -> None:
        self._first: dict[int, Place] = {}
        self._count = 0

    @property
    def processes(self) -> tuple[str, ...]:
        """The processes of a system: the ends of its channels.  Empty for other models."""
        return processes_of(self.slots)

    def places(self, path: Sequence[int]) -> list[Place]:
        """The places of a path, the initial one first.  Raises `NoSuchPath` and `ModelError`."""
        if len(path) > STEPS_MAX + 1:
            raise NoSuchPath(f"a path of {len(path) - 1:,} steps: more than {STEPS_MAX:,}", 0)
        if self._count > PLACES_MAX:
            self._begin()
        if not path:
            raise NoSuchPath("a path begins with the number of an initial state", 0)
        initial = self.model.initial
        if not 0 <= path[0] < len(initial):
            raise NoSuchPath(f"no initial state {path[0]}: there are {len(initial)}", 0)
        place = self._first.get(path[0])
        if place is None:
            place = Place(self.model, initial[path[0]], None)
            self._first[path[0]] = place
        found = [place]
        for step, number in enumerate(path[1:]):
            try:
                place = self._step(place, number)
            except IndexError:
                raise NoSuchPath(
                    f"step {step + 1} is action {number} of the {len(place.following)} enabled",
                    step,
                ) from None
            found.append(place)
        return found

    def path(self, numbers: Sequence[int], loop: int | None = None) -> Path:
        """The path with these numbers, for charts and files.  Raises what `places` raises."""
        places = self.places(numbers)
        return Path(tuple(Moment(place.action, place.state) for place in places), loop)

    def digest(self, numbers: Sequence[int]) -> str:
        """Sixteen hexadecimal digits of the state and of all actions that lead to it."""
        places = self.places(numbers)
        made = blake2b(digest_of(places[-1].state).encode(), digest_size=8)
        for place in places[1:]:
            made.update(b"\0" + place.label.encode("utf-8", "surrogatepass"))
        return made.hexdigest()

    def follow(self, path: Path) -> list[int]:
        """The numbers of a path of a result, as far as the model has it.

        Of a whole path there is one number for each moment.
        """
        moments = path.moments
        return self.followed(
            [moment.state for moment in moments],
            [moment.action for moment in moments],
            lambda state: state,
        )

    def followed(
        self, states: Sequence[Any], labels: Sequence[Any], form: Callable[[Any], Any]
    ) -> list[int]:
        """The numbers of a path whose states are given in another form, as far as the model has it.

        `labels` are the actions or their texts, where they are known: they choose between several
        actions that lead to the same state.
        """
        first = [n for n, each in enumerate(self.model.initial) if form(each) == states[0]]
        if not first:
            return []
        numbers = first[:1]
        place = self.places(numbers)[-1]
        for state, label in zip(states[1:], labels[1:], strict=True):
            fitting = [
                number
                for number, (_, target) in enumerate(place.following)
                if form(target) == state
            ]
            if not fitting:
                return numbers
            actions = [place.following[number][0] for number in fitting]
            named = [
                number
                for number, action in zip(fitting, actions, strict=True)
                if label in (action, str(action), label_of(action))
            ]
            numbers.append((named or fitting)[0])
            place = self._step(place, numbers[-1])
        return numbers

    def _step(self, place: Place, number: int) -> Place:
        """The place after an action.  Raises `IndexError` if there is no such action."""
        following = place.next.get(number)
        if following is None:
            if number < 0:
                raise IndexError(number)
            action, state = place.following[number]
            following = place.next[number] = Place(self.model, state, action)
            self._count += 1
        return following

    def closes(self, numbers: Sequence[int], loop: int) -> bool:
        """Whether a path ends in the state at `loop`, so that the steps from there can repeat."""
        places = self.places(numbers)
        return 0 <= loop < len(places) and bool(places[loop].state == places[-1].state)

    def random_walk(self, numbers: Sequence[int], steps: int, seed: int) -> list[int]:
        """The path, longer by at most `steps` random steps.

        It ends where nothing is enabled, outside `within`, and where a property is violated.
        """
        chance = random.Random(seed)
        numbers = list(numbers)
        place = self.places(numbers)[-1]
        for _ in range(min(steps, STEPS_MAX + 1 - len(numbers))):
            if not place.following or self.judge.is_outside(place.state):
                break
            numbers.append(chance.randrange(len(place.following)))
            before, place = place, self._step(place, numbers[-1])
            if self.judge.violated(place.state) or self.judge.violated_by_step(
                before.state, place.action, place.state
            ):
                break
        return numbers


def processes_of(slots: Sequence[str]) -> tuple[str, ...]:
    """The slots that are ends of channels, which are slots named ``one->other``."""
    names = set(slots)
    ends = {end for slot in slots for end in slot.split("->") if "->" in slot}
    return tuple(slot for slot in slots if slot in ends & names)


def digest_of(state: Any) -> str:
    """The digest of a state: canonical, or of its text where it has no canonical form."""
    try:
        return digest(state)
    except (ModelError, RecursionError):
        text = text_of(state, _TEXT_OF_DIGEST).encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=16).hexdigest()
