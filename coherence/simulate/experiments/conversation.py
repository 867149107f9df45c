"""One agent's conversation: which versions its context contains, and what its prompts cost.

A conversation is the truth that strategies are held to, in every run.  A difference is refused if
its base is not in the context, "unchanged" if the version is not, and a call may not use a version
that is not the current one.  Each refusal is a `Defect` of the strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coherence.simulate.experiments.billing import Bill, Prompting
from coherence.simulate.experiments.edits import Contents
from coherence.simulate.experiments.prices import PriceModel
from coherence.tokens import STUB_TOKENS
from message_passing.errors import Defect


class FalseUnchanged(Defect):
    """A strategy told an agent that a text is unchanged which the context does not contain."""


class FalseBase(Defect):
    """A strategy sent a difference from a version that the context does not contain."""


class StaleUse(Defect):
    """A call used an artifact without its current version in the context."""


class Conversation:
    """The context of one agent, and its bill.

    `current` is the current version of each artifact; the run that plays the conversation changes
    it.  `held` is the newest version of each artifact that the history contains whole, as a text or
    as a text and differences; strategies read it and do not change it.
    """

    __slots__ = (
        "_header",
        "_remark",
        "_seen",
        "_tail",
        "bill",
        "contents",
        "current",
        "held",
        "prices",
        "prompting",
        "prompts",
        "transferred",
        "trips",
    )

    def __init__(
        self,
        contents: Contents,
        current: Sequence[int],
        prices: PriceModel,
        prompting: Prompting,
    ) -> None:
        self.contents, self.current = contents, current
        self.prices, self.prompting = prices, prompting
        self.bill = Bill(prices, prompting)
        self.held: dict[int, int] = {}
        #: Tokens about artifacts that reached the agent.
        self.transferred = 0
        #: Calls that were made only to ask for artifacts.
        self.trips = 0
        #: Prompts since the context was cut, that of the call under way included.
        self.prompts = 0
        self._header = prompting.header_tokens
        self._seen: dict[int, int] = {}
        self._tail = 0
        self._remark = 0

    # What a call does, for the run.

    def begin(self, step: int) -> None:
        """Begin a call: the prompt gains what every call adds."""
        self.prompts += 1
        self.bill.pass_time(step)
        self.bill.append(self.prompting.new_tokens)

    def cut(self) -> None:
        """Lose the history, and with it every version that it contained."""
        self.held.clear()
        self.prompts = 0
        self.bill.cut()

    def use(self, artifact: int) -> None:
        """Use the current version.  Raises `StaleUse`."""
        version = self.current[artifact]
        if self.held.get(artifact) != version and self._seen.get(artifact) != version:
            raise StaleUse(f"artifact {artifact}: version {version} is not in the context")

    def create(self, artifacts: Sequence[int]) -> None:
        """Begin to write artifacts that do not exist, of which there is nothing to know."""
        self.held.update(dict.fromkeys(artifacts, 0))

    def send(self, output_tokens: int) -> None:
        """Make the call itself; what was shown once is gone after it."""
        self.bill.send(output_tokens, self._tail + self._remark)
        self._remark = 0
        if self._tail:
            self._seen.clear()
            self._tail = 0

    def wrote(self, artifact: int, base: int) -> None:
        """Note that the agent made a version from `base`: its history contains the edit."""
        if self.held.get(artifact) == base:
            self.held[artifact] = base + 1

    # What a strategy can say.

    def message(self, artifact: int, base: int | None, version: int) -> int:
        """The tokens of a message with `version`, whole or as a difference from `base`."""
        if base is None:
            return self.contents.text(artifact, version) + self._header
        whole = self.contents.text(artifact, version)
        return min(whole, self.contents.difference(artifact, base, version)) + self._header

    def keep(self, artifact: int, base: int | None = None, tokens: int | None = None) -> None:
        """Append the current version to the history, whole or from `base`.

        `tokens` are those of the message, where `message` has just counted them.
        """
        if base is not None and self.held.get(artifact) != base:
            raise FalseBase(f"artifact {artifact}: version {base} is not in the context")
        version = self.current[artifact]
        self.held[artifact] = version
        self.say(self.message(artifact, base, version) if tokens is None else tokens)

    def say(self, tokens: int) -> None:
        """Append words about artifacts to the history."""
        self.bill.append(tokens)
        self.transferred += tokens

    def unchanged(self, artifact: int) -> None:
        """Append the answer that the version in the context is the current one."""
        if self.held.get(artifact) != self.current[artifact]:
            raise FalseUnchanged(
                f"artifact {artifact}: version {self.current[artifact]} is not in the context"
            )
        self.say(STUB_TOKENS)

    def remark(self, tokens: int) -> None:
        """Show words about artifacts behind the history, in the prompts of this call.

        A second remark in one call replaces the first, and is not counted as transferred again.
        """
        if not self._remark:
            self.transferred += tokens
        self._remark = tokens

    def ask(self, artifacts: int) -> None:
        """Make a call in which the model asks for this many artifacts; answers come after it."""
        self.trips += 1
        self.prompts += 1
        self.bill.send(self.prompting.ask_tokens * artifacts, self._tail + self._remark)

    # The same for many artifacts at once.

    def keep_changes(self, differences: bool) -> None:
        """Append the current version of every artifact in the context that has a newer one."""
        held, current = self.held, self.current
        text, difference = self.contents.text, self.contents.difference
        tokens = messages = 0
        for artifact, base in held.items():
            version = current[artifact]
            if version != base:
                size = text(artifact, version)
                if differences:
                    size = min(size, difference(artifact, base, version))
                tokens += size
                messages += 1
                held[artifact] = version
        if messages:
            self.say(tokens + messages * self._header)

    def keep_every_version(self) -> None:
        """Append the text of every version that is newer than the one in the context."""
        held, current, text = self.held, self.current, self.contents.text
        tokens = messages = 0
        for artifact, base in held.items():
            version = current[artifact]
            if version != base:
                for made in range(base + 1, version + 1):
                    tokens += text(artifact, made)
                messages += version - base
                held[artifact] = version
        if messages:
            self.say(tokens + messages * self._header)

    def keep_everything(self) -> None:
        """Append the current text of every artifact, in the context or not."""
        current = self.current
        tokens = sum(map(self.contents.text, range(len(current)), current))
        self.held = dict(enumerate(current))
        self.say(tokens + len(current) * self._header)

    def show_whole(self, artifacts: Sequence[int]) -> None:
        """Show the current texts behind the history, for this call."""
        versions = list(map(self.current.__getitem__, artifacts))
        tokens = sum(map(self.contents.text, artifacts, versions)) + len(artifacts) * self._header
        self._seen = dict(zip(artifacts, versions, strict=True))
        self._tail += tokens
        self.transferred += tokens

    def rewrite(
        self, same_tokens: int, history_tokens: int, transferred: int, slots: Mapping[int, int]
    ) -> None:
        """Replace the history from `same_tokens` on; it contains these versions of `slots`."""
        self.bill.rewrite(same_tokens, history_tokens)
        self.held = dict(slots)
        self.transferred += transferred
