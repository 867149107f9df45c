"""Plays one strategy over a workload, and counts what it costs.

Three numbers, always together: tokens about artifacts that were transferred, tokens of all prompts,
and the priced cost.  Everything that an agent is told was sent before its call: a step's messages
are never late.  See `engine` for how stale readers are when they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from coherence.simulate.experiments.billing import Bill, Prompting
from coherence.simulate.experiments.conversation import Conversation
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import Strategy
from coherence.simulate.experiments.workload import OUTSIDE, Access, Workload


class Costs(msgspec.Struct, frozen=True):
    """What one run has cost, over all agents."""

    transferred_tokens: int
    prompt_tokens: int
    #: Those of them that were found in the cache.
    cached_tokens: int
    #: The whole bill, in input tokens.
    bill: float
    #: Calls that were made only to ask.
    trips: int
    #: Whether every prompt could be cached and had the price of one tier.
    is_linear: bool


def play(workload: Workload, strategy: Strategy, prices: PriceModel, prompting: Prompting) -> Costs:
    """Run the workload.

    Raises the `Defect`s of `Conversation` if the strategy tells an agent something false.
    """
    if not strategy.marks:
        prompting = replace(prompting, marks=False)
    contents = workload.contents
    created, edit, output_tokens = workload.created, contents.edit, prompting.output_tokens
    current = workload.first_versions()
    talks = [Conversation(contents, current, prices, prompting) for _ in range(workload.agents)]
    speakers = [strategy.speaker(talk) for talk in talks]
    for step, agent, accesses, is_cut in workload.turns:
        if agent == OUTSIDE:
            _change(current, accesses)
            continue
        talk, speaker = talks[agent], speakers[agent]
        if is_cut:
            talk.cut()
            speaker.cut()
        talk.begin(step)
        known = accesses
        if created:
            known = tuple(access for access in accesses if current[access[0]])
        speaker.before(known)
        speaker.access(known)
        if len(known) < len(accesses):
            talk.create([artifact for artifact, _ in accesses if not current[artifact]])
        output = output_tokens
        for artifact, is_write in accesses:
            talk.use(artifact)
            if is_write:
                output += edit(artifact, current[artifact] + 1)
        talk.send(output)
        for artifact, is_write in accesses:
            if is_write:
                talk.wrote(artifact, current[artifact])
                current[artifact] += 1
        speaker.after(accesses)
    return _total([talk.bill for talk in talks], talks)


def bare(workload: Workload, prices: PriceModel, prompting: Prompting) -> Costs:
    """The same run without texts of artifacts and without trips: what no strategy can save."""
    edit = workload.contents.edit
    current = workload.first_versions()
    bills = [Bill(prices, prompting) for _ in range(workload.agents)]
    for step, agent, accesses, is_cut in workload.turns:
        if agent == OUTSIDE:
            _change(current, accesses)
            continue
        bill = bills[agent]
        if is_cut:
            bill.cut()
        bill.pass_time(step)
        bill.append(prompting.new_tokens)
        output = prompting.output_tokens
        for artifact, is_write in accesses:
            if is_write:
                current[artifact] += 1
                output += edit(artifact, current[artifact])
        bill.send(output)
    return _total(bills, ())


def _change(current: list[int], accesses: Sequence[Access]) -> None:
    for artifact, is_write in accesses:
        current[artifact] += is_write


def _total(bills: list[Bill], talks: list[Conversation] | tuple[()]) -> Costs:
    return Costs(
        transferred_tokens=sum(talk.transferred for talk in talks),
        prompt_tokens=sum(bill.prompt_tokens for bill in bills),
        cached_tokens=sum(bill.cached_tokens for bill in bills),
        bill=sum(bill.cost for bill in bills),
        trips=sum(talk.trips for talk in talks),
        is_linear=all(bill.above_minimum and bill.in_one_tier for bill in bills),
    )
