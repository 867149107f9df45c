"""What the next prompt of an agent says about artifacts that have changed, decided without a store.

=========  =======================================================  =======  ======================
on_change  what the prompt gains                                    stays    strategy of `simulate`
=========  =======================================================  =======  ======================
signal     once, that the agent's version is outdated               yes      ``lazy_delta``
notice     the same, in every prompt until the agent asks           no       ``shipped``
adaptive   the difference, until a round trip's worth was told in   yes      ``adaptive``
           vain; then one signal
slot       the current text, in every prompt until the agent reads  no       ``slot_tail``
=========  =======================================================  =======  ======================

What does not stay is taken out before the next prompt, so that prompt lacks what a provider has
cached behind it: see docs/framework-teams.md.

What is true is read in the conversation at every prompt: which versions it holds, and which signal
stands in it.  So a passage that was trimmed away is told again, or the agent asks.  An `Informer`
remembers only what `Telling` has spent, for the newest `CONVERSATIONS_MAX` conversations; one that
it does not know, or that has lost something, begins at nothing spent.

It sees an access where the agent calls a tool: one that uses what it was told, and neither writes
nor asks, counts as told in vain.  Then the rule falls silent early, and costs a round trip more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from coherence.context.evidence import passage, shown
from coherence.context.notices import Heard, heard, message
from coherence.context.telling import Rates, Saying, Telling
from coherence.errors import BadArgument
from coherence.refs import Ref
from coherence.view import View

OnChange: TypeAlias = Literal["signal", "notice", "adaptive", "slot"]

#: What an adapter does unless its builder chooses.
DEFAULT: Final[OnChange] = "adaptive"

#: List prices that most providers share.
LIST_RATES: Final = Rates()

CONVERSATIONS_MAX: Final = 1_000


class Prompt(NamedTuple):
    """A prompt that is about to be sent."""

    #: What distinguishes the conversation from others that the adapter serves.
    key: Hashable
    #: Artifact -> the newest version that the conversation names.
    shown: Mapping[str, Ref]
    #: Artifact -> the newest version that it holds whole.
    held: Mapping[str, Ref]
    #: What it says about artifacts, oldest first.
    heard: Sequence[Heard]
    #: Every text in it.
    texts: Sequence[str]


Ask: TypeAlias = tuple[str, Ref | None]
"""An artifact, and the version from which a difference is wanted; None for the whole text."""


class News(NamedTuple):
    """What a prompt gains."""

    #: The last message; empty if there is nothing to say.
    text: str = ""
    #: Whether it stays in the conversation.
    stays: bool = False
    #: The versions that it contains, and the passage of each.
    told: tuple[tuple[View, str], ...] = ()
    #: The lines that say that a version is outdated, with that version.
    signals: tuple[tuple[Ref, str], ...] = ()

    @property
    def seen(self) -> dict[str, Ref]:
        """Artifact -> the version that the model sees in this prompt, whether or not it stays."""
        return {view.ref.name: view.ref for view, _ in self.told}


class Informer:
    """Decides for the agents of one adapter, for all of their conversations.

    `tokens` counts those of a text.  For each prompt call `begin`, then `asks` and `news` if
    something has changed.  Raises `BadArgument`.
    """

    def __init__(self, tokens: Callable[[str], int], on_change: OnChange, rates: Rates) -> None:
        if on_change not in get_args(OnChange):
            ways = ", ".join(get_args(OnChange))
            raise BadArgument(f"on_change is {on_change!r}", remedy=f"one of {ways}")
        if not isinstance(rates, Rates):
            raise BadArgument(f"{rates!r} are not rates", remedy="Rates(cached=0.1, write=1.25)")
        self.tokens, self.on_change, self.rates = tokens, on_change, rates
        #: Whether what it says stays in the conversation.
        self.stays = on_change in ("signal", "adaptive")
        self._busy = Lock()
        self._spent: OrderedDict[Hashable, _Spent] = OrderedDict()

    def begin(self, prompt: Prompt) -> None:
        """Begin a prompt: notes what the agent has accessed since the one before."""
        if self.on_change == "adaptive":
            spent = self._of(prompt)
            spent.follow(prompt.heard, self.tokens)
            spent.telling.begin(sum(map(self.tokens, prompt.texts)))

    def asks(self, prompt: Prompt, outdated: Iterable[str]) -> list[Ask]:
        """What the decision about these artifacts needs to read."""
        if self.on_change == "slot":
            return [(name, None) for name in outdated]
        if self.on_change != "adaptive":
            return []
        telling, asked = self._of(prompt).telling, dict[Ask, None]()
        for name in _speakable(prompt, outdated):
            if (held := prompt.held.get(name)) is not None and not telling.is_silent(name):
                asked |= dict.fromkeys([(name, held), (name, telling.base(name, held))])
        return list(asked)

    def news(self, prompt: Prompt, outdated: Mapping[str, str], views: Mapping[Ask, View]) -> News:
        """What the prompt gains; `outdated` has the line of each artifact that has changed.

        `views` are answers to `asks`; what could not be read, is missing.
        """
        parts: list[str] = []
        told: list[tuple[View, str]] = []
        signals: list[tuple[Ref, str]] = []
        for name in _speakable(prompt, outdated) if self.stays else outdated:
            found = self._told(name, prompt, views)
            if found is not None:
                told.append(found)
                parts.append(found[1])
            else:
                signals.append((prompt.shown[name], outdated[name]))
                parts.append(outdated[name])
        text = message(parts)
        if self.on_change == "adaptive":
            self._of(prompt).heard += heard(text)
        return News(text, self.stays, tuple(told), tuple(signals))

    def _told(
        self, name: str, prompt: Prompt, views: Mapping[Ask, View]
    ) -> tuple[View, str] | None:
        """The version to tell, with its passage; None if there is only a signal."""
        if self.on_change == "slot":
            whole = views.get((name, None))
            return (whole, passage(whole.ref, whole.text)) if whole is not None else None
        held = prompt.held.get(name)
        view = views.get((name, held)) if held is not None else None
        if held is None or view is None:
            return None
        telling, text = self._of(prompt).telling, shown(view)
        since = views.get((name, telling.base(name, held)), view)
        step = self.tokens(text)
        whole_step = step if since is view else self.tokens(shown(since))
        said = telling.decide(name, held, step, whole_step)
        return (view, text) if said is Saying.CHANGE else None

    def _of(self, prompt: Prompt) -> _Spent:
        with self._busy:
            found = self._spent.pop(prompt.key, None) or _Spent(self.rates)
            self._spent[prompt.key] = found
            if len(self._spent) > CONVERSATIONS_MAX:
                self._spent.popitem(last=False)
            return found


class _Spent:
    """What the rule has spent in one conversation."""

    def __init__(self, rates: Rates) -> None:
        self.telling: Telling[str, Ref] = Telling(rates)
        #: What the conversation said about artifacts, the news of its last prompt included.
        self.heard: list[Heard] = []

    def follow(self, now: Sequence[Heard], tokens: Callable[[str], int]) -> None:
        """Count the accesses since the last prompt.

        A conversation that has lost something, or did not keep its news, begins at nothing spent.
        """
        before = len(self.heard)
        if self.heard != list(now[:before]):
            self.telling.forget()
        else:
            for ref, said, text in now[before:]:
                if said is Saying.NOTHING:
                    self.telling.accessed(ref.name, tokens(text))
        self.heard = list(now)


def _speakable(prompt: Prompt, outdated: Iterable[str]) -> list[str]:
    """Those of the artifacts about which no signal stands in the conversation.

    A signal stands until the agent is shown a newer version than the one that it names.
    """
    signals = {ref.name: ref for ref, said, _ in prompt.heard if said is Saying.SIGNAL}
    return [
        name
        for name in outdated
        if name not in signals or signals[name].version < prompt.shown[name].version
    ]
