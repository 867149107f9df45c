"""What goes wrong on purpose in one run: an agent dies or stalls, or the store's answer is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from coherence.errors import OutcomeUnknown
from coherence.stores.faulty import Faulty
from coherence.stores.port import Store
from coherence.testing.errors import Killed
from coherence.testing.scheduler import Actor
from coherence.testing.stage import Stage
from message_passing.process import Time

#: How much longer than a lease a stalled agent is away, in seconds.
BEYOND_S = 5.0
#: How long an agent stalls: longer than the lease of any grant by default.
STALL_S = 15.0 + BEYOND_S


#: The kinds of faults: before a move of an agent, at a moment of a store, and in a whole run.
AT_MOVES: Final = ("kill", "stall")
AT_MOMENTS: Final = ("kill within", "unknown outcome")
IN_RUNS: Final = ("late news",)


class Fault(NamedTuple):
    """One fault: before the `at`-th move of `agent`, at that moment of the store, or in all."""

    #: "kill", "stall", "kill within", "unknown outcome" or "late news".
    kind: str
    at: int
    agent: str = ""

    def __str__(self) -> str:
        if self.agent:
            return f"{self.kind} {self.agent} before its move {self.at}"
        if self.kind in IN_RUNS:
            return self.kind
        return f"{self.kind} at moment {self.at} of the store"


def faults_of(moves: Mapping[str, int], moments: int, kinds: Collection[str]) -> Iterator[Fault]:
    """Each single fault, for agents that made so many `moves` and a store of so many `moments`."""
    for kind in AT_MOVES:
        for agent, most in moves.items() if kind in kinds else ():
            yield from (Fault(kind, at, agent) for at in range(1, most + 1))
    yield from (Fault(kind, 0) for kind in IN_RUNS if kind in kinds)
    for kind in AT_MOMENTS:
        if kind in kinds:
            yield from (Fault(kind, at) for at in range(1, moments + 1))


class FailingTransactions(Faulty):
    """A store with a `moment` before and after each step of a transaction, and in no other call.

    Another call changes nothing, so it has no outcome to be unknown.
    """

    def __init__(self, store: Store, moment: Callable[[], None]) -> None:
        super().__init__(store)
        self._moment = moment

    def moment(self) -> None:
        """See `Faulty.moment`."""
        self._moment()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Striking:
    """Has one fault happen in a run, or none."""

    def __init__(self, stage: Stage, fault: Fault | None, *, counts: bool) -> None:
        self._stage, self._fault, self._counts = stage, fault, counts
        self._is_running = False
        #: How many moments the transactions of agents have had, in all stores.
        self.moments = 0
        stage.run.struck, stage.wrapped = self._struck, self._wrapped
        stage.news_is_late = fault is not None and fault.kind == "late news"

    def _wrapped(self, store: Store) -> Store:
        """`store`, which can fail if faults of stores are wanted."""
        return FailingTransactions(store, self._moment) if self._counts else store

    def begin(self) -> None:
        """Agents run from now on."""
        self._is_running = True

    def end(self) -> None:
        """The program goes on alone."""
        self._is_running = False

    def _moment(self) -> None:
        """A store can fail here."""
        fault = self._fault
        if not self._is_running:
            return
        if fault is not None and fault.kind == "kill within" and self._stage.me() is None:
            return  # such as a renewal, which no agent makes
        self.moments += 1
        if fault is not None and not fault.agent and fault.at == self.moments:
            raise self._strike()

    def _strike(self) -> BaseException:
        """What the store raises."""
        actor = self._stage.me()
        if actor is None or self._fault is None or self._fault.kind != "kill within":
            return OutcomeUnknown("the answer of the store was lost, on purpose")
        self._stage.run.later(actor, f"the process of {actor.name} dies within its transaction")
        self._stage.kill(actor)
        return Killed()

    def _struck(self, actor: Actor) -> Time | None:
        fault, run = self._fault, self._stage.run
        if fault is None or (fault.agent, fault.at) != (actor.name, actor.moves):
            return None
        if fault.kind == "kill":
            run.later(actor, f"the process of {actor.name} dies")
            self._stage.kill(actor)
            return None
        run.later(actor, f"{actor.name} stalls for {STALL_S:g} s")
        self._stage.stall(actor)
        return run.now + STALL_S
