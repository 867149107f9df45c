"""The claims of one policy as formulas over fixed names, said of other names by substitution.

Building a formula in Python is far slower than having the solver's library rename the parts of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import z3

from coherence.messages import (
    Check,
    Data,
    FwdGetM,
    FwdGetS,
    GetM,
    GetS,
    Inv,
    InvAck,
    Leave,
    Message,
    Nack,
    Permission,
    PutAck,
    PutE,
    PutM,
    PutS,
    Update,
)
from specs.symbolic.claims import Claims
from specs.symbolic.engine import Execution
from specs.symbolic.invariants import Claim
from specs.symbolic.proving import Renaming, together
from specs.symbolic.standins import REASONS
from specs.symbolic.values import Number, term
from specs.symbolic.views import HomeView, cache_at, home_before

#: Any address, and any version: what is proved of them is proved of all.
ANY = z3.Int("any_cache")
ANY_VERSION = z3.Int("any_version")
#: The cache that takes the step, or whose message home receives.
SRC = z3.Int("src")
#: The moment of the step, and the one of the step before.
NOW, THEN = z3.Reals("now then")


def messages_to_home(path: Execution | None) -> dict[str, Any]:
    """A message of each form that a cache sends, with arbitrary fields."""
    n = _fields(path)
    return {
        "GetS": GetS(n("serial"), n("have"), n("digest")),
        "GetM": GetM(n("serial"), n("have"), n("digest")),
        "PutM": PutM(n("serial"), n("base"), n("epoch"), n("content"), n("digest")),
        "PutM/number": PutM(n("serial"), n("base"), n("epoch"), n("content"), None),
        "Check": Check(n("serial"), n("base"), n("digest")),
        "Check/number": Check(n("serial"), n("base"), None),
        "PutE": PutE(n("serial"), n("epoch")),
        "PutS": PutS(n("serial")),
        "Leave": Leave(n("serial")),
        "InvAck": InvAck(n("version")),
    }


def messages_to_cache(path: Execution | None) -> dict[str, Any]:
    """A message of each form that home sends, with arbitrary fields."""
    n = _fields(path)
    found: dict[str, Any] = {}
    for grant in Permission:
        whole = Data(n("serial"), n("version"), grant, n("epoch"), n("base"), n("content"))
        found[f"Data/{grant}"] = whole
        unchanged = Data(n("serial"), n("version"), grant, n("epoch"), n("base"), None)
        found[f"Data/{grant}/unchanged"] = unchanged
    for grant in (Permission.S, Permission.E):
        found[f"PutAck/{grant}"] = PutAck(n("serial"), n("version"), grant)
    for reason in REASONS[1:]:
        assert reason is not None
        found[f"Nack/{reason}"] = Nack(n("serial"), reason, n("version"))
    for ack in (False, True):
        found[f"Inv/{'ack' if ack else 'no-ack'}"] = Inv(n("stale"), ack)
    found["Update"] = Update(n("version"), n("base"), n("content"))
    found["Update/pointer"] = Update(n("version"), n("base"), None)
    found["FwdGetS"], found["FwdGetM"] = FwdGetS(), FwdGetM()
    return found


def _fields(path: Execution | None) -> Any:
    made: Any = Number
    return lambda name: made(path, z3.Int(f"message_{name}"))


def form_of(message: Message) -> str:
    """The name of a message's form, in the two functions above."""
    kind = type(message).__name__
    match message:
        case PutM(digest=None) | Check(digest=None):
            return f"{kind}/number"
        case Data(grant=grant, content=content):
            return f"{kind}/{grant}" + "/unchanged" * (content is None)
        case PutAck(grant=grant):
            return f"{kind}/{grant}"
        case Nack(reason=reason):
            return f"{kind}/{reason}"
        case Inv(ack=ack):
            return f"{kind}/{'ack' if ack else 'no-ack'}"
        case Update(content=None):
            return f"{kind}/pointer"
    return kind


class Templates:
    """What is claimed of home, of any cache and of any message, before a step."""

    def __init__(self, claims: Claims, h: HomeView) -> None:
        c = cache_at(ANY)
        every = [*claims.of_home(h, ANY, ANY_VERSION), *claims.of_cache(ANY, c, h, THEN)]
        self.claims = [(name, z3.And(parts)) for name, parts in together(every).items()]
        self._all = z3.And([claim for _, claim in self.claims])
        self._h = h
        self._to_home = {
            form: claims.to_home(ANY, c, h, THEN, message)
            for form, message in messages_to_home(None).items()
        }
        self._to_cache = {
            form: claims.to_cache(ANY, c, h, THEN, message, ANY_VERSION)
            for form, message in messages_to_cache(None).items()
        }
        self._of: dict[str, list[Any]] = {}

    def of(self, name: Any) -> list[Any]:
        """Every claim, of the address `name`, for the versions that matter."""
        if str(name) not in self._of:
            self._of[str(name)] = [Renaming((ANY, name))(self._all)]
        return self._of[str(name)]

    def of_version(self, version: Any) -> list[Any]:
        """Every claim, of the version `version`."""
        return [Renaming((ANY_VERSION, version))(self._all)]

    def received(self, form: str, other: Any) -> Any:
        """What is claimed of a message of that form, sent to or by `other`, with any fields."""
        return Renaming((ANY, other))({**self._to_home, **self._to_cache}[form])

    def sent(self, message: Any, other: Any, after: Renaming) -> Any:
        """What is claimed of `message`, sent to or by `other`, after a step."""
        claim = {**self._to_home, **self._to_cache}[form_of(message)]
        return Renaming((ANY, other), *_values(message), *after.changes)(claim)

    def in_flight(self) -> Iterator[Claim]:
        """What is claimed of any message in transit."""
        for form, claim in {**self._to_home, **self._to_cache}.items():
            if not z3.is_true(claim):
                yield f"lemma: {form.partition('/')[0]} in flight", claim


def _values(message: Any) -> list[tuple[Any, Any]]:
    found = []
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, int) and not isinstance(value, bool):
            found.append((z3.Int(f"message_{name}"), term(value)))
    return found


def changed(before: Any, after: Any) -> list[tuple[Any, Any]]:
    """The terms of a view that a step has changed, each with its new value."""
    pairs = ((getattr(before, f.name), getattr(after, f.name)) for f in fields(before))
    return [(old, new) for old, new in pairs if not old.eq(new)]


def _small() -> Any:
    """Every number of home, of any cache and of a message has one digit."""
    views = (home_before(), cache_at(ANY))
    terms = [getattr(view, field.name) for view in views for field in fields(view)]
    terms += [z3.Int(f"message_{name}") for name in ("serial", "version", "base", "epoch", "have")]
    numbers = [of for of in terms if z3.is_int(of)]
    return z3.And([z3.And(of >= -1, of <= 9) for of in numbers])


#: Preferred in counterexamples, for the reader.
SMALL = _small()
