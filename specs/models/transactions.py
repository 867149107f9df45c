"""Transactions over two artifacts: the homes and the rule for several of them that ship.

A transaction reads one artifact after another, each time as of one moment, and commits what it
writes.  A transaction of the store is one step, as a store promises.  What happens in it is that of
the driver: `coherence.directory.Home` steps the messages, and `joint` decides.  A commit may be
lost, and so may its answer; then the agent sends it again.  There are no caches, since a
transaction leaves no copy behind.

With `turns` a refused transaction is tried once more under the grants of all that it reads or
writes, which it asks for one after another.  With `lease` a grant may end at any moment.  With
`strict` a commit returns when the copies of others have lapsed; until then no other is made.

The claims are in `specs.models.transactions_ghost`.  Each of `VARIANTS` is a driver that a program
might have instead, and is refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, combinations
from typing import Any, Literal, NamedTuple, TypeAlias

from coherence.directory import ACKS, GRANT, HOME, Home
from coherence.entries import waiting
from coherence.joint import Part, joint
from coherence.messages import Check, Epoch, GetM, PutE, PutM, Serial, ToHome
from coherence.policy import Policy, Visibility
from coherence.states import HomeAt, HomeState
from coherence.table import Table
from message_passing.errors import Impossible
from message_passing.process import Address, Receive, Timeout
from specs.checker.composite import Change, Composite, Rule
from specs.checker.errors import UsageError
from specs.checker.model import Action
from specs.models.transactions_ghost import Ghost, Made, Names, Read, Tid, claims, noted

NAMES: Names = ("x", "y")
AGENTS = "abc"

VARIANTS = {
    "": "the driver that ships",
    "unchecked": "what was only read is not compared",
    "torn": "each written artifact has a store transaction of its own",
    "unextended": "a read does not compare the earlier ones",
    "rejudged": "a commit that is sent again compares again what was only read",
    "absent": "that an artifact does not exist is compared before the store transaction",
    "late": "what was only read is compared before the store transaction",
    "unsorted": "each agent asks for grants in an order of its own",
    "tentative": "a written artifact has its ref before the commit",
}

At: TypeAlias = Literal[
    "idle", "reads", "commits", "unknown", "compared", "rest", "unseen", "asks", "waits"
]
ACTIONS: frozenset[str] = frozenset(
    {"Begin", "Read", "Moved", "Commit", "Refuse", "Unheard", "Lost"}
)
IN_TURN = frozenset({"Ask", "Granted"})
LEASED = frozenset({"Expire"})
STRICT = frozenset({"Visible", "Lapse"})
NOTHING = Ghost(frozenset(), frozenset({(0,) * len(NAMES)}))
NO_HOMES: Mapping[int, HomeState] = {}
SHIPPED: Mapping[str, Table[Any]] = {}


class Txn(NamedTuple):
    """An agent and its transaction, the last one while it is idle."""

    at: At = "idle"
    begun: int = 0
    #: Of the last commit or request for a grant.
    serial: Serial = 0
    #: The names that it will still read, or ask for.
    left: Names = ()
    reads: tuple[Read, ...] = ()
    writes: Names = ()
    #: The grants that it has: names and epochs.
    grants: tuple[tuple[str, Epoch], ...] = ()
    in_turn: bool = False
    #: The transactions that were made before it began.
    before: frozenset[Tid] = frozenset()
    #: What it was told: "made", "read" if it wrote nothing, or "refused"; "" while it is not over.
    told: str = ""
    #: The versions that it takes for its own.
    refs: tuple[Read, ...] = ()

    def stands(self) -> Txn:
        """After the last read or the commit."""
        return self._over("made" if self.writes else "read", self.made())

    def refused(self) -> Txn:
        """After a refusal."""
        return self._over("refused", self.refs)

    def _over(self, told: str, refs: tuple[Read, ...]) -> Txn:
        return Txn("idle", self.begun, self.serial, in_turn=self.in_turn, told=told, refs=refs)

    def made(self) -> tuple[Read, ...]:
        """The versions that its commit makes."""
        bases = dict(self.reads)
        return tuple((name, bases[name] + 1) for name in self.writes)

    def names(self) -> Names:
        """All that it reads or writes."""
        return tuple(sorted({*self.left, *(name for name, _ in self.reads)}))


class Driver:
    """The steps of the agents, by a driver that ships or one of `VARIANTS`."""

    def __init__(
        self, home: Home, agents: Names, times: int, *, unknown: bool, turns: bool, variant: str
    ) -> None:
        self.home = home
        self.agents = agents
        self.times, self.unknown, self.turns, self.variant = times, unknown, turns, variant

    # An agent.

    def begin(self, agent: Address, s: Sequence[Any]) -> Iterator[Change]:
        """It chooses what it will read, and what of that it will write."""
        txn = self._txn(agent, s)
        if txn.at == "idle" and txn.begun < self.times:
            before = self._ghost(s).tids()
            for reads in _subsets(NAMES):
                for writes in ((), *_subsets(reads)):
                    new = Txn("reads", txn.begun + 1, txn.serial + 1, reads, (), writes)
                    said = f"reads {' '.join(reads)}; writes {' '.join(writes) or 'nothing'}"
                    yield self._goes(agent, "Begin", new._replace(before=before), subject=said)

    def read(self, agent: Address, s: Sequence[Any]) -> Iterator[Change]:
        """One more artifact, as of a moment at which the earlier reads are still current."""
        txn = self._txn(agent, s)
        if txn.at != "reads":
            return
        versions = {name: s[place].version for place, name in enumerate(NAMES)}
        if self.variant != "unextended" and any(versions[n] != v for n, v in txn.reads):
            yield from self._refused(agent, txn, s, "Moved")
            return
        name, left = txn.left[0], txn.left[1:]
        txn = txn._replace(left=left, reads=(*txn.reads, (name, versions[name])))
        if not left:
            # What only reads takes effect at its last read, and gives its grants back.
            txn = txn._replace(at="commits") if txn.writes or txn.grants else txn.stands()
            if self.variant == "tentative" and txn.writes:
                txn = txn._replace(refs=txn.made())
        yield self._goes(agent, "Read", txn, subject=f"{name}@{versions[name]}")

    def commit(self, agent: Address, s: Sequence[Any]) -> Iterator[Change]:
        """The commit arrives, and so does the answer; or one of them is lost."""
        txn = self._txn(agent, s)
        if txn.at not in ("commits", "unknown", "compared", "rest"):
            return
        early = self._compared_early(txn)
        if txn.at == "commits" and early:
            if all(s[NAMES.index(n)].version == v for n, v in early):
                yield self._goes(agent, "Compare", txn._replace(at="compared"))
            else:
                yield from self._refused(agent, txn, s, "Refuse")
            return
        writes = txn.writes
        if self.variant == "torn" and len(writes) > 1:
            writes = writes[1:] if txn.at == "rest" else writes[:1]
        bases = dict(txn.reads)
        homes = self._committed(agent, txn, writes, s)
        if homes is None:
            yield from self._refused(agent, txn, s, "Refuse")
        else:
            after = txn.stands()
            if any(homes[NAMES.index(n)].writer == agent for n in writes):
                after = txn._replace(at="unseen")
            if writes != txn.writes and txn.at != "rest":
                after = txn._replace(at="rest")
            seen = self._seen(agent, txn, s, homes)
            made = " ".join(f"{name}@{bases[name] + 1}" for name in writes)
            yield self._goes(agent, "Commit", after, homes, seen, made)
            if self.unknown and txn.at == "commits":
                waits = txn._replace(at="unknown")
                yield self._goes(agent, "Unheard", waits, homes, seen)
        if self.unknown and txn.at == "commits":
            yield self._goes(agent, "Lost", txn._replace(at="unknown"))

    def ask(self, agent: Address, s: Sequence[Any]) -> Iterator[Change]:
        """For the next grant, and wait for it."""
        txn = self._txn(agent, s)
        if txn.at not in ("asks", "waits"):
            return
        name, left = txn.left[0], txn.left[1:]
        place = NAMES.index(name)
        if txn.at == "asks":
            asking = GetM(txn.serial + 1, 0)
            waits = txn._replace(at="waits", serial=txn.serial + 1)
            yield self._goes(agent, "Ask", waits, {place: self._told(s[place], agent, asking)})
        elif waiting(s[place].queue, agent) < 0:
            # The grant was given, and its lease may be over: then the epoch is as good as any.
            txn = txn._replace(left=left, grants=(*txn.grants, (name, s[place].epoch)))
            if left:
                txn = txn._replace(at="asks")
            else:
                names = tuple(sorted(name for name, _ in txn.grants))
                txn = txn._replace(at="reads", left=names, serial=txn.serial + 1)
            yield self._goes(agent, "Granted", txn)

    def visible(self, agent: Address, s: Sequence[Any]) -> Iterator[Change]:
        """All that it wrote is visible, so the commit returns."""
        txn = self._txn(agent, s)
        if txn.at == "unseen" and all(s[NAMES.index(n)].writer != agent for n in txn.writes):
            yield self._goes(agent, "Visible", txn.stands())

    def lapse(self, place: int, s: Sequence[Any]) -> Iterator[Change]:
        """The copies of an earlier version lapse."""
        if s[place].at is HomeAt.S_A:
            after = self.home.step(s[place], Timeout(ACKS), 0).state
            yield Change(Action("Lapse", NAMES[place]), ((place, after),))

    def expire(self, place: int, s: Sequence[Any]) -> Iterator[Change]:
        """The lease of a grant ends."""
        if s[place].owner:
            after = self.home.step(s[place], Timeout(GRANT), 0).state
            yield Change(Action("Expire", NAMES[place]), ((place, after),))

    # Steps of homes.

    def _committed(
        self, agent: Address, txn: Txn, writes: Names, s: Sequence[Any]
    ) -> dict[int, HomeState] | None:
        """The homes after one store transaction; None if it is rolled back."""
        bases, epochs, homes = dict(txn.reads), dict(txn.grants), dict[int, HomeState]()

        def part(name: str, message: PutM | Check) -> Part:
            place = NAMES.index(name)
            before = s[place]
            step = self.home.step(before, Receive(agent, message), 0)
            homes[place] = step.state
            if type(message) is Check and step.state != before:
                raise Impossible(f"{message} changes the home of {name!r}")
            return Part(name, message, before, step)

        content = (agent, txn.begun)
        written = (
            part(name, PutM(txn.serial, bases[name], epochs.get(name, 0), content))
            for name in writes
        )
        early = dict(self._compared_early(txn))
        read = [
            (name, version)
            for name, version in txn.reads
            if name not in txn.writes and name not in early and self.variant != "unchecked"
        ]
        checks = (part(name, Check(0, version)) for name, version in read)
        judgement = joint(agent, written, checks)
        rejudged = self.variant == "rejudged" and judgement.again
        if not judgement.stands or (
            rejudged and any(s[NAMES.index(n)].version != v for n, v in read)
        ):
            return None
        return {**homes, **self._given_back(agent, txn, {**dict(enumerate(s)), **homes})}

    def _given_back(
        self, agent: Address, txn: Txn, homes: Mapping[int, HomeState]
    ) -> dict[int, HomeState]:
        """The homes after the agent has given back what it still holds."""
        after = {}
        for name, epoch in txn.grants:
            place = NAMES.index(name)
            after[place] = self._told(homes[place], agent, PutE(txn.serial, epoch))
        return after

    def _compared_early(self, txn: Txn) -> Sequence[Read]:
        """What a variant compares before the store transaction."""
        only_read = [read for read in txn.reads if read[0] not in txn.writes]
        if self.variant == "late":
            return only_read
        return [read for read in only_read if self.variant == "absent" and not read[1]]

    def _told(self, home: HomeState, agent: Address, message: ToHome) -> HomeState:
        return self.home.step(home, Receive(agent, message), 0).state

    def _refused(self, agent: Address, txn: Txn, s: Sequence[Any], action: str) -> Iterator[Change]:
        """Ends the transaction, or begins the attempt in turn; a grant is given back."""
        if not self.turns or txn.in_turn:
            homes = self._given_back(agent, txn, dict(enumerate(s)))
            yield self._goes(agent, action, txn.refused(), homes)
            return
        names = txn.names()
        if self.variant == "unsorted" and agent == self.agents[0]:
            names = names[::-1]
        again = Txn("asks", txn.begun, txn.serial, names, (), txn.writes, in_turn=True)
        yield self._goes(agent, action, again._replace(before=txn.before))

    # Slots.

    def is_over(self, s: Sequence[Any]) -> bool:
        """Whether every agent has made all of its transactions."""
        each = [self._txn(agent, s) for agent in self.agents]
        return all(txn.at == "idle" and txn.begun == self.times for txn in each)

    def _txn(self, agent: Address, s: Sequence[Any]) -> Txn:
        found: Txn = s[len(NAMES) + self.agents.index(agent)]
        return found

    def _ghost(self, s: Sequence[Any]) -> Ghost:
        found: Ghost = s[len(NAMES) + len(self.agents)]
        return found

    def _seen(
        self, agent: Address, txn: Txn, s: Sequence[Any], homes: Mapping[int, HomeState]
    ) -> Ghost:
        old = [s[place].version for place in range(len(NAMES))]
        new = [homes.get(place, s[place]).version for place in range(len(NAMES))]
        made = Made((agent, txn.begun), txn.reads, txn.made(), frozenset(), txn.before)
        return noted(self._ghost(s), made, old, new, NAMES)

    def _goes(
        self,
        agent: Address,
        action: str,
        txn: Txn,
        homes: Mapping[int, HomeState] = NO_HOMES,
        ghost: Ghost | None = None,
        subject: str = "",
    ) -> Change:
        writes: list[tuple[int, Any]] = [*homes.items()]
        writes.append((len(NAMES) + self.agents.index(agent), txn))
        if ghost is not None:
            writes.append((len(NAMES) + len(self.agents), ghost))
        about = subject or None
        return Change(Action(action, agent, subject=about), tuple(writes))


def transactions(
    agents: int = 2,
    times: int = 1,
    *,
    unknown: bool = True,
    turns: bool = False,
    lease: bool = False,
    strict: bool = False,
    variant: str = "",
    broken: Mapping[str, Table[Any]] = SHIPPED,
) -> Composite[Any]:
    """`agents` that begin `times` transactions each, with any reads and any writes among those.

    `broken` takes another table of the homes, as that of `mesi` does.  Raises `UsageError` for an
    unknown variant.
    """
    if variant not in VARIANTS:
        raise UsageError(f"no variant {variant!r}", remedy="one of " + ", ".join(VARIANTS))
    names = tuple(AGENTS[:agents])
    visibility, validity = (Visibility.STRICT, 1.0) if strict else (Visibility.LAZY, None)
    leased = 1.0 if lease else None
    home = Home(Policy(visibility=visibility, validity=validity, grant_lease=leased))
    home.table = broken.get("home_table", HOME)
    driver = Driver(home, names, times, unknown=unknown, turns=turns, variant=variant)
    steps = [driver.begin, driver.read, driver.commit]
    steps += [driver.ask] * turns + [driver.visible] * strict
    timers = [driver.expire] * lease + [driver.lapse] * strict
    rules: list[Rule] = [partial(step, agent) for agent in names for step in steps]
    rules += [partial(timer, place) for place in range(len(NAMES)) for timer in timers]
    actions = [ACTIONS, *[IN_TURN] * turns, *[LEASED] * lease, *[STRICT] * strict]
    return Composite(
        f"transactions-{agents}x{times}",
        (*NAMES, *names, "ghost"),
        [(*[HomeState()] * len(NAMES), *[Txn()] * agents, NOTHING)],
        rules,
        apply=lambda slot, value, operation: value,
        view=lambda s: s,
        properties=claims(NAMES, names, turns=turns, lease=lease),
        terminal=driver.is_over,
        alphabet=frozenset().union(*actions),
    )


def _subsets(names: Names) -> Iterator[Names]:
    return chain.from_iterable(combinations(names, size + 1) for size in range(len(names)))
