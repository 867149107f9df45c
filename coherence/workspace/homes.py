"""Runs home transitions inside a store's transaction.

There is no coordinator: a process that has a message for a home loads its row, steps the pure
directory and saves the outcome.  A due timer is an event that comes first, so the next process
notices a lease that has run out.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias
from weakref import ReferenceType

import msgspec

from coherence.contents import Content, Handle
from coherence.directory import ACKS, GRANT, PUSH, Home
from coherence.errors import QuotaExceeded, StoreCorrupt
from coherence.messages import CURRENT, Data, GetM, Leave, PutM, ToCache, ToHome, Update, Version
from coherence.policy import Policy
from coherence.states import HomeState
from coherence.stores.audit import is_home
from coherence.stores.port import Entry, HomeRow, Post, Transaction
from coherence.workspace.view import Held
from message_passing.process import (
    Address,
    CancelTimer,
    Event,
    Receive,
    Restart,
    Send,
    SetTimer,
    Step,
    Time,
    Timeout,
)

HOME = "home"
"""The address of a home, as its caches use it; each artifact has its own home."""


CARRIERS = (Data, Update)
"""The messages that carry content."""

SPANS = {GRANT: "grant_lease", ACKS: "validity", PUSH: "push_every"}
"""Timer of a home -> the field of a policy that says how far ahead it is armed."""

Brought: TypeAlias = Held | tuple[Handle, Content]
Todo: TypeAlias = tuple[Address, ToHome | Timeout | Restart]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The outcome of the messages to one artifact's home."""

    artifact: str
    #: Messages to caches of this process, in order.
    posts: list[Send[ToCache]]
    #: The contents of those posts: a reference to one that is cached here, or one that the
    #: transaction fetched.
    contents: dict[Version, Brought]
    #: The TLA+ action of the last message.
    action: str
    #: The version that was published, or 0, and its content as the writer holds it.
    published: Version
    made: Held | None
    #: Seconds from the transaction until the home's next timer is due; None if none is armed.
    due_s: float | None
    #: There is no such home: the answer is valid for this moment only.
    absent: bool


class Taken(NamedTuple):
    """The steps of a home in one transaction, and the state before them."""

    artifact: str
    policy: Policy
    before: HomeState
    timers: tuple[tuple[str, Time], ...]
    now: Time
    steps: list[tuple[Event[Any, Any], Step[HomeState]]]


def turn(
    tx: Transaction,
    home: Home,
    artifact: str,
    inbox: Sequence[tuple[Address, ToHome]],
    local: Container[Address],
    have: Mapping[str, ReferenceType[Held]],
    artifacts_max: int,
    taken: list[Taken] | None = None,
) -> Outcome:
    """Step the due timers of `artifact`'s home, then `inbox`; save and log the outcome.

    A leave message on behalf of a process that was taken for dead is logged, so that the process
    learns of it if it lives.

    A read alone makes no home: the reader of a missing artifact is not entered in a directory.
    Raises `QuotaExceeded` if a new home would exceed the limit.

    `local` are the agents of this process, `have` the contents that it holds.  A `PutM` arrives
    with the content itself; home keeps its handle.  The steps are appended to `taken` if it is
    given.
    """
    stored = tx.load(artifact)
    now = tx.now
    todo: Sequence[Todo] = inbox
    armed: dict[str, Time] = {}
    absent = False
    if stored is not None:
        row, revision = stored.row, stored.revision
        before, timers = row.state, row.timers
        if timers:
            armed = _capped(timers, home.policy, now)
            todo = [*_due(armed, now), *inbox]
    else:
        before, timers, revision = HomeState(), (), 0
        absent = not any(type(message) in (GetM, PutM) for _, message in inbox)
        if not absent:
            todo = [*_founding(tx, home, artifacts_max), *inbox]
    steps: list[tuple[Event[Any, Any], Step[HomeState]]] = []
    if taken is not None and not absent:
        taken.append(Taken(artifact, home.policy, before, timers, now, steps))
    state = before
    here: list[Send[ToCache]] = []
    away: list[Post] = []
    contents: dict[Version, Brought] = {}
    versions: list[tuple[Entry, Held, Handle | None]] = []
    told: ToCache | None = None
    published: Version = 0
    made: Held | None = None
    author = action = ""
    buried: list[Address] = []
    for src, what in todo:
        event: Event[Any, Any]
        if type(what) is PutM:
            content = what.content.handle
            if not content.digest and _is_current(tx, artifact, state, what.content):
                content = CURRENT
            event = Receive(src, PutM(what.serial, what.base, what.epoch, content, what.digest))
        elif type(what) is Timeout:
            if armed.get(what.name, inf) > now:
                continue
            del armed[what.name]
            event = what
        else:
            event = what if type(what) is Restart else Receive(src, what)
            if type(what) is Leave and src not in local:
                buried.append(src)
        try:
            step = home.step(state, event, now)
        except Exception as error:
            if is_home(before):
                raise
            raise StoreCorrupt(f"the directory entry of {artifact!r} is damaged") from error
        if taken is not None:
            steps.append((event, step))
        if step.state.version > state.version and type(what) is PutM:
            published, made, author = step.state.version, what.content, src
            versions.append((Entry(published, made.handle, src, now), made, state.content))
        state, action = step.state, step.action
        for command in step.commands:
            if type(command) is Send:
                message = command.message
                if command.dst not in local:
                    away.append(Post(command.dst, message))
                    continue
                here.append(command)
                if message is told:  # one invalidation goes to many
                    continue
                told = message
                if isinstance(message, CARRIERS) and message.content is not None:
                    version = message.version
                    if made is not None and version == published:
                        contents[version] = made
                    elif version not in contents:
                        handle = message.content
                        contents[version] = held_of(have, artifact, version, handle) or (
                            handle,
                            _content(tx, artifact, version),
                        )
            elif type(command) is SetTimer:
                armed[command.name] = command.at
            elif type(command) is CancelTimer:
                armed.pop(command.name, None)
    after = tuple(armed.items()) if armed else ()
    if not absent and (state is not before or after != timers):
        tx.save(artifact, HomeRow(state, after), revision)
    for entry, content, handle in versions:
        previous = held_of(have, artifact, entry.version - 1, handle)
        before_it = previous.content if previous is not None else None
        tx.publish(artifact, entry, content.content, before_it)
    if away or published:
        tx.append(artifact, published, author, away)
    for agent in buried:
        tx.append(artifact, 0, agent, ())
    due_s = min(armed.values()) - now if armed else None
    return Outcome(artifact, here, contents, action, published, made, due_s, absent)


def _is_current(tx: Transaction, artifact: str, state: HomeState, written: Held) -> bool:
    """Whether `written`, which has no digest, is the current content."""
    current, handle = state.content, written.handle
    if current is None or current.size_bytes != handle.size_bytes or current.kind != handle.kind:
        return False
    return _content(tx, artifact, state.version) == written.content


def _capped(timers: Sequence[tuple[str, Time]], policy: Policy, now: Time) -> dict[str, Time]:
    """`timers` by name, none later than a timer that `policy` would arm now.

    A later one was armed before the clock was set back, which must not prolong a lease.  While the
    clock does not go back, no timer is later.
    """
    armed = dict(timers)
    for name, at in timers:
        span = getattr(policy, SPANS[name]) if name in SPANS else None
        if span is not None and at > now + span:
            armed[name] = now + span
    return armed


def _due(armed: Mapping[str, Time], now: Time) -> list[Todo]:
    """The timers that have run out, the oldest first."""
    due = sorted((at, name) for name, at in armed.items() if at <= now)
    return [("", Timeout(name)) for _, name in due]


def _founding(tx: Transaction, home: Home, artifacts_max: int) -> list[Todo]:
    """The first event of a new home, which arms its push if its policy has one."""
    if tx.count() >= artifacts_max:
        raise QuotaExceeded(f"there are {artifacts_max} artifacts already")
    return [("", Restart())] if home.policy.push_every is not None else []


def held_of(
    have: Mapping[str, ReferenceType[Held]],
    artifact: str,
    version: Version,
    handle: Handle | None,
) -> Held | None:
    """That version, if this process holds it with the same number and the same content."""
    found = have.get(artifact)
    held = found() if found is not None else None
    if held is not None and held.ref.version == version and held.handle == handle:
        return held
    return None


def _content(tx: Transaction, artifact: str, version: Version) -> Content:
    content = tx.content(artifact, version)
    if content is None:
        raise StoreCorrupt(f"the current version {version} of {artifact!r} is not in its history")
    return content
