"""The references: against exhaustive search of whole prompts, and worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from itertools import product
from random import Random

import pytest

from coherence.simulate import catalogue
from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Bill, Prompting
from coherence.simulate.experiments.floors import References, references
from coherence.simulate.experiments.play import bare, play
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.experiments.workload import OUTSIDE, Workload, of_scenario
from coherence.tokens import SIGNAL_TOKENS

SHIPPED = prices.shipped()
PRICES = SHIPPED["claude-opus-5"]
LINEAR = [model for model in SHIPPED.values() if model.step_tokens == 1 and not model.above_tokens]
#: Longer than every minimum.
LONG = 4_200


class Search:
    """Every schedule of messages of one agent, with whole prompts, billed by `Bill`.

    At each call each artifact may be left out, or its current version be kept or shown once, whole
    or as a difference from any version in the history; what the call uses may also be asked for.
    """

    def __init__(
        self, workload: Workload, agent: int, model: PriceModel, prompting: Prompting, once: bool
    ) -> None:
        self.workload, self.prompting, self.once = workload, prompting, once
        self.least, self.ends = float("inf"), 0
        self.turns = []
        current = [1] * workload.artifacts
        for turn in workload.turns:
            if turn.agent == agent:
                self.turns.append((turn, tuple(current)))
            for artifact, is_write in turn.accesses:
                current[artifact] += is_write
        self._go(0, Bill(model, prompting), [frozenset()] * workload.artifacts)

    def _go(self, call: int, bill: Bill, held: list[frozenset[int]]) -> None:
        if bill.cost >= self.least:
            return
        if call == len(self.turns):
            self.ends += 1
            self.least = bill.cost
            return
        turn, current = self.turns[call]
        if turn.is_cut:
            bill.cut()
            held = [frozenset()] * len(held)
        bill.pass_time(turn.step)
        bill.append(self.prompting.new_tokens)
        used = {artifact for artifact, _ in turn.accesses}
        options = [self._options(a, v, held[a], a in used) for a, v in enumerate(current)]
        for chosen in product(*options):
            self._call(call, copy(bill), held, chosen)

    def _options(
        self, artifact: int, version: int, held: frozenset[int], used: bool
    ) -> list[tuple[str, int]]:
        if version in held:
            return [("none", 0)]
        contents, header = self.workload.contents, self.prompting.header_tokens
        sizes = {contents.text(artifact, version) + header}
        sizes |= {contents.difference(artifact, base, version) + header for base in held}
        ways = ["keep", *(["once"] if self.once else []), *(["trip"] if used else [])]
        none = [] if used else [("none", 0)]
        return none + [(way, size) for way in ways for size in sorted(sizes)]

    def _call(
        self, call: int, bill: Bill, held: list[frozenset[int]], chosen: tuple[tuple[str, int], ...]
    ) -> None:
        turn, current = self.turns[call]
        sums = dict.fromkeys(("none", "keep", "once", "trip"), 0)
        for way, size in chosen:
            sums[way] += size
        if sums["keep"]:
            bill.append(sums["keep"])
        if trips := [way for way, _ in chosen].count("trip"):
            bill.send(self.prompting.ask_tokens * trips, sums["once"])
            bill.append(sums["trip"])
        output = self.prompting.output_tokens
        after = [
            have | {version} if way in ("keep", "trip") else have
            for have, version, (way, _) in zip(held, current, chosen, strict=True)
        ]
        for artifact, is_write in turn.accesses:
            if is_write:
                output += self.workload.contents.edit(artifact, current[artifact] + 1)
                if current[artifact] in after[artifact]:
                    after[artifact] |= {current[artifact] + 1}
        bill.send(output, sums["once"])
        self._go(call + 1, bill, after)


def instance(make_workload: Callable[..., Workload], seed: int):
    rng = Random(seed)
    artifacts = rng.choice([1, 1, 2])
    steps = rng.choice([3, 4, 5] if artifacts == 1 else [3, 4])
    sizes = [rng.choice([40, 200, 1_000]) for _ in range(artifacts)]
    actions, edits = [], [[] for _ in sizes]
    for step in range(steps):
        for agent in range(2):
            for artifact in range(artifacts):
                if rng.random() < (0.9 if artifacts == 1 else 0.6):
                    is_write = rng.random() < 0.5
                    actions.append((step, agent, artifact, is_write))
                    if is_write:
                        first = rng.randrange(sizes[artifact])
                        edits[artifact].append((first, rng.randint(first + 1, sizes[artifact])))
    cuts = [rng.random() < 0.15 for _ in actions]
    prompting = Prompting(
        system_tokens=LONG,
        new_tokens=rng.choice([10, 200]),
        output_tokens=rng.choice([0, 100]),
        header_tokens=rng.choice([0, 15]),
        step_s=rng.choice([0, 200, 4_000]),
    )
    return make_workload(actions, sizes, edits, cuts=cuts), rng.choice(LINEAR), prompting


def compare(make_workload: Callable[..., Workload], seeds: range) -> int:
    """Compare both floors with the search; return how many schedules were followed to their end."""
    ends = 0
    for seed in seeds:
        workload, model, prompting = instance(make_workload, seed)
        nothing = bare(workload, model, prompting)
        assert nothing.is_linear
        found = references(workload, model, prompting)
        for once, floor in ((True, found.floor), (False, found.append_only)):
            least = 0.0
            for agent in range(2):
                search = Search(workload, agent, model, prompting, once)
                least += search.least
                ends += search.ends
            assert floor == pytest.approx(least - nothing.bill, rel=1e-9, abs=1e-6), seed
    return ends


@pytest.mark.slow
def test_the_floors_are_the_least_of_all_schedules(make_workload):
    assert compare(make_workload, range(100)) > 300


@pytest.mark.slow
def test_the_floors_are_the_least_of_all_schedules_of_a_thousand_runs(make_workload):
    assert compare(make_workload, range(100, 1_100)) > 3_000


READ, WRITE = False, True


def test_the_references_worked_by_hand(make_workload):
    """Agent 0 reads, is told or asks after each of two writes by agent 1, and reads again."""
    actions = [(0, 0, 0, READ), (1, 1, 0, WRITE), (2, 0, 1, READ), (3, 1, 0, WRITE)]
    actions += [(4, 0, 1, READ), (5, 0, 0, READ)]
    workload = make_workload(actions, (1_000, 85), [[(0, 100), (0, 100)], []])
    found = references(workload, PRICES, Prompting())
    read, write = PRICES.cached, PRICES.write
    # Agent 0 makes four calls, in steps 0, 2, 4 and 5; agent 1 two, in steps 1 and 3.
    whole, other, difference = 1_015, 100, 215
    assert found.transferred_tokens == whole + other + difference + whole
    # Kept from call 0, or shown in both calls that use it; with a second difference if it was kept.
    least = min(whole * (write + 3 * read) + difference * min(1, write), 2 * whole)
    # The other text, in calls 1 and 2; agent 1's text, in its two calls: its edits are its own.
    least += min(other * (write + 2 * read), 2 * other)
    least += min(whole * (write + read), 2 * whole)
    assert found.floor == pytest.approx(least)
    kept = whole * (write + 3 * read) + difference * write
    kept += other * (write + 2 * read) + whole * (write + read)
    assert found.append_only == pytest.approx(kept)
    told = difference * (write + 2 * read) + difference * (write + read)
    first = {0: 1_500 + 200, 2: 1_500 + 300 + 200, 5: 1_500 + 900 + 200}
    ask = 60

    def trip(length: int, later: int) -> float:
        return read * length + PRICES.output * ask + ask * (write + later * read)

    asked = SIGNAL_TOKENS * (write + 2 * read) + trip(first[5], 0) + difference * write
    offline = trip(first[0], 3) + whole * (write + 3 * read) + min(told, asked)
    offline += trip(first[2], 2) + other * (write + 2 * read)
    offline += trip(1_700, 1) + whole * (write + read)
    assert found.offline == pytest.approx(offline)


def test_an_open_episode_is_a_signal(make_workload):
    """The text changes after the only access; the agent's next call is the third of four."""
    actions = [(0, 0, 0, READ), (1, 0, 1, READ), (1, OUTSIDE, 0, WRITE), (2, 0, 1, READ)]
    actions += [(2, OUTSIDE, 0, WRITE), (3, 0, 1, READ)]
    workload = make_workload(actions, (1_000, 85), [[(0, 100), (0, 100)], []], agents=1)
    quiet = make_workload([a for a in actions if a[1] == 0], (1_000, 85), [[], []], agents=1)
    found, without = (references(w, PRICES, Prompting()).offline for w in (workload, quiet))
    assert found - without == pytest.approx(SIGNAL_TOKENS * PRICES.kept(1))


def test_an_empty_run_costs_nothing(make_workload):
    empty = make_workload([], (10,), [[]])
    assert references(empty, PRICES, Prompting()) == References(0, 0.0, 0.0, 0.0)
    assert bare(empty, PRICES, Prompting()).bill == 0


def test_a_slot_in_the_prefix_can_undercut_the_floor(make_workload):
    """One text that is rewritten whole every tenth step, and next to nothing else in the prompts.

    A schedule that only appends keeps all versions; one that replaces pays for each once.
    """
    rng = Random(1)
    actions, writes = [], 0
    for step in range(600):
        if rng.random() < 0.9:
            actions.append((step, 0, 0, READ))
        if rng.random() < 0.1:
            writes += 1
            actions.append((step, OUTSIDE, 0, WRITE))
    workload = make_workload(actions, (4_000,), [[(0, 4_000)] * writes], agents=1)
    prompting = Prompting(new_tokens=5, output_tokens=5)
    floor = references(workload, PRICES, prompting).floor
    nothing = bare(workload, PRICES, prompting).bill
    slot = play(workload, STRATEGIES["slot_prefix"], PRICES, prompting).bill - nothing
    assert slot < 0.4 * floor


def test_the_offline_choice_is_not_below_the_append_only_floor():
    for name in ("planning", "write-heavy"):
        workload = of_scenario(catalogue.find(name), 3)
        found = references(workload, PRICES, Prompting())
        assert found.floor <= found.append_only <= found.offline
