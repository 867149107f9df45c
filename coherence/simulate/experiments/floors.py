"""References: what a run would cost if all accesses were known.

Every reference is the cost above the same run without texts of artifacts and without trips, which
is what `play.bare` returns.  None of them serves a version that is not current.

* The **floor** is the least over all schedules of texts and differences that are kept in the
  history, or shown once behind it, and never rewrite the history.  It needs no trip: what a call
  uses can be put into that call.  So artifacts and agents do not interact, and the least cost is
  found for each agent, artifact and context by dynamic programming over the newest version kept.
* The **append-only floor** is the same without showing once: the least for a framework that can
  only append.
* The **offline choice** takes for each episode, from one access to the next, the cheaper of telling
  at every change and one signal followed by a trip (Karlin, Manasse, Rudolph and Sleator,
  Algorithmica 3, 1988: update or invalidate).  A first access is a trip.  Trips are priced at the
  prompt without artifacts, so it is a lower bound of that choice.
* The **floor of transferred tokens** gives each agent what an access needs, when it needs it.

The floors are exact if differences are monotone and subadditive, as those of `edits` are, and if
the price of a token does not depend on the length of the prompt.  A strategy that rewrites the
history, as a slot in the prefix does, is outside the floor and may cost less.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.edits import Contents
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.workload import OUTSIDE, Turn, Workload
from coherence.tokens import SIGNAL_TOKENS


class References(msgspec.Struct, frozen=True):
    """The references of one run, over all agents; all but the first are in input tokens."""

    transferred_tokens: int
    floor: float
    append_only: float
    offline: float


class _Use(NamedTuple):
    """One access, in the run of one context of one agent."""

    call: int
    is_write: bool
    version: int


class _Context(NamedTuple):
    """The calls of an agent from one cut to the next."""

    #: Where each call is in the order of all calls.
    positions: list[int]
    #: The price of a token that stays in the history from that call on.
    kept: list[float]
    #: The price of asking for one artifact before each call; one trip asks for all.
    asking: list[float]
    #: The accesses of each artifact.
    uses: dict[int, list[_Use]]


def references(workload: Workload, prices: PriceModel, prompting: Prompting) -> References:
    """Compute the references of a run, under one price model."""
    contents, header = workload.contents, prompting.header_tokens
    turns_of: list[list[tuple[int, Turn]]] = [[] for _ in range(workload.agents)]
    versions: list[list[int]] = [[] for _ in workload.turns]
    # writes[artifact][v] is where version v + 1 was made; -1 if it was there at first.
    writes: list[list[int]] = [[-1] * first for first in workload.first_versions()]
    for position, turn in enumerate(workload.turns):
        if turn.agent != OUTSIDE:
            turns_of[turn.agent].append((position, turn))
        for artifact, is_write in turn.accesses:
            versions[position].append(len(writes[artifact]))
            if is_write:
                writes[artifact].append(position)
    transferred, floor, append_only, offline = 0, 0.0, 0.0, 0.0
    for turns in turns_of:
        for context in _contexts(turns, versions, contents, prices, prompting):
            for artifact, uses in context.uses.items():
                message = _Messages(contents, header, artifact)
                transferred += _transferred(uses, message)
                floor += _least(uses, message, context.kept, prices.shown_once)
                append_only += _least(uses, message, context.kept, None)
                offline += _chosen(uses, message, context, writes[artifact])
    return References(transferred, floor, append_only, offline)


class _Messages:
    """The tokens of messages about one artifact."""

    __slots__ = ("_artifact", "_contents", "_header")

    def __init__(self, contents: Contents, header_tokens: int, artifact: int) -> None:
        self._contents, self._header, self._artifact = contents, header_tokens, artifact

    def __call__(self, base: int, version: int) -> int:
        """The cheapest message with `version` for a holder of `base`, 0 for a holder of none."""
        whole = self._contents.text(self._artifact, version)
        if base:
            whole = min(whole, self._contents.difference(self._artifact, base, version))
        return whole + self._header


def _contexts(
    turns: Sequence[tuple[int, Turn]],
    versions: Sequence[Sequence[int]],
    contents: Contents,
    prices: PriceModel,
    prompting: Prompting,
) -> Iterable[_Context]:
    """Cut an agent's calls into contexts, with the prices in each."""
    begins = [i for i, (_, turn) in enumerate(turns) if turn.is_cut or i == 0]
    for begin, end in pairwise([*begins, len(turns)]):
        length = prompting.system_tokens + (prompting.summary_tokens if begin else 0)
        lengths: list[int] = []
        uses: dict[int, list[_Use]] = {}
        for call, (position, turn) in enumerate(turns[begin:end]):
            length += prompting.new_tokens
            lengths.append(length)
            length += prompting.output_tokens
            for (artifact, is_write), version in zip(
                turn.accesses, versions[position], strict=True
            ):
                uses.setdefault(artifact, []).append(_Use(call, is_write, version))
                length += contents.edit(artifact, version + 1) if is_write else 0
        kept = _kept([turn.step for _, turn in turns[begin:end]], prices, prompting)
        asking = [
            prices.cached * length / max(1, len(turn.accesses))
            + (prices.output + price) * prompting.ask_tokens
            for length, price, (_, turn) in zip(lengths, kept, turns[begin:end], strict=True)
        ]
        positions = [position for position, _ in turns[begin:end]]
        yield _Context(positions, kept, asking, uses)


def _kept(steps: Sequence[int], prices: PriceModel, prompting: Prompting) -> list[float]:
    """The price of a token that is kept from each call on: a write, then a read in each later call.

    A call after the cache's lifetime writes the prefix again.
    """
    kept = [prices.write] * len(steps)
    later = 0.0
    for call in range(len(steps) - 1, -1, -1):
        kept[call] += later
        expired = (
            call > 0
            and prices.lifetime_s is not None
            and (steps[call] - steps[call - 1]) * prompting.step_s > prices.lifetime_s
        )
        later += prices.write if expired else prices.cached
    return kept


def _transferred(uses: Sequence[_Use], message: _Messages) -> int:
    tokens = base = 0
    for _, is_write, version in uses:
        if base != version:
            tokens += message(base, version)
        base = version + is_write
    return tokens


def _least(
    uses: Sequence[_Use], message: _Messages, kept: Sequence[float], once: float | None
) -> float:
    """The least cost of one artifact in one context; `once` is the price of showing once.

    `states` are the newest versions kept, in their order, each with the least cost so far.  A newer
    one that costs no more makes the older ones useless, since its messages are never larger.
    """
    states: list[tuple[int, float]] = [(0, 0.0)]
    for call, is_write, version in uses:
        later: list[tuple[int, float]] = []
        best = float("inf")
        for base, cost in states:
            if base == version:
                best = min(best, cost)
                continue
            tokens = message(base, version)
            best = min(best, cost + tokens * kept[call])
            if once is not None:
                later.append((base, cost + tokens * once))
        newest = version + is_write  # the agent's own edit is in the history, and so is its base
        states = _useful([*later, (newest, best)])
    return min(cost for _, cost in states)


def _useful(states: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    kept: list[tuple[int, float]] = []
    for base, cost in reversed(states):
        if not kept or cost < kept[-1][1]:
            kept.append((base, cost))
    kept.reverse()
    return kept


def _chosen(
    uses: Sequence[_Use], message: _Messages, context: _Context, writes: Sequence[int]
) -> float:
    """The offline choice for one artifact in one context."""
    first = uses[0]
    cost = 0.0
    if first.version:  # else this access creates the artifact
        cost = context.asking[first.call] + message(0, first.version) * context.kept[first.call]
    for last, use in pairwise(uses):
        base = last.version + last.is_write
        if base != use.version:
            cost += _episode(base, last.call, use, message, context, writes)
    last = uses[-1]
    base = last.version + last.is_write
    if len(writes) > base:  # a later write made the version after `base`
        told = bisect_left(context.positions, writes[base] + 1, last.call + 1)
        if told < len(context.positions):
            cost += SIGNAL_TOKENS * context.kept[told]
    return cost


def _episode(
    base: int,
    last: int,
    use: _Use,
    message: _Messages,
    context: _Context,
    writes: Sequence[int],
) -> float:
    """The cheaper choice between two accesses, at the calls `last` and ``use.call``."""
    positions, kept = context.positions, context.kept
    call = bisect_left(positions, writes[base] + 1, last + 1)
    asking = (
        SIGNAL_TOKENS * kept[call]
        + context.asking[use.call]
        + message(base, use.version) * kept[use.call]
    )
    telling, told = 0.0, base
    while call <= use.call and telling < asking:
        version = bisect_left(writes, positions[call], told)
        if version != told:
            telling += message(told, version) * kept[call]
            told = version
        call += 1
    return min(telling, asking)
