"""The port through which caches and homes report their steps, for a recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from coherence.messages import ToHome
from coherence.policy import Policy
from coherence.states import CacheState, HomeState
from message_passing.process import Address, Event, Step, Time


class Taken(NamedTuple):
    """The steps of a home in one transaction, and the state before them."""

    artifact: str
    policy: Policy
    before: HomeState
    timers: tuple[tuple[str, Time], ...]
    now: Time
    steps: list[tuple[Event[Any, Any], Step[HomeState]]]


class Trace(Protocol):
    """Follows the steps of one workspace."""

    @property
    def order(self) -> AbstractContextManager[Any]:
        """A lock that is held from before a transaction until its steps are reported."""
        ...

    def check_policy(self, policy: Policy) -> None:
        """Raise if the steps under that policy cannot be followed."""
        ...

    def check_agent(self, name: Address) -> None:
        """Raise if the steps of an agent of that name cannot be followed."""
        ...

    def cache_step(
        self,
        artifact: str,
        address: Address,
        session: int,
        now: Time,
        event: Event[Any, Any],
        step: Step[CacheState],
    ) -> None:
        """A cache took a step."""
        ...

    def take_back(self, artifact: str, address: Address) -> None:
        """The last request of that cache was never sent."""
        ...

    def forget(self, artifact: str, address: Address) -> None:
        """That cache starts again: no home can know of it."""
        ...

    def took_effect(
        self, inboxes: Mapping[str, Sequence[tuple[Address, ToHome]]], taken: Sequence[Taken]
    ) -> None:
        """A transaction took effect.  The caller holds `order`."""
        ...
