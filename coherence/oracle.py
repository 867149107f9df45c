"""The invariants as an oracle of the simulator, which raises at the first broken one.

::

    from coherence import Lazy
    from coherence.oracle import Oracle, system
    from message_passing import Simulator

    policy = Lazy()
    sim = Simulator(system(policy, ["ann", "bob"]), observers=[Oracle(policy, lossless=True)])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coherence.cache import Cache
from coherence.directory import Home
from coherence.invariants import begin, directory_agrees, observe, well_formed
from coherence.messages import Content, Version
from coherence.policy import Policy
from message_passing.errors import Defect
from message_passing.oracle import View
from message_passing.process import Address, Event, Step

HOME = "home"


class InvariantBroken(Defect):
    """A step led to a state in which an invariant does not hold; `name` says which."""

    def __init__(self, name: str, address: Address, event: object) -> None:
        super().__init__(f"{name} is broken by {address} on {event}")
        self.name = name


def system(
    policy: Policy,
    agents: Iterable[Address],
    *,
    version: Version = 0,
    content: Content = None,
) -> dict[Address, Cache | Home]:
    """The processes of one artifact: its home, and a cache for each of `agents`."""
    caches = {agent: Cache(policy, HOME) for agent in agents}
    return {HOME: Home(policy, version, content), **caches}


class Oracle:
    """Checks every invariant of `coherence.invariants` on every step of one artifact's system.

    `lossless` also demands that the directory agrees with the caches, which only a network that
    delivers everything in order can promise.  Raises `InvariantBroken`.
    """

    def __init__(self, policy: Policy, *, lossless: bool = False) -> None:
        self.policy = policy
        self.lossless = lossless
        self.ghost: Any = None

    def __call__(
        self, view: View, address: Address, event: Event[Any, Any], step: Step[Any]
    ) -> None:
        """Judge one step, made by `address` on `event`."""
        home = view.states[HOME]
        if self.ghost is None:
            self.ghost = begin(home)
        self.ghost = observe(self.ghost, address, event, step, self.policy)
        if self.ghost.broken:
            raise InvariantBroken(self.ghost.broken, address, event)
        caches = {a: state for a, state in view.states.items() if a != HOME}
        if not well_formed(home, caches.values()):
            raise InvariantBroken("well_formed", address, event)
        if self.lossless and not directory_agrees(home, caches, view.in_flight()):
            raise InvariantBroken("directory_agrees", address, event)
