"""A recorded run: what was done and sent in it, as a workload and as it was.

What an agent used without asking is not in a recording.  A version that no agent is seen to publish
is of a writer outside the team.  Texts are not in a recording either: a difference that the run did
not send is drawn from the model of `coherence.simulate.experiments.edits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from coherence.simulate.experiments.billing import Bill, Prompting
from coherence.simulate.experiments.edits import EditedContents, Span, drawn
from coherence.simulate.experiments.play import Costs
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.workload import OUTSIDE, Access, Turn, Workload


class RecordedPrompt(NamedTuple):
    """A prompt of the recorded run."""

    agent: int
    tokens: int
    is_cut: bool
    #: Whether the model only asked in its answer.
    is_trip: bool
    #: Tokens about artifacts that it was given since its last prompt.
    given: int
    #: The edits that it published in its answer: a recording has the texts' sizes only.
    written: int


class Run(NamedTuple):
    """A recorded run."""

    name: str
    workload: Workload
    #: Tokens about artifacts that reached an agent.
    transferred: int
    #: Empty for a recording of a workspace, which sees no prompts.
    prompts: list[RecordedPrompt]
    #: The names of the artifacts.
    artifacts: list[str]

    def prompting(self, otherwise: Prompting) -> Prompting:
        """How the recorded prompts begin and grow; `otherwise`, as far as that is not known."""
        first: dict[int, int] = {}
        last: dict[int, RecordedPrompt] = {}
        grown = 0
        for prompt in self.prompts:
            before = last.get(prompt.agent)
            if before is None:
                first[prompt.agent] = prompt.tokens - prompt.given
            elif not prompt.is_cut:
                grown += prompt.tokens - before.tokens - prompt.given - before.written
            last[prompt.agent] = prompt
        calls = sum(not prompt.is_trip for prompt in self.prompts) - len(first)
        if calls < 1:
            return otherwise
        each = max(1, grown // calls)
        output = min(otherwise.output_tokens, each // 2)
        begin = max(0, min(first.values()) - (each - output))
        return replace(
            otherwise, system_tokens=begin, new_tokens=each - output, output_tokens=output
        )

    def costs(self, prices: PriceModel, prompting: Prompting) -> Costs | None:
        """What the run has cost as it was, or None if its prompts are not known."""
        if not self.prompts:
            return None
        bills = [Bill(prices, prompting) for _ in range(self.workload.agents)]
        for prompt in self.prompts:
            bill = bills[prompt.agent]
            if prompt.is_cut or prompt.tokens < bill.history_tokens:
                bill.rewrite(min(prompt.tokens, prompting.system_tokens), prompt.tokens)
            else:
                bill.append(prompt.tokens - bill.history_tokens)
            bill.send(prompting.ask_tokens if prompt.is_trip else prompting.output_tokens)
            bill.cost += prices.output * prompt.written
        return Costs(
            transferred_tokens=self.transferred,
            prompt_tokens=sum(bill.prompt_tokens for bill in bills),
            cached_tokens=sum(bill.cached_tokens for bill in bills),
            bill=sum(bill.cost for bill in bills),
            trips=sum(prompt.is_trip for prompt in self.prompts),
            is_linear=all(bill.above_minimum and bill.in_one_tier for bill in bills),
        )


class RunBuilder:
    """Follows a run, event by event, and makes a `Run` of it."""

    def __init__(self, name: str, seed: int) -> None:
        self._name, self._seed = name, seed
        self._agents: dict[str, _Agent] = {}
        self._numbers: dict[str, int] = {}
        # Of each artifact: its versions, in their order, and their sizes.
        self._versions: list[list[int]] = []
        self._sizes: list[list[int]] = []
        self._created: set[int] = set()
        self._differences: dict[tuple[int, int, int], int] = {}
        self._made: _RunContents | None = None
        self._turns: list[Turn] = []
        self._prompts: list[tuple[RecordedPrompt, list[tuple[int, int]]]] = []

    def call(self, agent: str, tokens: int, *, is_cut: bool = False) -> None:
        """The model of an agent is called."""
        caller = self._agent(agent)
        self._end(caller)
        caller.call = _Call(tokens, is_cut, caller.given)
        caller.given = 0
        caller.is_cut = caller.is_cut or is_cut

    def give(self, agent: str, tokens: int) -> None:
        """An agent is told something about artifacts."""
        self._agent(agent).given += tokens

    def read(self, agent: str, artifact: str, version: int, size_tokens: int) -> None:
        """An agent asks for an artifact, and gets that version."""
        reader, number = self._agent(agent), self._number(artifact, version, size_tokens, False)
        self.learn(agent, artifact, version, size_tokens)
        if reader.call is None:
            reader.reads[number] = None
            self._turn(reader, ())
        else:
            reader.call.asked[number] = None

    def learn(
        self,
        agent: str,
        artifact: str,
        version: int,
        size_tokens: int,
        difference_tokens: int | None = None,
    ) -> None:
        """An agent is shown that version, perhaps as a difference from what it had."""
        reader, number = self._agent(agent), self._number(artifact, version, size_tokens, False)
        is_new = version > self._versions[number][-1]
        self._settle(number, is_new=is_new)
        if is_new:
            self._add(number, version, size_tokens)
            self._turns.append(Turn(len(self._turns), OUTSIDE, ((number, True),), False))
        at = self._at(number, version)
        base = reader.has.get(number)
        if at is not None:
            if difference_tokens is not None and base is not None and base < at:
                self._differences[number, base, at] = difference_tokens
            reader.has[number] = at

    def publish(self, agent: str, artifact: str, version: int, size_tokens: int) -> None:
        """An agent publishes that version."""
        writer, number = self._agent(agent), self._number(artifact, version, size_tokens, True)
        is_new = version > self._versions[number][-1]
        self._settle(number, is_new=is_new, by=writer)
        if not is_new:
            return
        self._add(number, version, size_tokens)
        writer.has[number] = len(self._versions[number]) - 1
        if writer.call is None:
            self._turn(writer, (number,))
        else:
            writer.call.written.append((number, writer.has[number]))
            writer.call.writes.append(number)

    def run(self, transferred: int) -> Run | None:
        """The run, or None if no agent did anything."""
        for agent in self._agents.values():
            self._end(agent)
            if agent.reads:
                self._turn(agent, ())
        if not any(turn.agent != OUTSIDE for turn in self._turns):
            return None
        contents = self._contents()
        agents, artifacts = len(self._agents), len(self._sizes)
        created = frozenset(self._created)
        workload = Workload(agents, artifacts, contents, self._turns, created)
        prompts = [
            prompt._replace(
                written=sum(
                    contents.edit(number, at + (number not in self._created))
                    for number, at in written
                )
            )
            for prompt, written in self._prompts
        ]
        return Run(self._name, workload, transferred, prompts, list(self._numbers))

    def size(self, artifact: str, base: int, version: int) -> int:
        """The tokens of a version, as a difference from `base` if that is not 0."""
        number = self._numbers.get(artifact)
        at = None if number is None else self._at(number, version)
        if number is None or at is None:
            return 0
        begin = self._at(number, base) if base else None
        if begin is None:
            return self._sizes[number][at]
        first = number not in self._created
        return self._contents().difference(number, begin + first, at + first)

    def _contents(self) -> _RunContents:
        if self._made is None:
            made = _RunContents(self._sizes, self._created, self._differences, self._seed)
            self._made = made
        return self._made

    def _agent(self, name: str) -> _Agent:
        return self._agents.setdefault(name, _Agent(len(self._agents)))

    def _number(self, artifact: str, version: int, size_tokens: int, is_write: bool) -> int:
        """The number of an artifact, which begins with the first version that is seen."""
        if artifact not in self._numbers:
            number = self._numbers[artifact] = len(self._versions)
            # A first version that is published creates; a later one has one of its size before it.
            is_new = is_write and version <= 1
            self._versions.append([version - 1 if is_write else version])
            self._sizes.append([0 if is_new else size_tokens])
            if is_new:
                self._created.add(number)
        return self._numbers[artifact]

    def _add(self, number: int, version: int, size_tokens: int) -> None:
        self._versions[number].append(version)
        self._sizes[number].append(size_tokens)
        self._made = None

    def _at(self, number: int, version: int) -> int | None:
        versions = self._versions[number]
        return versions.index(version) if version in versions else None

    def _settle(self, number: int, *, is_new: bool, by: _Agent | None = None) -> None:
        """Make the turns that published an artifact, and before a new version those that use it."""
        for agent in self._agents.values():
            call = agent.call
            if call is None:
                continue
            uses = is_new and agent is not by and number in agent.reads
            uses = uses and not call.has_turn and not call.asked
            if uses or number in call.writes:
                self._turn(agent, call.writes)
                call.writes = []
                call.has_turn = True

    def _end(self, agent: _Agent) -> None:
        """End the call of an agent."""
        call = agent.call
        if call is None:
            return
        is_trip = bool(call.asked) and not call.writes and not call.has_turn
        if not is_trip and (call.writes or not call.has_turn):
            self._turn(agent, call.writes)
        prompt = RecordedPrompt(agent.number, call.tokens, call.is_cut, is_trip, call.given, 0)
        self._prompts.append((prompt, call.written))
        agent.call = None
        agent.reads.update(call.asked)

    def _turn(self, agent: _Agent, writes: Sequence[int]) -> None:
        reads: list[Access] = [(number, False) for number in agent.reads if number not in writes]
        accesses = (*reads, *((number, True) for number in writes))
        is_cut = agent.is_cut and agent.has_begun
        self._turns.append(Turn(len(self._turns), agent.number, accesses, is_cut))
        agent.reads.clear()
        agent.is_cut, agent.has_begun = False, True


class _Call:
    """A call of a model, and what it did in its answer."""

    def __init__(self, tokens: int, is_cut: bool, given: int) -> None:
        self.tokens, self.is_cut, self.given = tokens, is_cut, given
        self.has_turn = False
        self.written: list[tuple[int, int]] = []
        #: What it asked for is used in the next call.
        self.asked: dict[int, None] = {}
        self.writes: list[int] = []


class _Agent:
    """An agent so far."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.call: _Call | None = None
        #: What it uses in its next turn.
        self.reads: dict[int, None] = {}
        #: The place of the version that it has of each artifact.
        self.has: dict[int, int] = {}
        self.given = 0
        self.is_cut = self.has_begun = False


class _RunContents:
    """Sizes as they were recorded, and differences where the run sent them."""

    def __init__(
        self,
        sizes: Sequence[Sequence[int]],
        created: set[int],
        differences: dict[tuple[int, int, int], int],
        seed: int,
    ) -> None:
        self._sizes, self._known = sizes, differences
        self._first = [int(number not in created) for number in range(len(sizes))]
        largest = [max(1, *versions) for versions in sizes]
        self._drawn = EditedContents(
            largest,
            [
                self._spans(number, size, len(sizes[number]) - 1, Random(f"{seed}/edits/{number}"))
                for number, size in enumerate(largest)
            ],
        )

    def text(self, artifact: int, version: int) -> int:
        return self._sizes[artifact][version - self._first[artifact]]

    def edit(self, artifact: int, version: int) -> int:
        if version == 1:
            return self.text(artifact, 1)
        return self.difference(artifact, version - 1, version)

    def difference(self, artifact: int, base: int, version: int) -> int:
        if base == version:
            return 0
        begin, end = base - self._first[artifact], version - self._first[artifact]
        tokens = self._known.get((artifact, begin, end))
        if tokens is None:
            tokens = self._drawn.difference(artifact, begin + 1, end + 1)
        return min(tokens, self.text(artifact, version))

    def _spans(self, number: int, size: int, count: int, rng: Random) -> list[Span]:
        """Edits of one artifact: drawn, and as large as the run says where it does."""
        spans = drawn(size, count, rng)
        for at, span in enumerate(spans):
            tokens = self._known.get((number, at, at + 1))
            if tokens is not None:
                length = min(size, max(1, tokens // 2))
                first = min(span.interval[0], size - length)
                spans[at] = Span((first, first + length), tokens)
        return spans
