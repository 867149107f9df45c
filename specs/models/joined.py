"""Causal invalidations: a write that returns at once, and a word about it that comes too early.

A lazy home answers a writer while its invalidations are still in transit.  The writer says "please
review", and on bare links that word can reach a reviewer before the invalidation does. If all
travel as causal messages it cannot: the invalidation was sent before the acknowledgement, and the
acknowledgement was delivered before the word was sent.  The property (P1):

    no agent acts on a word whose causal past holds version v of the artifact
    while its own cache still marks an older version valid.

Under MF95 it holds too, but there no commit returns early: a home with one message in transit at a
time answers its writer when the last invalidation is acknowledged, as a strict one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from causal.kinds import HINT, kind_of
from causal.machine import Machine
from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Committed, Load
from coherence.policy import Lazy
from coherence.states import READABLE, CacheAt, CacheState, HomeState
from message_passing.netmodel import NetworkModel
from message_passing.network import Guarantee
from message_passing.process import Address, Deliver, Event, Step, Time, Value
from message_passing.simulator import Simulator
from specs.checker.composite import Composite
from specs.checker.errors import ModelError
from specs.checker.model import Property, always, reachable
from specs.models.causal import PROTOCOLS
from specs.models.joined_process import Bare, Joined, JoinedState, Letter, Reaction, Tell, silent
from specs.system import Requests, System, View

HOME: Final[Address] = "home"
WRITER: Final[Address] = "writer"
REVIEWER: Final[Address] = "reviewer"
RELAY: Final[Address] = "relay"

#: Machines that may carry a team's messages, by name.  BSS91 is left out: it only broadcasts.
CARRIERS: Final[Mapping[str, Callable[..., Machine[Any]]]] = {
    Bare.name: Bare,
    **{name: build for name, build in PROTOCOLS.items() if not name.startswith("bss91")},
}

# A copy is valid if a read is served from it, also while a request is outstanding.
_VALID: Final = READABLE | {CacheAt.SM_D, CacheAt.MS_A}


class Review(Value, frozen=True, gc=False, tag=True):
    """The word: please review the artifact."""


class HastyHome(Home):
    """Wrong on purpose: answers the writer first and invalidates after.

    Then no invalidation is in the answer's past, and causal delivery cannot help.
    """

    def step(self, state: HomeState, event: Event[Any, Any], now: Time) -> Step[HomeState]:
        step = super().step(state, event, now)
        return Step(step.state, tuple(reversed(step.commands)), step.action)


def acts_on_stale(step: Step[JoinedState]) -> bool:
    """Whether this step breaks P1."""
    cache = step.state.role
    if not isinstance(cache, CacheState) or cache.at not in _VALID:
        return False
    words = [command.message for command in step.commands if type(command) is Deliver]
    return any(type(word) is Letter and word.past > cache.version for word in words)


class Seen(NamedTuple):
    """The ghost: how many words the reviewer has acted on, and whether any agent broke P1."""

    words: int = 0
    stale: bool = False


def observe(seen: Seen, address: Address, event: Event[Any, Any], step: Step[JoinedState]) -> Seen:
    """The ghost after one step."""
    words = sum(type(command) is Deliver for command in step.commands)
    acted_on = words if address == REVIEWER else 0
    return Seen(seen.words + acted_on, seen.stale or acts_on_stale(step))


P1: Final[Property[View]] = always("no word beside a stale copy", lambda view: not view.ghost.stale)


def joined(
    protocol: str = "hybrid",
    links: str = "Ordered",
    writes: int = 1,
    reads: int = 0,
    relay: bool = False,
    hasty: bool = False,
) -> Composite[View]:
    """Writes under lazy visibility, and a word about each to a reviewer who has a copy.

    The writer speaks in the step in which its commit returns, with `relay` to a third agent that
    passes the word on.  The reviewer reads again whenever it likes, `reads` times.
    """
    build = CARRIERS.get(protocol)
    if build is None and protocol not in PROTOCOLS:
        build = kind_of(protocol)
    if build is None:
        remedy = f"one of {', '.join(CARRIERS)}, {HINT}"
        raise ModelError(f"no protocol {protocol!r} for unicast messages", remedy=remedy)
    team = (HOME, WRITER, REVIEWER, *([RELAY] if relay else []))
    policy = Lazy()
    home = (HastyHome if hasty else Home)(policy, version=1)
    told = RELAY if relay else REVIEWER
    reactions: dict[Address, Reaction] = {
        WRITER: lambda heard: [Tell(told, Review())] if type(heard) is Committed else (),
        RELAY: lambda heard: [Tell(REVIEWER, heard.body)] if type(heard) is Letter else (),
    }
    cold = {
        address: Joined(
            home if address == HOME else Cache(policy, HOME),
            build(address, team, links=Guarantee(links)),
            then=reactions.get(address, silent),
        )
        for address in team
    }
    start = _after_reading(cold, (WRITER, REVIEWER))
    processes = {a: Joined(p.role, p.machine, then=p.then, start=start[a]) for a, p in cold.items()}

    def commits(state: JoinedState, made: int) -> list[Commit]:
        return [Commit(None, base=state.role.version)] if made < writes else []

    def loads(state: JoinedState, made: int) -> list[Load]:
        return [Load()] if made < reads else []

    def early(view: View) -> bool:
        written, copy = view[WRITER].role, view[REVIEWER].role
        return bool(written.version > copy.version and copy.at in _VALID)

    def quiet(view: View) -> bool:
        ticking = any(view.local(address).armed for address in team)
        written = view.local(WRITER).invoked == writes
        return written and not ticking and not any(view.in_flight)

    def settled(view: View) -> bool:
        idle = all(p.machine.idle(view[a].machine) for a, p in processes.items())
        return idle and view.ghost.words == writes and view[HOME].role.version == 1 + writes

    system = System(
        processes,
        Guarantee(links),
        environment={WRITER: Requests(commits), REVIEWER: Requests(loads)},
        observe=observe,
        ghost=Seen(),
    )
    return system.model(
        "joined",
        [
            P1,
            always("nothing is stuck", settled, when=quiet),
            reachable("a commit returns before its invalidation is delivered", early),
        ],
        terminal=lambda view: True,
    )


def _after_reading(
    processes: Mapping[Address, Joined], readers: Iterable[Address]
) -> dict[Address, JoinedState]:
    """The states in which the readers have copies and no message is in transit."""
    sim = Simulator(processes, network=NetworkModel())
    for reader in readers:
        sim.invoke(reader, Load())
        sim.run()
    return sim.states
