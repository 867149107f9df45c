"""The bill of one agent's model: every prompt, the cached part of its prefix, and the output.

A prompt is the history, which only grows until it is cut, and a tail that is shown once.  What the
history has gained since the last prompt is written to the cache, the rest is read from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from coherence.simulate.experiments.prices import PriceModel


@dataclass(frozen=True, kw_only=True)
class Prompting:
    """How a harness builds prompts: the tokens that do not depend on the strategy's texts."""

    #: The prompt's fixed beginning: instructions and tools.
    system_tokens: int = 1_500
    #: What each call adds by itself: a task, a message, the answer of another tool.
    new_tokens: int = 200
    #: What the model puts out in each call, without the artifacts that it writes.
    output_tokens: int = 100
    #: What remains of the history when it is cut.
    summary_tokens: int = 500
    #: Around each text or difference of an artifact.
    header_tokens: int = 15
    #: What the model puts out to ask for one artifact.
    ask_tokens: int = 60
    #: The adapters' notice, and its line for each artifact.
    notice_tokens: int = 20
    notice_line_tokens: int = 25
    #: How long a step lasts.  At 0 no cached prefix ever expires.
    step_s: float = 0.0
    #: Whether the harness marks where the history ends.  Without, a provider that caches at
    #: breakpoints marks the prompt's end, and what stands before a tail is not found again.
    marks: bool = True


class Bill:
    """What one agent's prompts have cost, in input tokens.

    `above_minimum` and `in_one_tier` become false where a price depends on the length of a prompt:
    the references are exact only while it does not.
    """

    __slots__ = (
        "_blocks",
        "_cached",
        "_fresh",
        "_prices",
        "_prompting",
        "_step",
        "above_minimum",
        "cached_tokens",
        "cost",
        "in_one_tier",
        "prompt_tokens",
    )

    def __init__(self, prices: PriceModel, prompting: Prompting) -> None:
        self._prices, self._prompting = prices, prompting
        self._cached = 0
        self._fresh = prompting.system_tokens
        self._blocks = 1
        self._step: int | None = None
        self.cost = 0.0
        self.prompt_tokens = 0
        #: How much of all prompts was found in the cache.
        self.cached_tokens = 0
        self.above_minimum = self.in_one_tier = True

    @property
    def history_tokens(self) -> int:
        """The length of the next prompt, without a tail."""
        return self._cached + self._fresh

    def append(self, tokens: int) -> None:
        """Add one block to the history."""
        self._fresh += tokens
        self._blocks += 1

    def cut(self) -> None:
        """Replace the history behind the system prompt by a summary."""
        prompting = self._prompting
        kept, made = prompting.system_tokens, prompting.summary_tokens
        self.rewrite(kept, kept + made)

    def rewrite(self, same_tokens: int, history_tokens: int) -> None:
        """Replace the history, of which the first `same_tokens` stay as they are."""
        self._cached = self._found(min(self._cached, same_tokens))
        self._fresh = history_tokens - self._cached
        self._blocks = 1

    def pass_time(self, step: int) -> None:
        """Begin a call in `step`: an unused prefix has expired if its lifetime is over."""
        lifetime, last = self._prices.lifetime_s, self._step
        self._step = step
        if lifetime is None or last is None:
            return
        if (step - last) * self._prompting.step_s > lifetime:
            self._fresh += self._cached
            self._cached = 0

    def send(self, output_tokens: int, tail_tokens: int = 0) -> None:
        """Bill one prompt, and append the model's output to the history."""
        prices = self._prices
        history = self._cached + self._fresh
        length = history + tail_tokens
        self.prompt_tokens += length
        if history < prices.minimum_tokens:
            self.above_minimum = False
            cost = prices.input * length
        elif prices.match == "steps":
            self.cached_tokens += self._cached
            cost = prices.cached * self._cached + prices.write * (self._fresh + tail_tokens)
            self._advance(self._found(history))
        else:
            cost = self._marked(history, tail_tokens)
        cost += prices.output * output_tokens
        if prices.above_tokens is not None and length > prices.above_tokens:
            self.in_one_tier = False
            cost *= prices.above_factor
        self.cost += cost
        self._fresh += output_tokens
        self._blocks += 1

    def _marked(self, history_tokens: int, tail_tokens: int) -> float:
        """Bill the prompt where a prefix is found at marks alone."""
        prices, marks = self._prices, self._prompting.marks
        # With two marks a harness sets one where the last prompt had its own, however far back.
        if self._blocks > prices.look_back_blocks and not (marks and prices.breakpoints > 1):
            self._fresh += self._cached
            self._cached = 0
        self.cached_tokens += self._cached
        found = prices.cached * self._cached
        if marks or not tail_tokens:
            cost = found + prices.write * self._fresh + prices.input * tail_tokens
            self._advance(history_tokens)
            return cost
        return found + prices.write * (self._fresh + tail_tokens)

    def _advance(self, cached: int) -> None:
        self._fresh += self._cached - cached
        self._cached = cached
        self._blocks = 0

    def _found(self, same_tokens: int) -> int:
        """How much of an equal prefix the cache gives back."""
        prices = self._prices
        if same_tokens < prices.minimum_tokens:
            return 0
        return same_tokens - same_tokens % prices.step_tokens
