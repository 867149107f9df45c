"""Counterexamples in words: the values that a model gives to states, events and commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import z3

from coherence.states import CacheAt, HomeAt
from message_passing.process import Receive, Send
from specs.symbolic.standins import SendToEach
from specs.symbolic.values import Number, Truth
from specs.symbolic.views import HomeView

_NAMES = {"owner", "writer"}
_LISTS = {"sharers", "unacked", "waiting", "judged", "told"}
_HIDDEN = {"waiting_have", "waiting_digest", "places", "end", "judged_version"}


class Names:
    """A letter for each address of a model, in order of appearance."""

    def __init__(self, model: z3.ModelRef) -> None:
        self._model = model
        self._letters: dict[int, str] = {}

    def value(self, of: Any) -> Any:
        """The model's value of a term, as a number or a truth value."""
        found = self._model.eval(of, model_completion=True)
        if z3.is_int_value(found):
            return found.as_long()
        if z3.is_true(found) or z3.is_false(found):
            return z3.is_true(found)
        return found

    def of(self, address: Any) -> str:
        """The letter of an address; nothing for no address."""
        number = self.value(address)
        if number == 0:
            return "-"
        return self._letters.setdefault(number, chr(ord("a") + len(self._letters) % 26))

    def message(self, value: Any) -> str:
        """An event, a command or a message with the model's values in its fields."""
        kind = type(value).__name__
        if isinstance(value, Number | Truth):
            return str(self.value(value.term))
        if isinstance(value, Receive):
            return f"{self.message(value.message)} from {self._place(value.src)}"
        if isinstance(value, Send):
            return f"send {self._place(value.dst)} {self.message(value.message)}"
        if isinstance(value, SendToEach):
            return f"send each of the others {self.message(value.message)}"
        names = getattr(value, "__struct_fields__", None)
        if names is None:
            return str(value)
        inside = ", ".join(f"{name}={self.message(getattr(value, name))}" for name in names)
        return f"{kind}({inside})"

    def _place(self, address: Any) -> str:
        return self.of(address.term) if isinstance(address, Number) else str(address)


def shown(model: Any, names: Names, view: Any, people: Sequence[Any]) -> Iterator[str]:
    """The fields of a view."""
    letters = {names.of(person): person for person in people}
    letters.pop("-", None)
    states = list(HomeAt if isinstance(view, HomeView) else CacheAt)
    for field in fields(view):
        name, of = field.name, getattr(view, field.name)
        if name in _HIDDEN or name == "judged_reason":
            continue
        if name == "at":
            code = names.value(of)
            yield f"{name}={states[code] if 0 <= code < len(states) else code}"
        elif name in _NAMES:
            yield f"{name}={names.of(of)}"
        elif name in _LISTS:
            entries = {k: names.value(z3.Select(of, person)) for k, person in letters.items()}
            listed = " ".join(f"{k}:{serial}" for k, serial in entries.items() if serial >= 0)
            yield f"{name}={{{listed}}}"
        else:
            yield f"{name}={names.value(of)}"
