"""The invariants, as pure predicates over a global state and a ghost that remembers.

A *ghost* is a variable that no process sees: it keeps the data that the invariants compare against,
such as the committed contents.  `observe` advances it after each step; the checker, the simulator's
oracles and recorded traces all use this one function, so each name means the same in all of them:

``swmr``
    At most one grant lives, and while it lives only its owner commits.
``fencing``
    No commit is made under a grant that has ended.
``fairness``
    Grants go to waiters in order of asking.
``version_order``
    Versions are 1, 2, 3, ...: each commit makes exactly the next one, or none if its content is
    that of its base, and its writer learns which.
``no_lost_update``
    Every commit was derived from the version before it, is made once, and is never made after its
    writer was told of a refusal.  A commit that is acknowledged and makes no version has the
    content of its own base: two writers that derive the same text from one base have made two
    changes.
``data_value``
    Every content served is the one that was committed under the version it is served as.
``bounded_staleness``
    A served version was still current when the cache last asked.  The request is at most T old, by
    the cache's own timer, so no read is staler than T.
``strict_visibility``
    Under strict visibility, a read that begins after a commit returned does not miss it.
``monotone_reads``
    The versions that one cache serves never go back.

Two more need no memory: ``well_formed`` (the invariants in the docstrings of the states) and
``directory_agrees`` (on networks that lose nothing, home knows of every readable copy, up to
messages in flight).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from coherence.messages import (
    Committed,
    Content,
    Epoch,
    GetM,
    GetS,
    Granted,
    Inv,
    Leave,
    Load,
    Loaded,
    PutAck,
    PutE,
    PutM,
    Refused,
    Serial,
    Update,
    Version,
    digest_of,
)
from coherence.policy import Policy, Visibility
from coherence.states import READABLE, CacheAt, CacheState, HomeAt, HomeState
from message_passing.process import (
    Address,
    Event,
    Invoke,
    Receive,
    Respond,
    Send,
    Step,
    Timeout,
    Value,
)

NAMES = (
    "swmr",
    "fencing",
    "fairness",
    "version_order",
    "no_lost_update",
    "data_value",
    "bounded_staleness",
    "strict_visibility",
    "monotone_reads",
)


class Commitment(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A commit that was made: its author, serial and content."""

    writer: Address
    serial: Serial
    content: Content


class Watched(Value, frozen=True, gc=False, tag=True, array_like=True):
    """The ghost's memory of one cache."""

    cache: Address
    #: The current version when it last asked.
    asked: Version = 0
    #: The newest version whose commit had returned when its read began.
    begun: Version = 0
    #: The newest version it was served.
    served: Version = 0


class Ghost(Value, frozen=True, gc=False, tag=True):
    """The memory of all invariants.  `broken` names the first that failed, or is empty."""

    first: Version = 0
    first_content: Content = None
    commits: tuple[Commitment, ...] = ()
    returned: Version = 0
    refused: tuple[tuple[Address, Serial], ...] = ()
    caches: tuple[Watched, ...] = ()
    owner: Address = ""
    epoch: Epoch = 0
    queue: tuple[Address, ...] = ()
    broken: str = ""

    @property
    def version(self) -> Version:
        """The current version, as the commits that were seen make it."""
        return self.first + len(self.commits)

    def content(self, version: Version) -> Content:
        """The content committed as `version`; raises `LookupError` if it does not exist."""
        if version == self.first:
            return self.first_content
        if version < self.first:
            raise LookupError(version)
        return self.commits[version - self.first - 1].content


def begin(home: HomeState) -> Ghost:
    """The ghost of a system in its initial state."""
    return Ghost(first=home.version, first_content=home.content, returned=home.version)


def observe(
    ghost: Ghost, address: Address, event: Event[Any, Any], step: Step[Any], policy: Policy
) -> Ghost:
    """The ghost after `step`, which `address` took on `event`.  A broken ghost never changes."""
    if ghost.broken:
        return ghost
    if isinstance(step.state, HomeState):
        return _home(ghost, event, step)
    return _cache(ghost, address, event, step, policy.visibility is Visibility.STRICT)


def _home(ghost: Ghost, event: Event[Any, Any], step: Step[HomeState]) -> Ghost:
    home, broken = step.state, ""
    commits = ghost.commits
    if home.version != ghost.version:
        broken = _judge_commit(ghost, event, home)
        if not broken:
            assert isinstance(event, Receive)
            commits = (*commits, Commitment(event.src, event.message.serial, home.content))
    if not broken and isinstance(event, Receive) and isinstance(event.message, PutM):
        broken = _judge_answer(ghost, commits, event, step)
    if not broken and ghost.owner and (home.owner, home.epoch) != (ghost.owner, ghost.epoch):
        committed = len(commits) > len(ghost.commits) or _is_same(event, ghost.owner, home)
        given_back = committed or _gave_up(event, ghost.owner)
        if not given_back and event != Timeout("grant"):
            broken = "swmr"
    queue = tuple(waiter.cache for waiter in home.queue)
    granted = home.at is HomeAt.M and home.epoch != ghost.epoch
    waited = [cache for cache in ghost.queue if not _gave_up(event, cache)]
    if not broken and granted and waited and home.owner != waited[0]:
        broken = "fairness"
    return msgspec.structs.replace(
        ghost, commits=commits, owner=home.owner, epoch=home.epoch, queue=queue, broken=broken
    )


def _gave_up(event: Event[Any, Any], cache: Address) -> bool:
    return (
        isinstance(event, Receive)
        and event.src == cache
        and isinstance(event.message, PutE | Leave)
    )


def _is_same(event: Event[Any, Any], owner: Address, home: HomeState) -> bool:
    """Whether the owner committed the current content."""
    return (
        isinstance(event, Receive)
        and event.src == owner
        and isinstance(event.message, PutM)
        and digest_of(event.message.content) == digest_of(home.content)
    )


def _judge_commit(ghost: Ghost, event: Event[Any, Any], home: HomeState) -> str:
    if not (isinstance(event, Receive) and isinstance(event.message, PutM)):
        return "version_order"
    src, msg = event.src, event.message
    current = digest_of(ghost.content(ghost.version))
    if home.version != ghost.version + 1 or (current and current == digest_of(msg.content)):
        return "version_order"
    if ghost.owner and src != ghost.owner:
        return "swmr"
    if msg.epoch and (src, msg.epoch) != (ghost.owner, ghost.epoch):
        return "fencing"
    again = any((made.writer, made.serial) == (src, msg.serial) for made in ghost.commits)
    of_another = msg.digest is not None and msg.digest != current
    if msg.base != ghost.version or of_another or again or (src, msg.serial) in ghost.refused:
        return "no_lost_update"
    return "" if home.content == msg.content else "data_value"


def _judge_answer(
    ghost: Ghost, commits: tuple[Commitment, ...], event: Receive[Any], step: Step[HomeState]
) -> str:
    """Judges an acknowledgement, whether this step or an earlier one judged the commit."""
    src, msg = event.src, event.message
    for command in step.commands:
        ack = command.message if isinstance(command, Send) and command.dst == src else None
        if not isinstance(ack, PutAck) or ack.serial != msg.serial:
            continue
        if any((made.writer, made.serial) == (src, msg.serial) for made in commits):
            continue
        there = ghost.first <= ack.version <= ghost.version
        if not (there and ack.version == msg.base):
            return "no_lost_update"
        if digest_of(ghost.content(ack.version)) != digest_of(msg.content):
            return "no_lost_update"
    return ""


def _cache(
    ghost: Ghost, address: Address, event: Event[Any, Any], step: Step[CacheState], strict: bool
) -> Ghost:
    before = next((w for w in ghost.caches if w.cache == address), Watched(address))
    after = before
    returned, refused, broken = ghost.returned, ghost.refused, ""
    if isinstance(event, Invoke) and isinstance(event.request, Load):
        after = msgspec.structs.replace(after, begun=ghost.returned)
    for command in step.commands:
        if isinstance(command, Send):
            asks = isinstance(command.message, GetS | GetM | PutM)
            if asks and step.action != "Retry":
                after = msgspec.structs.replace(after, asked=ghost.version)
        elif isinstance(command, Respond):
            result = command.result
            if isinstance(result, Loaded | Granted):
                broken = _judge_read(ghost, after, result, strict)
                after = msgspec.structs.replace(after, served=result.version)
            elif isinstance(result, Committed):
                broken = _judge_ack(ghost, after, step.state, result)
                after = msgspec.structs.replace(after, served=max(after.served, result.version))
                returned = max(returned, result.version)
            elif isinstance(result, Refused):
                refused, broken = _judge_refusal(ghost, address, step.state.serial)
    if after is before and not broken and returned == ghost.returned and refused == ghost.refused:
        return ghost
    others = [w for w in ghost.caches if w.cache != address]
    return msgspec.structs.replace(
        ghost,
        caches=tuple(sorted([*others, after], key=lambda w: w.cache)),
        returned=returned,
        refused=refused,
        broken=broken,
    )


def _judge_read(ghost: Ghost, seen: Watched, result: Loaded | Granted, strict: bool) -> str:
    version = result.version
    if not ghost.first <= version <= ghost.version or ghost.content(version) != result.content:
        return "data_value"
    if version < seen.asked:
        return "bounded_staleness"
    if version < seen.served:
        return "monotone_reads"
    if strict and isinstance(result, Loaded) and version < seen.begun:
        return "strict_visibility"
    owns = isinstance(result, Granted) and (seen.cache, result.epoch) == (ghost.owner, ghost.epoch)
    return "swmr" if owns and version != ghost.version else ""


def _judge_ack(ghost: Ghost, seen: Watched, state: CacheState, result: Committed) -> str:
    by = seen.cache, state.serial
    made = [
        n for n, of in enumerate(ghost.commits, ghost.first + 1) if (of.writer, of.serial) == by
    ]
    if made:
        return "" if made == [result.version] else "version_order"
    # It made none: its content was the current one at some moment since it asked.
    current = seen.asked <= result.version <= ghost.version
    same = current and digest_of(ghost.content(result.version)) == digest_of(state.content)
    return "" if same else "version_order"


def _judge_refusal(
    ghost: Ghost, cache: Address, serial: Serial
) -> tuple[tuple[tuple[Address, Serial], ...], str]:
    made = any((made.writer, made.serial) == (cache, serial) for made in ghost.commits)
    return (*ghost.refused, (cache, serial)), "no_lost_update" if made else ""


# Predicates that need no memory.

_STABLE = READABLE | {CacheAt.I}
_LIVE = READABLE | {CacheAt.SM_D, CacheAt.MS_A}


def well_formed(home: HomeState, caches: Iterable[CacheState]) -> bool:
    """Whether every state keeps the invariants of its docstring."""
    sharers = [sharer.cache for sharer in home.sharers]
    unacked = [sharer.cache for sharer in home.unacked]
    return (
        sharers == sorted(set(sharers))
        and unacked == sorted(set(unacked))
        and (home.owner != "") == (home.at is HomeAt.M)
        and (not home.queue or home.at in (HomeAt.M, HomeAt.S_A))
        and (not home.writer or home.at is HomeAt.S_A)
        and (home.at is not HomeAt.I or not sharers)
        and (home.at is not HomeAt.E or len(sharers) == 1)
        and all(
            (cache.asked is None) == (cache.at in _STABLE)
            and (cache.at not in _LIVE or cache.version > cache.dead_through)
            and (not cache.again or isinstance(cache.asked, GetM))
            for cache in caches
        )
    )


def directory_agrees(
    home: HomeState,
    caches: Mapping[Address, CacheState],
    in_flight: Iterable[tuple[Address, Address, Any]],
) -> bool:
    """Whether home knows of every readable copy, or a message in flight ends the difference.

    For networks that lose nothing.  `in_flight` are (src, dst, message).
    """
    listed = {sharer.cache for sharer in home.sharers}
    told: dict[Address, Version] = {}
    for _, dst, message in in_flight:
        if isinstance(message, Inv):
            told[dst] = max(told.get(dst, 0), message.stale)
        elif isinstance(message, Update):
            told[dst] = max(told.get(dst, 0), message.version - 1)
    return all(
        told.get(address, -1) >= cache.version
        or (address in listed and cache.version == home.version)
        for address, cache in caches.items()
        if cache.at in READABLE
    )
