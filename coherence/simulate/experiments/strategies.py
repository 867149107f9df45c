"""The ways to keep an agent informed, as values: each has a name, a summary and its hooks.

A `Speaker` keeps one agent informed.  Its hooks are called around each of the agent's calls, in
this order: `cut` if the context was lost, `before`, `access`, then the call itself, then `after`.
When `access` returns, every artifact that the call uses must be in the context, in its current
version; `Conversation` refuses the call otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from coherence.context.telling import Rates, Saying, Telling
from coherence.simulate.experiments.conversation import Conversation
from coherence.simulate.experiments.workload import Access
from coherence.tokens import SIGNAL_TOKENS


class Speaker:
    """Keeps one agent informed.  This base asks for every artifact at every access."""

    def __init__(self, conversation: Conversation) -> None:
        self.talk = conversation

    def cut(self) -> None:
        """The context was lost."""

    def before(self, accesses: Sequence[Access]) -> None:
        """Say what is said unasked.  Only a slot or a broadcast may look at `accesses`."""

    def access(self, accesses: Sequence[Access]) -> None:
        """Bring the current version of each artifact into the context, by one trip for all."""
        asked = [artifact for artifact, _ in accesses if self.asks(artifact)]
        if asked:
            self.talk.ask(len(asked))
            for artifact in asked:
                self.answer(artifact)

    def after(self, accesses: Sequence[Access]) -> None:
        """The call was made, and its writes have become versions."""

    def asks(self, artifact: int) -> bool:
        """Whether the model must ask for an artifact that it uses."""
        return True

    def answer(self, artifact: int) -> None:
        """Answer the model's question."""
        raise NotImplementedError


class _Refetch(Speaker):
    def answer(self, artifact: int) -> None:
        self.talk.keep(artifact)


class _Inject(Speaker):
    def access(self, accesses: Sequence[Access]) -> None:
        for artifact, _ in accesses:
            self.talk.keep(artifact)


class _ConditionalGet(Speaker):
    def answer(self, artifact: int) -> None:
        talk = self.talk
        if talk.held.get(artifact) == talk.current[artifact]:
            talk.unchanged(artifact)
        else:
            talk.keep(artifact, self.base(artifact))

    def base(self, artifact: int) -> int | None:
        """The version that a difference may build on."""
        return None


class _AskDelta(_ConditionalGet):
    def base(self, artifact: int) -> int | None:
        return self.talk.held.get(artifact)


class _Informed(Speaker):
    """Asks only if the context lacks the current version, of which something was said before."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        #: In the context, and current at the last look.
        self.fresh: set[int] = set()

    def cut(self) -> None:
        self.fresh.clear()

    def outdated(self) -> list[int]:
        """The artifacts of `fresh` that have changed; they are taken out of it."""
        current, held = self.talk.current, self.talk.held
        changed = [artifact for artifact in self.fresh if held[artifact] != current[artifact]]
        self.fresh.difference_update(changed)
        return changed

    def asks(self, artifact: int) -> bool:
        return self.talk.held.get(artifact) != self.talk.current[artifact]

    def after(self, accesses: Sequence[Access]) -> None:
        for artifact, _ in accesses:
            self.fresh.add(artifact)


class _Lazy(_Informed):
    def before(self, accesses: Sequence[Access]) -> None:
        for _ in self.outdated():
            self.talk.say(SIGNAL_TOKENS)

    def answer(self, artifact: int) -> None:
        self.talk.keep(artifact)


class _LazyDelta(_Lazy):
    def answer(self, artifact: int) -> None:
        self.talk.keep(artifact, self.talk.held.get(artifact))


class _Shipped(_Informed):
    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        self.stale: set[int] = set()

    def cut(self) -> None:
        super().cut()
        self.stale.clear()

    def before(self, accesses: Sequence[Access]) -> None:
        self.stale.update(self.outdated())
        self._notice()

    def access(self, accesses: Sequence[Access]) -> None:
        super().access(accesses)
        before = len(self.stale)
        self.stale.difference_update([artifact for artifact, _ in accesses])
        if len(self.stale) < before:
            self._notice()

    def answer(self, artifact: int) -> None:
        self.talk.keep(artifact, self.talk.held.get(artifact))

    def _notice(self) -> None:
        prompting, lines = self.talk.prompting, len(self.stale)
        tokens = prompting.notice_tokens + prompting.notice_line_tokens * lines if lines else 0
        self.talk.remark(tokens)


class _Push(Speaker):
    differences = False

    def before(self, accesses: Sequence[Access]) -> None:
        self.talk.keep_changes(self.differences)

    def asks(self, artifact: int) -> bool:
        return self.talk.held.get(artifact) != self.talk.current[artifact]

    def answer(self, artifact: int) -> None:
        self.talk.keep(artifact)


class _PushDelta(_Push):
    differences = True


class _Eager(_Push):
    def before(self, accesses: Sequence[Access]) -> None:
        self.talk.keep_every_version()


class _Broadcast(Speaker):
    def before(self, accesses: Sequence[Access]) -> None:
        self.talk.keep_everything()

    def asks(self, artifact: int) -> bool:
        return False


class _SlotTail(Speaker):
    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        self.slots: dict[int, None] = {}

    def access(self, accesses: Sequence[Access]) -> None:
        for artifact, _ in accesses:
            self.slots[artifact] = None
        self.talk.show_whole(list(self.slots))


class _SlotPrefix(Speaker):
    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        self.slots: dict[int, int] = {}
        #: Tokens of each slot, in their order.
        self.sizes: list[int] = []

    def cut(self) -> None:
        self._write(0)

    def access(self, accesses: Sequence[Access]) -> None:
        talk, slots = self.talk, self.slots
        now = list(map(talk.current.__getitem__, slots))
        if now != list(slots.values()):
            first = next(
                i for i, (a, b) in enumerate(zip(now, slots.values(), strict=True)) if a != b
            )
            self._write(first)
        for artifact, _ in accesses:
            if artifact not in slots:
                slots[artifact] = 0
                self._write(len(slots) - 1)

    def _write(self, first: int) -> None:
        """Replace the slots from the one at `first` on, as far as they have changed."""
        talk, slots, sizes = self.talk, self.slots, self.sizes
        history = talk.bill.history_tokens - (sum(sizes) if talk.held else 0)
        # Where a prefix is found at marks alone, two are used: for the system prompt, and for the
        # end of the history.
        marks = talk.prices.breakpoints
        intact = first if talk.prices.match == "steps" else min(first, max(0, marks - 2))
        same = talk.prompting.system_tokens + sum(sizes[:intact])
        transferred = 0
        del sizes[len(slots) :]
        for i, (artifact, version) in enumerate(slots.items()):
            current = talk.current[artifact]
            if i >= len(sizes):
                sizes.append(0)
            if version != current or not talk.held:
                sizes[i] = talk.message(artifact, None, current)
                transferred += sizes[i]
                slots[artifact] = current
        talk.rewrite(same, history + sum(sizes), transferred, slots)


class _Adaptive(_Informed):
    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        prices = conversation.prices
        self.telling: Telling[int, int] = Telling(
            Rates(
                cached=prices.cached,
                write=prices.write,
                output=prices.output,
                ask_tokens=conversation.prompting.ask_tokens,
                signal_tokens=SIGNAL_TOKENS,
            )
        )
        #: The answers of the call under way.
        self.answers: dict[int, int] = {}

    def cut(self) -> None:
        super().cut()
        self.telling.forget()

    def before(self, accesses: Sequence[Access]) -> None:
        talk, telling = self.talk, self.telling
        telling.begin(talk.bill.history_tokens)
        for artifact in self.outdated():
            held, version = talk.held[artifact], talk.current[artifact]
            base = telling.base(artifact, held)
            step = since = talk.message(artifact, held, version)
            if base != held:
                since = talk.message(artifact, base, version)
            if telling.decide(artifact, held, step, since) is Saying.CHANGE:
                talk.keep(artifact, held, step)
                self.fresh.add(artifact)
            else:
                talk.say(SIGNAL_TOKENS)

    def access(self, accesses: Sequence[Access]) -> None:
        trips = self.talk.trips
        super().access(accesses)
        if self.talk.trips > trips:
            self.telling.begin(self.talk.bill.history_tokens)

    def answer(self, artifact: int) -> None:
        talk = self.talk
        held = talk.held.get(artifact)
        self.answers[artifact] = talk.message(artifact, held, talk.current[artifact])
        talk.keep(artifact, held, self.answers[artifact])

    def after(self, accesses: Sequence[Access]) -> None:
        super().after(accesses)
        for artifact, _ in accesses:
            self.telling.accessed(artifact, self.answers.get(artifact, 0))
        self.answers.clear()


@dataclass(frozen=True)
class Strategy:
    """A way to keep agents informed."""

    name: str
    summary: str
    speaker: Callable[[Conversation], Speaker]
    #: The strategy of the engine whose readers are as stale; None if it asks at every access.
    stale_like: Literal["lazy", "eager", "broadcast"] | None = None
    #: Whether the harness marks where the history ends (`Prompting.marks`).
    marks: bool = True


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("broadcast", "every text in every prompt, kept", _Broadcast, "broadcast"),
        Strategy("refetch", "ask for the whole text at every access", _Refetch),
        Strategy("inject", "the whole text before every access, unasked, kept", _Inject),
        Strategy("conditional_get", "ask at every access: unchanged, or the text", _ConditionalGet),
        Strategy("slot_tail", "the texts used so far, behind the history, not kept", _SlotTail),
        Strategy("slot_prefix", "the texts used so far, replaced in place", _SlotPrefix),
        Strategy("eager", "the text of every version, kept", _Eager, "eager"),
        Strategy("push_on_change", "the newest text when it has changed, kept", _Push, "eager"),
        Strategy("lazy", "a signal, kept; the whole text when asked", _Lazy, "lazy"),
        Strategy("lazy_delta", "a signal, kept; the difference when asked", _LazyDelta, "lazy"),
        Strategy("ask_delta", "ask at every access: unchanged, or the difference", _AskDelta),
        Strategy("shipped", "a notice, not kept; the difference when asked", _Shipped, "lazy"),
        Strategy(
            "shipped_unmarked", "the same, by a harness that sets no mark", _Shipped, "lazy", False
        ),
        Strategy("push_delta", "the difference when it has changed, kept", _PushDelta, "eager"),
        Strategy("adaptive", "differences, until a trip's worth was in vain", _Adaptive, "eager"),
    )
}
"""Every strategy, by name."""
