"""The ghost of the mesi model: `coherence.invariants.observe`, with a short memory.

A ghost multiplies states, so this one holds only the facts that a later judgement can read:

* the live grant and the waiters are read from home's state before each step, not remembered;
* a refused commit is remembered if its request may arrive a second time;
* the versions returned before a read began count under strict visibility until its answer;
* the version that was current at the last ask counts while there is a copy or a request.

`observe` cannot judge one claim with this memory: that a grant begins from the current version.  A
state property checks it instead: `draft_is_current`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from coherence.invariants import Ghost, Watched, observe
from coherence.messages import Committed, Content, GetM, GetS, PutAck, PutM
from coherence.policy import Policy, Visibility
from coherence.states import CacheAt, CacheState, HomeState, Waiter
from message_passing.process import Address, Event, Invoke, Receive, Respond, Send, Step, Timeout
from specs.checker.model import Property, always
from specs.system import View

READS = frozenset({CacheAt.IS_D, CacheAt.IS_D_I})


class Directory(NamedTuple):
    """The live grant and the waiters, before a step."""

    owner: Address = ""
    epoch: int = 0
    queue: tuple[Address, ...] = ()


NOBODY = Directory()


def witness(
    address: Address, before: Any, event: Event[Any, Any], step: Step[Any]
) -> tuple[Any, ...] | None:
    """The part of a step that `observe` reads, or None if it would remember nothing new."""
    if isinstance(step.state, HomeState):
        return _of_home(address, before, event, step)
    return _of_cache(address, before, event, step)


def _of_home(
    address: Address, before: HomeState, event: Event[Any, Any], step: Step[HomeState]
) -> tuple[Any, ...] | None:
    after = step.state
    then, now = _directory(before), _directory(after)
    acks: tuple[Any, ...] = ()
    if before.version == after.version and isinstance(event, Receive):
        acks = tuple(c for c in step.commands if _answers(event, c))
    if (before.version, then) == (after.version, now) and not acks:
        return None
    queue = tuple(Waiter(cache, 0, 0) for cache in now.queue)
    seen = HomeState(
        after.at, after.version, after.content, owner=now.owner, epoch=now.epoch, queue=queue
    )
    return address, event, Step(seen, acks, step.action), then


def _answers(event: Receive[Any], command: Any) -> bool:
    """Whether it acknowledges the commit that has come."""
    return (
        isinstance(event.message, PutM)
        and isinstance(command, Send)
        and isinstance(command.message, PutAck)
        and (command.dst, command.message.serial) == (event.src, event.message.serial)
    )


def _directory(home: HomeState) -> Directory:
    return Directory(home.owner, home.epoch, tuple(waiter.cache for waiter in home.queue))


def _of_cache(
    address: Address, before: CacheState, event: Event[Any, Any], step: Step[CacheState]
) -> tuple[Any, ...] | None:
    after = step.state
    commands: list[Any] = []
    written: Content = None
    for command in step.commands:
        if isinstance(command, Respond):
            commands.append(command)
            if isinstance(command.result, Committed):
                written = after.content
        elif isinstance(command, Send) and isinstance(command.message, GetS | GetM | PutM):
            commands.append(Send("", GetS(0, 0)))
    if not commands and before.at is after.at:
        return None
    if not isinstance(event, Invoke):
        event = Timeout("")
    action = step.action if step.action == "Retry" else ""
    seen = CacheState(after.at, content=written, serial=after.serial if commands else 0)
    return address, event, Step(seen, tuple(commands), action), NOBODY


def remember(
    policy: Policy,
    repeats: bool,
    ghost: Ghost,
    address: Address,
    event: Event[Any, Any],
    step: Step[Any],
    then: Directory,
) -> Ghost:
    """The ghost after a step.  `repeats`: a request may arrive more than once."""
    known = msgspec.structs.replace(ghost, owner=then.owner, epoch=then.epoch, queue=then.queue)
    after = observe(known, address, event, step, policy)
    strict = policy.visibility is Visibility.STRICT
    caches = after.caches
    if isinstance(step.state, CacheState):
        at = step.state.at
        caches = tuple(
            Watched(
                watched.cache,
                0 if at is CacheAt.I else watched.asked,
                watched.begun if strict and at in READS else 0,
                watched.served,
            )
            if watched.cache == address
            else watched
            for watched in caches
        )
    return msgspec.structs.replace(
        after,
        owner="",
        epoch=0,
        queue=(),
        caches=caches,
        refused=after.refused if repeats else (),
        returned=after.returned if strict else 0,
    )


def draft_is_current(home: HomeState, address: Address, cache: CacheState) -> bool:
    """While a grant lives, its owner drafts from the current version."""
    owns = cache.at is CacheAt.M and (home.owner, home.epoch) == (address, cache.epoch)
    return not owns or cache.version == home.version


def owners(home: Address, agents: Sequence[Address]) -> Iterator[Property[View]]:
    """``owner_agrees``: home ends no grant under which its owner drafts.

    Only for models without leases and false alarms.
    """
    for agent in agents:
        yield always(f"owner_agrees {agent}", partial(_owner_agrees, home, agent))


def _owner_agrees(home: Address, agent: Address, view: View) -> bool:
    state = view[agent]
    return state.at is not CacheAt.M or (
        (view[home].owner, view[home].epoch) == (agent, state.epoch)
    )
