"""What to say to an agent about each artifact that has changed, before its next prompt.

To *tell* puts the difference into the agent's next prompt, where it stays: wasted if the agent does
not use the artifact before it changes again.  To *signal* puts one line there, and costs a round
trip when the agent asks.  `Telling` decides between them, with three accounts.

**The limit of one artifact.**  Between two accesses let x_j be the price of change j as a message
from what the agent was told last, c_j as a message from what it had at its last access, b the price
of a round trip, s that of a signal, and the waste W_j = x_1 + ... + x_j - c_j.  The plain rule
tells while W_j <= b + s; then it signals once, and is silent until the agent asks.  This is
competitive snoopy caching (Karlin, Manasse, Rudolph and Sleator, Algorithmica 3, 1988) with
differences for blocks, and a ski rental: it costs at most twice the *offline choice*, the better of
"tell every change" and "signal once, then be asked".

**The budget of all artifacts.**  A limit for each artifact is too much where a hundred of them
change and few are used.  So the sum that was spent in a context stays below `SLACK` times the
cost of asking at every outdated access, plus `ALLOWANCE` limits: a change that does not fit is
signalled at once.  An artifact whose own telling has saved something may spend that beyond its
limit.

**The credit.**  Both departures from the plain rule may cost more than twice the offline choice: a
signal at once, if the agent asks at once, by at most b + s; a waste W above the limit, by at most
W - b - s.  Each is reserved from twice the offline choice so far, minus the cost so far, and is
given up if that is too small (as algorithms with predictions are made robust: Mahdian, Nazerzadeh
and Saberi, EC 2007).  First accesses, which every choice pays, are part of both costs.

So the rule costs at most twice the offline choice, plus b + 2 s and one text for each agent,
artifact and context; and at most `SLACK` times asking plus `ALLOWANCE` limits for each agent and
context, as long as the credit allows that.  Both assume that no message is dearer than two that
lead to the same version, that a longer span of versions never has a smaller one, and that prices
stay as they were at the decision.  The proof is in ``docs/experiments.md``.  No deterministic rule
has a factor below 2 (ski rental), and against a schedule that knows which call needs what, no rule
has any.  Nothing here knows a framework, a store or a clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields
from enum import Enum
from math import isfinite
from typing import Generic, TypeVar

from coherence.errors import BadArgument

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")

SLACK = 1.035
"""The budget of one context, in multiples of the cost of asking at every outdated access..."""
ALLOWANCE = 2.0
"""...plus this many limits."""


class Saying(Enum):
    """What the next prompt says about an artifact that has changed."""

    #: The difference from what the agent was told last.
    CHANGE = "change"
    #: That the agent's version is outdated.
    SIGNAL = "signal"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Prices of a token, in multiples of that of an input token, and the tokens of some words.

    The defaults are the list prices that most providers share.  Only ratios matter: if all prices
    double, no decision changes.  Raises `BadArgument`.
    """

    #: A token that was found in the prompt cache.
    cached: float = 0.10
    #: A token that enters the prompt cache.
    write: float = 1.25
    output: float = 5.0
    #: What a model puts out to ask for an artifact.
    ask_tokens: float = 60.0
    #: The line that says that a version is outdated.
    signal_tokens: float = 12.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, (int, float)) and isfinite(value) and value >= 0):
                raise BadArgument(f"{field.name}: {value!r} is not a finite number of at least 0")
        if not self.cached + self.write:
            raise BadArgument("cached and write: a token that is kept costs nothing")

    def limit(self, prompt_tokens: float, prompts: int) -> float:
        """A signal and a round trip, in tokens that enter the context now and stay in it.

        A round trip reads the prompt once more, and what is asked with is output first and history
        afterwards.  How often a token will be read again is not known: as often as there were
        `prompts` so far, those of round trips included.  (Without them, every trip would make the
        next one dearer and allow more to be told in vain.)
        """
        kept = self.write + self.cached * prompts
        trip = (self.cached * prompt_tokens + self.output * self.ask_tokens) / kept
        return self.signal_tokens + self.ask_tokens + trip


class _Episode(Generic[V]):
    """What was said about one artifact since the agent's last access."""

    __slots__ = ("base", "is_silent", "reserved", "since", "told")

    def __init__(self, base: V) -> None:
        self.base = base
        #: The sum of the differences that were told.
        self.told = 0.0
        #: One difference in their place.
        self.since = 0.0
        #: What the credit holds back for a departure from the plain rule.
        self.reserved = 0.0
        self.is_silent = False


class Telling(Generic[N, V]):
    """The decisions for one agent.

    For each prompt call `begin`, then `decide` for each artifact in the context that has changed;
    after an access call `accessed`; when the context is lost, `forget`.  Sizes are in tokens.
    """

    __slots__ = ("_credit", "_episodes", "_limit", "_margin", "_prompts", "_saved", "rates")

    def __init__(self, rates: Rates | None = None) -> None:
        self.rates = rates or Rates()
        self._episodes: dict[N, _Episode[V]] = {}
        #: What telling each artifact has saved of asking.
        self._saved: dict[N, float] = {}
        self._prompts = 0
        self._limit = 0.0
        #: `SLACK` times what asking would have cost, minus what was spent.
        self._margin = 0.0
        #: Twice the offline choice, minus what was spent and what is reserved.
        self._credit = 0.0

    def begin(self, prompt_tokens: float) -> None:
        """Begin a prompt of so many tokens: that of a call, or of the rest of one after a trip."""
        self._prompts += 1
        self._limit = self.rates.limit(prompt_tokens, self._prompts)

    def base(self, name: N, held: V) -> V:
        """The version that the agent had at its last access; `held` if nothing was told since."""
        episode = self._episodes.get(name)
        return held if episode is None else episode.base

    def is_silent(self, name: N) -> bool:
        """Whether nothing is said about the artifact until the agent asks."""
        episode = self._episodes.get(name)
        return episode is not None and episode.is_silent

    def decide(self, name: N, held: V, step: float, since: float) -> Saying:
        """Say what this prompt says about a change, and count it as said.

        `held` is what the agent was told last, `step` the message from it, and `since` the message
        from `base`.
        """
        episode = self._episodes.get(name)
        if episode is None:
            episode = self._episodes[name] = _Episode(held)
        elif episode.is_silent:
            return Saying.NOTHING
        waste = episode.told + step - since
        episode.since = since
        if not self._tells(name, episode, step, waste):
            episode.is_silent = True
            return Saying.SIGNAL
        episode.told += step
        self._margin -= step
        return Saying.CHANGE

    def _tells(self, name: N, episode: _Episode[V], step: float, waste: float) -> bool:
        limit = self._limit
        is_affordable = step <= self._margin + ALLOWANCE * limit
        beyond = waste - limit
        if beyond > 0:
            needed = beyond - episode.reserved
            if not is_affordable or beyond > self._saved.get(name, 0.0) or needed > self._credit:
                return False
        elif is_affordable or self._credit < limit:
            return True
        else:
            needed = limit
        self._credit -= needed
        episode.reserved += needed
        return beyond > 0

    def accessed(self, name: N, answer: float = 0.0) -> None:
        """The agent has used the artifact, and has its current version.

        `answer` is what it was sent when it asked; 0 if it did not have to ask.
        """
        paid = answer + self._limit if answer else 0.0
        episode = self._episodes.pop(name, None)
        if episode is None:
            if answer and name not in self._saved:
                self._saved[name] = 0.0
                self._margin += (SLACK - 1) * paid
                self._credit += paid
            return
        # The message from the base is at least as large as both, and the changes since the last
        # that was told, one by one, are at least as large as the answer.
        asked = max(episode.since, answer) + self._limit
        spent = episode.told + paid
        self._saved[name] = self._saved.get(name, 0.0) + asked - spent
        self._margin += SLACK * asked - paid
        self._credit += episode.reserved + 2 * min(episode.told + answer, asked) - spent

    def forget(self) -> None:
        """The agent has lost its context."""
        self._episodes.clear()
        self._saved.clear()
        self._prompts = 0
        self._margin = self._credit = 0.0
