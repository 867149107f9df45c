"""The bill of a team's run: its prompts as they were sent, and what the model of `simulate` says.

`billed` prices every prompt by the longest prefix that a provider would find; `predicted` plays the
same accesses, over the same texts, by the strategy of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from framework_teams import Call, Run

from coherence.context.notices import NOTICE
from coherence.delta import diff
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.play import Costs, play
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import Access, Turn, Workload
from coherence.tokens import installed

#: The strategy of `coherence simulate compare` for each way, with a mark before what does not stay,
#: and without.
PREDICTED = {
    "notice": ("shipped", "shipped_unmarked"),
    "signal": ("lazy_delta", "lazy_delta"),
    "adaptive": ("adaptive", "adaptive"),
    "slot": ("slot_tail", "slot_tail"),
}

_count = installed().count


@lru_cache(maxsize=200_000)
def tokens(text: str) -> int:
    return _count(text)


class Billed(NamedTuple):
    """What the prompts of a run cost, in input tokens."""

    prompt_tokens: int
    #: Of them, those that the provider found in its cache.
    cached_tokens: int
    bill: float


def billed(run: Run, way: str, prices: PriceModel, *, marks: bool) -> Billed:
    """The bill of all agents.

    With `marks` the harness sets a mark before what does not stay, else only at the prompt's end.
    """
    parts = [_billed(calls, way, prices, marks) for calls in run.calls.values()]
    return Billed(
        sum(p.prompt_tokens for p in parts),
        sum(p.cached_tokens for p in parts),
        sum(p.bill for p in parts),
    )


def _billed(calls: Sequence[Call], way: str, prices: PriceModel, marks: bool) -> Billed:
    prompt_tokens = cached_tokens = 0
    bill = 0.0
    before: Sequence[str] = ()
    written: list[Sequence[str]] = []
    for call in calls:
        now = call.messages
        whole = sum(map(tokens, now))
        does_end_unkept = way in ("notice", "slot") and now[-1].startswith(NOTICE)
        marked = now[:-1] if marks and does_end_unkept else now
        end = sum(map(tokens, marked)) if marked is not now else whole
        if prices.match == "steps":
            found = common_tokens(before, now)
            found -= found % prices.step_tokens
            end = whole
        else:
            near = [
                w
                for w in written
                if len(marked) - len(w) <= prices.look_back_blocks and now[: len(w)] == w
            ]
            found = max((sum(map(tokens, w)) for w in near), default=0)
            written.append(marked)
        if found < prices.minimum_tokens:
            found = 0
        fresh = end - found
        rate = prices.write if end >= prices.minimum_tokens else prices.input
        bill += prices.cached * found + rate * fresh + prices.input * (whole - end)
        bill += prices.output * tokens(call.output)
        prompt_tokens += whole
        cached_tokens += found
        before = now
    return Billed(prompt_tokens, cached_tokens, bill)


def common_tokens(before: Sequence[str], now: Sequence[str]) -> int:
    """The tokens of the longest common prefix of two prompts."""
    same = 0
    for old, new in zip(before, now, strict=False):
        if old != new:
            shorter = min(len(old), len(new))
            equal = next((n for n in range(shorter) if old[n] != new[n]), shorter)
            return same + tokens(new[:equal])
        same += tokens(new)
    return same


class _Texts:
    """The sizes of the texts of a run, as `Contents`."""

    def __init__(self, versions: Sequence[Sequence[str]]) -> None:
        self._versions = versions

    def text(self, artifact: int, version: int) -> int:
        return tokens(self._versions[artifact][version - 1])

    def edit(self, artifact: int, version: int) -> int:
        return self.difference(artifact, version - 1, version)

    def difference(self, artifact: int, base: int, version: int) -> int:
        if base == version:
            return 0
        old, new = self._versions[artifact][base - 1], self._versions[artifact][version - 1]
        return min(tokens(_rendered(old, new)), tokens(new))


@lru_cache(maxsize=100_000)
def _rendered(old: str, new: str) -> str:
    return diff(old, new).render(old)


def predicted(
    run: Run, way: str, prices: PriceModel, *, marks: bool, all_seen: bool = True
) -> Costs:
    """What the model says of the same accesses and texts.

    The numbers of `Prompting` are means over the run.  Unless `all_seen`, an access is one that
    asked or wrote: those that an adapter can see.
    """
    every = [call for calls in run.calls.values() for call in calls]
    # The work between artifacts: what a call that has none adds, and puts out.
    work = [c for c in every if not c.is_trip]
    grown = [
        sum(map(tokens, b.messages)) - common_tokens(a.messages, b.messages)
        for calls in run.calls.values()
        for a, b in pairwise(calls)
        if not a.accesses and not a.is_trip
    ]
    edits = sum(w for call in every for _, w in call.accesses)
    prompting = Prompting(
        system_tokens=round(fmean(sum(map(tokens, c[0].messages)) for c in run.calls.values())),
        new_tokens=round(fmean(grown)) if grown else 200,
        output_tokens=round(_plain_output(work, edits)),
        header_tokens=40,
        notice_tokens=5,
    )
    turns = [
        Turn(place, agent, call.accesses, False)
        for place, (agent, call) in enumerate(_in_order(run))
        if not call.is_trip
    ]
    workload = Workload(len(run.calls), len(run.versions), _Texts(run.versions), turns)
    strategy = STRATEGIES[PREDICTED[way][not marks]]
    if way == "adaptive" and not all_seen:
        strategy = replace(strategy, speaker=_Seeing)
    return play(workload, strategy, prices, prompting)


class _Seeing(STRATEGIES["adaptive"].speaker):  # type: ignore[misc]
    """The rule with the accesses that an adapter sees: those that ask, and writes."""

    def after(self, accesses: Sequence[Access]) -> None:
        seen = [access for access in accesses if access[1] or access[0] in self.answers]
        super().after(seen)
        self.fresh.update(artifact for artifact, _ in accesses)


def _plain_output(work: Sequence[Call], edits: int) -> float:
    calls = [tokens(c.output) for c in work if not any(w for _, w in c.accesses)]
    return fmean(calls) if calls else 30.0


def _in_order(run: Run) -> list[tuple[int, Call]]:
    each = [(agent, call) for agent, calls in run.calls.items() for call in calls]
    return sorted(each, key=lambda pair: pair[1].turn)
