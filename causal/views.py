"""Views: the processes of a team as one of them knows it, and how a change reaches all of them.

A view only grows: by processes that joined, and by processes that are *gone*, because they left,
crashed or were excluded.  So two views always have a union, and no order of changes needs to be
agreed.  One rule makes that enough for causal delivery: **a process installs what a packet says of
the view before it reads the rest of the packet**.  A process that acts on news of a change
therefore acts after all that the change fences off.

How the news spreads:

* a process that learns of a change tells every member, and the processes that are now gone;
* every packet carries the sender's view until its recipient is known to have it.  On links that
  lose, a process repeats its view until each member has confirmed it, and then omits it;
* a packet from a process that is gone is answered by the view, and otherwise ignored.  So a process
  that was excluded by mistake learns it from the first packet that it sends or receives;
* two processes that have excluded each other ignore each other, and both know it: they are members
  of two teams from then on (`parted`).

A process that leaves in good order excludes itself, after all its messages are delivered and none
is a secret any longer.  A process joins by a member's word; it acts once it has heard of itself,
and it hears at the same time of all that were gone then.  A name is never used twice.

Ours; the papers have no views.  Compare Birman and Joseph, "Exploiting Virtual Synchrony in
Distributed Systems" (SOSP 1987): there a view is agreed upon before it is installed, so that all
members deliver the same messages in each view.  Unicast needs no such agreement.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import permutations
from typing import Any, TypeVar

from msgspec.structs import replace

from causal.machine import Machine
from causal.messages import (
    Admit,
    Changes,
    DepartedPeer,
    ForgedPacket,
    Joined,
    Leave,
    NotAMember,
    Notice,
    PeerDown,
    Probe,
    UnknownPeer,
    Unsupported,
)
from message_passing.process import Address, Command, Respond, Send, Step, Time, Value

S = TypeVar("S", bound=Any)
Commands = list[Command[Any, Any]]


class View(Value, frozen=True, gc=False, tag=True):
    """The changes of a team since it was founded, as one process knows them.

    `unsure` are the members that may not have all of this view; only links that lose make a process
    unsure.  `parted` are processes that are gone for us, as we are for them.  A process that joins
    is not `admitted` before it has heard of itself.  A process that is out has `left`, or else was
    excluded; it was `leaving` until then if it left in good order.
    """

    joined: tuple[Joined, ...] = ()  # in the order in which we heard of them
    gone: tuple[Address, ...] = ()
    unsure: tuple[Address, ...] = ()
    parted: tuple[Address, ...] = ()
    leaving: bool = False
    left: bool = False
    admitted: bool = True

    def has(self, name: Address) -> bool:
        """Whether the process `name`, whose view this is, is in it."""
        return self.admitted and name not in self.gone

    @property
    def changes(self) -> Changes:
        """The view as a packet carries it."""
        return (*self.joined, *self.gone)

    def of(self, changes: Changes) -> tuple[tuple[Joined, ...], tuple[Address, ...]]:
        """The part of `changes` that is news: those that joined, and those that are gone."""
        here = {member.name for member in self.joined}
        joined = [c for c in changes if type(c) is Joined and c.name not in here]
        gone = [c for c in changes if type(c) is not Joined and c not in self.gone]
        return tuple(joined), tuple(gone)  # type: ignore[arg-type]

    def is_in(self, changes: Changes) -> bool:
        """Whether `changes` say all of this view."""
        names = {c.name for c in changes if type(c) is Joined}
        return {*self.gone} <= {*changes} and all(member.name in names for member in self.joined)


FOUNDED = View()
"""The view of a founder before any change.  Tests for this very object are shortcuts, no more."""


def restored(view: View | None, gone: tuple[Address, ...]) -> View:
    """The view of a snapshot; early snapshots have none, and only list who is gone."""
    found = View(gone=gone) if view is None else view
    return FOUNDED if found == FOUNDED else found


def splits(
    views: Mapping[Address, View], unaware: Set[Address]
) -> Iterator[tuple[Address, Address]]:
    """Pairs of members whose views differ, in a team at rest.

    Two that have excluded each other, and know it, do not count.  Nor does an excluded process that
    is `unaware`: it waits for nothing, and its next packet is answered by the news.
    """
    for a, b in permutations(views, 2):
        mine, its = views[a], views[b]
        if a in its.gone:
            if not (a in its.parted and b in mine.parted) and a not in unaware:
                yield a, b
        elif b not in mine.gone and {*mine.changes} != {*its.changes}:
            yield a, b


class Lookup:
    """What follows from a view, for a process `me` of a team."""

    def __init__(self, me: Address, team: tuple[Address, ...], view: View) -> None:
        names = (*team, *(member.name for member in view.joined))
        self.places = {name: place for place, name in enumerate(names)}
        self.gone = frozenset(view.gone)
        self.members = tuple(name for name in names if name not in self.gone)
        self.peers = tuple(name for name in self.members if name != me)

    def are_in(self, one: Address, other: Address) -> bool:
        """Whether these are two members."""
        gone = self.gone
        return one != other and one in self.places and one not in gone and other not in gone


class Viewed(Machine[S]):
    """A machine whose team changes; its state has a `view`."""

    def __init__(self, me: Address, team: Iterable[Address], **options: Any) -> None:
        super().__init__(me, team, **options)
        self._last = FOUNDED, Lookup(me, self.team, FOUNDED)

    # What a protocol adds.

    @abstractmethod
    def take(self, state: S, src: Address, packet: Any, commands: Commands, now: Time) -> Step[S]:
        """A packet of a member, its view installed, other than a notice."""

    @abstractmethod
    def forget(self, state: S, peers: Iterable[Address], commands: Commands) -> S:
        """Without what concerns `peers`: no message waits for them any more."""

    @abstractmethod
    def awaken(self, state: S, src: Address) -> S:
        """A notice says that `src` lives."""

    @abstractmethod
    def is_delivered(self, state: S) -> bool:
        """Whether every message of this process is delivered, and none is a secret any longer."""

    @abstractmethod
    def finish(self, state: S, commands: Commands, action: str, now: Time) -> Step[S]:
        """The step, with the timer armed if an outstanding packet may have been lost."""

    def founding(self) -> View:
        """The view before the first event."""
        return FOUNDED if self.me in self.place else View(admitted=False)

    # Names and places.

    def lookup(self, view: View) -> Lookup:
        """What follows from a view; that of the last view is kept."""
        if view is not self._last[0]:
            self._last = view, Lookup(self.me, self.team, view)
        return self._last[1]

    def placed(self, view: View, name: Address) -> int | None:
        """The place of a process in the team; those that joined follow the founders."""
        return self.lookup(view).places.get(name)

    def at(self, view: View, name: Address) -> int:
        """The place of a process that is known to be in the team."""
        return self.lookup(view).places[name]

    def name_at(self, view: View, place: int) -> Address:
        """The process at that place."""
        founders = len(self.team)
        return self.team[place] if place < founders else view.joined[place - founders].name

    def members(self, view: View) -> tuple[Address, ...]:
        """The processes in the view, founders first."""
        return self.lookup(view).members

    def peers(self, view: View) -> tuple[Address, ...]:
        """The other processes in the view."""
        return self.lookup(view).peers

    def carried(self, view: View, dst: Address) -> Changes:
        """What a packet to `dst` says of the view: nothing that `dst` has confirmed."""
        if view is FOUNDED or (self.lossy and dst not in view.unsure):
            return ()
        return view.changes

    def is_out(self, state: S) -> bool:
        """Whether this process has left the team or was excluded from it."""
        return self.me in state.view.gone

    # Requests.

    def recipient(self, view: View, dst: Address) -> int:
        """The place of a process to which this one may send; raises `CallerError`."""
        lookup = self.lookup(view)
        place = lookup.places.get(dst)
        if place is None:
            raise UnknownPeer(f"{dst!r} is not in the team of {self.me!r}")
        if dst in lookup.gone and dst != self.me:
            raise DepartedPeer(f"{dst!r} has left the view of {self.me!r}")
        self.acting(view)
        if view.leaving:
            raise NotAMember(f"{self.me!r} is leaving the team")
        return place

    def acting(self, view: View) -> None:
        """Raises `NotAMember` unless this process is a member."""
        if self.me in self.lookup(view).gone:
            raise NotAMember(f"{self.me!r} is out of the team")
        if not view.admitted:
            raise NotAMember(f"{self.me!r} has not been admitted yet")

    def changed(self, state: S, request: Any, now: Time) -> Step[S]:
        """A request that concerns the team."""
        view, commands = state.view, Commands()
        commands.append(Respond(None))
        match request:
            case Leave(at_once):
                if self.me not in view.gone:
                    self.acting(view)
                    state = replace(state, view=replace(view, leaving=not at_once))
                    if at_once:
                        state = self.depart(state, commands)
                return self.finish(state, commands, "Leave", now)
            case PeerDown(peer) | Probe(peer):
                if self.placed(view, peer) is None:
                    raise UnknownPeer(f"{peer!r} is not in the team of {self.me!r}")
                self.acting(view)
                if peer == self.me or peer in view.gone:
                    return Step(state, tuple(commands), type(request).__name__)
                if type(request) is Probe:
                    commands.append(Send(peer, Notice(self.carried(view, peer), ask=True)))
                else:
                    state = self.install(state, (), (peer,), "", commands)
            case Admit(peer, address):
                self.acting(view)
                if peer in view.gone:
                    raise DepartedPeer(f"{peer!r} has left the view of {self.me!r}")
                if self.placed(view, peer) is None:
                    state = self.install(state, (Joined(peer, address),), (), "", commands)
            case _:
                raise Unsupported(f"{self.name} has no {type(request).__name__}")
        return self.finish(state, commands, type(request).__name__, now)

    # Packets.

    def arrived(self, state: S, src: Address, packet: Any, now: Time) -> Step[S]:
        """Fence, install the news of a packet, then take it."""
        view, commands, changes = state.view, Commands(), packet.view
        lookup, is_notice = self.lookup(view), type(packet) is Notice
        if not (changes or is_notice) and view.admitted and lookup.are_in(src, self.me):
            # Most packets by far: between members, and nothing has changed.
            return self.take(state, src, packet, commands, now)
        joined, gone = view.of(changes)
        names = {member.name for member in joined}
        if src == self.me or (src not in lookup.places and src not in names):
            raise ForgedPacket(f"{self.me!r} has no peer {src!r}")
        if any(name not in lookup.places and name not in names for name in gone):
            raise ForgedPacket(f"{src!r} excludes processes that {self.me!r} does not know")
        asks = is_notice and packet.ask
        if self.me in view.gone:
            return self.answered(state, src, packet, self.me in changes or src in changes, now)
        if src in view.gone:
            if self.me in changes and src not in view.parted:
                view = replace(view, parted=tuple(sorted({*view.parted, src})))
                state = replace(state, view=view)
            knows = self.me in changes or (src in changes and not asks)
            return self.answered(state, src, packet, knows, now)
        if self.me in gone:
            return self.expelled(state, now)
        if not view.admitted and self.me not in names:
            return Step(state, (), "Fence")
        if joined or gone:
            state = self.install(state, joined, gone, src, commands)
        view = state.view
        knows = view.is_in(changes)
        if knows and src in view.unsure:
            state = self.assured(state, src)
        if asks or ((joined or gone) and (self.lossy or not knows)):
            commands.append(Send(src, Notice(view.changes, self.lossy and not knows)))
        if is_notice or src in gone:
            if src not in gone:
                state = self.awaken(state, src)
            return self.finish(state, commands, "ReceiveNotice", now)
        return self.take(state, src, packet, commands, now)

    def answered(self, state: S, src: Address, packet: Any, knows: bool, now: Time) -> Step[S]:
        """A packet between two processes of which one is gone: tell its sender, unless it knows."""
        commands: Commands = []
        view = state.view
        if not knows:
            commands.append(Send(src, Notice(view.changes)))
        elif view.unsure and type(packet) is Notice:
            heard = {src, *packet.view}
            unsure = tuple(name for name in view.unsure if name not in heard)
            state = replace(state, view=replace(view, unsure=unsure))
        return self.finish(state, commands, "Fence", now)

    # Changes.

    def install(
        self,
        state: S,
        joined: tuple[Joined, ...],
        gone: tuple[Address, ...],
        src: Address,
        commands: Commands,
    ) -> S:
        """Install news, from `src` if from another process, and tell everyone else."""
        view = state.view
        view = replace(
            view,
            joined=(*view.joined, *joined),
            gone=tuple(sorted({*view.gone, *gone})),
            admitted=True,
        )
        peers = self.peers(view)
        view = replace(view, unsure=peers if self.lossy else ())
        for peer in (*peers, *gone):
            if peer != src:
                commands.append(Send(peer, Notice(view.changes, peer in view.unsure)))
        return self.forget(replace(state, view=view), gone, commands)

    def assured(self, state: S, peer: Address) -> S:
        """`peer` has confirmed the view."""
        view = state.view
        unsure = tuple(name for name in view.unsure if name != peer)
        return replace(state, view=replace(view, unsure=unsure))

    def depart(self, state: S, commands: Commands) -> S:
        """Exclude ourselves and tell every member; keep nothing but the view."""
        view, before = state.view, self.peers(state.view)
        gone = tuple(sorted({*view.gone, self.me}))
        view = replace(view, gone=gone, unsure=before if self.lossy else (), left=True)
        for peer in before:
            commands.append(Send(peer, Notice(view.changes, self.lossy)))
        return replace(self.initial(), view=view)

    def expelled(self, state: S, now: Time) -> Step[S]:
        """The team has excluded us: keep nothing but the view."""
        view = state.view
        gone = tuple(sorted({*view.gone, self.me}))
        view = replace(view, gone=gone, unsure=(), leaving=False)
        return self.finish(replace(self.initial(), view=view), [], "Excluded", now)

    def leave_if_due(self, state: S, commands: Commands) -> S:
        """Depart, if this process is leaving and nothing holds it any more."""
        if state.view.leaving and not self.is_out(state) and self.is_delivered(state):
            return self.depart(state, commands)
        return state
