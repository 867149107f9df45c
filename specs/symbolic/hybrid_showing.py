"""Counterexamples of the hybrid's proof in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from message_passing.process import Deliver, Invoke, Receive, Respond, Send
from specs.symbolic.hybrid_claims import ANY
from specs.symbolic.hybrid_views import ME, ProcessView, carried, dst
from specs.symbolic.showing import Names
from specs.symbolic.values import term


class Telling:
    """The values that a model gives to one step."""

    def __init__(
        self, model: Any, own: Sequence[Any], kept: Sequence[Any], peers: Sequence[Any]
    ) -> None:
        self._value = Names(model).value
        self._fields = Names(model)
        self._letters: dict[int, str] = {}
        self._own, self._kept, self._peers = own, kept, peers
        self.of(ME)

    def of(self, process: Any) -> str:
        """A letter for a process; the one that takes the step is a."""
        count = len(self._letters)
        letter = chr(ord("a") + count % 26)
        return self._letters.setdefault(self._value(term(process)), letter)

    def lines(self, event: Any, before: ProcessView, commands: Iterable[Any]) -> Iterator[str]:
        """The step."""
        yield f"event at a: {self._event(event)}"
        yield "a before: " + "; ".join(self._state(before))
        for command in commands:
            if type(command) is Deliver:
                what = f"deliver {self._fields.message(command.message.id)}"
                yield f"command: {what} of {self.of(command.src)}"
            elif type(command) is Send:
                message = self._fields.message(command.message)
                yield f"command: send {self.of(command.dst)} {message}"
            elif type(command) is not Respond:
                yield f"command: {command}"
        yield "of history: " + "; ".join(self._history(before))

    def _event(self, event: Any) -> str:
        if type(event) is Receive:
            return f"{self._fields.message(event.message)} from {self.of(event.src)}"
        if type(event) is Invoke:
            return f"the application sends to {self.of(event.request.dst)}"
        return str(event)

    def _state(self, s: ProcessView) -> Iterator[str]:
        value, own = self._value, s.own
        numbers = {"next": s.next, "waiting": s.waiting, "ahead": s.ahead}
        yield ", ".join(f"{name} {value(of)}" for name, of in numbers.items())
        for id in sorted({value(key) for key in self._own}):
            if value(own.has(id)):
                flags = [f for f in ("sent", "secret", "acked") if value(own.of(f, id))]
                to, bound = self.of(own.of("party", id)), value(own.of("need", id)) - 1
                yield f"own {id} to {to} after secret {bound} {' '.join(flags)}".strip()
        for n in sorted({value(key) for key in self._kept}):
            if value(s.kept.has(n)):
                owner = self.of(s.kept.of("party", n))
                yield f"secret {n} is {value(s.kept.of('id', n))} of {owner}"
        for peer in sorted({value(peer) for peer in self._peers} - {value(ME)}):
            counts = {name: value(s.links.of(name, peer)) for name in s.links.counts}
            listed = " ".join(f"{name} {count}" for name, count in counts.items() if count)
            if peer in self._letters and listed:
                yield f"link with {self._letters[peer]}: {listed}"

    def _history(self, s: ProcessView) -> Iterator[str]:
        value, w, j = self._value, ANY.w, ANY.j
        for name, sender, id in (("i", ME, ANY.i), ("k", ME, ANY.k), ("x", w, j)):
            if value(id) < 1:
                continue
            where = "delivered" if value(s.delivered(sender, id)) else "not delivered"
            to = self.of(dst(sender, id))
            yield f"{name} is message {value(id)} of {self.of(sender)} to {to}, {where} before"
        if value(s.knows(w, j)):
            yield "a knows of x before"
        if value(carried(ME, ANY.i, w, j)):
            yield "x precedes i"
