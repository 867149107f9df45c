"""What to say to an agent about each artifact that has changed, before its next call.

To *tell* puts the difference into the agent's next prompt, where it stays: wasted if the agent does
not use the artifact before it changes again.  To *signal* puts one line there, and costs a round
trip when the agent asks.  The rule tells until what was told in vain since the agent's last access
exceeds one signal and one round trip; then it signals once, and is silent until the agent asks.

This is competitive snoopy caching (Karlin, Manasse, Rudolph and Sleator, Algorithmica 3, 1988) with
differences for blocks.  Between two accesses let x_j be the price of change j as a message from
what the agent was told last, c_j as a message from what it had at its last access, b the price of a
round trip and s that of a signal.  The waste is W_j = x_1 + ... + x_j - c_j.  If no message is
dearer than two that lead to the same version, and a longer span of versions never has a smaller
one, then the rule costs at most twice what the better of "tell every change" and "signal once, then
be asked" costs, plus b + 2 s and one text for each agent, artifact and context:

* not silent at the access: telling every change was the better choice, and the rule did so;
* silent since change j: W_j > b + s, so the better choice costs c_m + b + s at access m.  The rule
  paid x_1 + ... + x_{j-1} = c_{j-1} + W_{j-1} <= c_m + b + s, then s + b and an answer of at most
  c_m.

Prices are those at the decision, and a trip reads the rule's own prompt.  No deterministic rule has
a smaller factor (ski rental), and against a schedule that knows which call needs what, no rule has
any.  Nothing here knows a framework, a store or a clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")


class Saying(Enum):
    """What the next prompt says about an artifact that has changed."""

    #: The difference from what the agent was told last.
    CHANGE = "change"
    #: That the agent's version is outdated.
    SIGNAL = "signal"
    NOTHING = "nothing"


class Telling(Generic[N, V]):
    """The decisions for one agent, for as long as its context lives.

    All amounts of one call are in one unit: tokens that stay in the context, for instance.
    """

    __slots__ = ("_bases", "_silent", "_told")

    def __init__(self) -> None:
        self._bases: dict[N, V] = {}
        self._told: dict[N, float] = {}
        self._silent: set[N] = set()

    def base(self, name: N, held: V) -> V:
        """The version that the agent had at its last access; `held` if nothing was told since."""
        return self._bases.setdefault(name, held)

    def is_silent(self, name: N) -> bool:
        """Whether nothing is said about the artifact until the agent asks."""
        return name in self._silent

    def decide(self, name: N, step: float, since: float, limit: float) -> Saying:
        """Say what the next prompt says about a change, and count it as said.

        `step` is the message from what the agent was told last, `since` the message from `base`,
        and `limit` a signal and a round trip.
        """
        if name in self._silent:
            return Saying.NOTHING
        told = self._told.get(name, 0.0) + step
        if told - since <= limit:
            self._told[name] = told
            return Saying.CHANGE
        self._silent.add(name)
        return Saying.SIGNAL

    def accessed(self, name: N) -> None:
        """The agent has used the artifact, and has its current version."""
        self._bases.pop(name, None)
        self._told.pop(name, None)
        self._silent.discard(name)

    def forget(self) -> None:
        """The agent has lost its context."""
        self._bases.clear()
        self._told.clear()
        self._silent.clear()


def limit_tokens(
    *,
    cached: float,
    write: float,
    output: float,
    prompt_tokens: int,
    ask_tokens: int,
    signal_tokens: int,
    prompts: int,
) -> float:
    """A signal and a round trip, in tokens that enter the context now and stay in it.

    `cached`, `write` and `output` are prices of a token.  A round trip reads the prompt once more,
    and its `ask_tokens` are output first and history afterwards.  How often a token will be read
    again is not known: as often as there were `prompts` so far, those of round trips included.
    (Without them, every trip would make the next one dearer and allow more to be told in vain: a
    prompt of n calls would grow by a factor of ln n.)
    """
    kept = write + cached * prompts
    return signal_tokens + ask_tokens + (cached * prompt_tokens + output * ask_tokens) / kept
