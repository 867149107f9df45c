"""Agents that change one real file, with the decisions of `file_guard.rules` before and after.

An agent reads the file, whole or a part of it, writes it whole, replaces a passage, hears what has
changed after a shell command, and loses its context to a compaction.  Its tools look at the file
and change it in two steps, between the hooks.  Programs without hooks change the file too, and
bring back contents that were kept.  Every change adds a line of its own, so a line that is not
there was lost.  The rules are those that run in the hooks; what `file_guard.journal` remembers
between them is the state of this model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from file_guard.rules import Call, Facts, Write, after, before, digest
from specs.checker.errors import UsageError
from specs.checker.model import Action, Model, Property, always, reachable

END = b"end\n"
READS = ("read", "part")
KINDS = (*READS, "write", "edit", "sweep", "compact")


class Seat(NamedTuple):
    """An agent, and what the journal has of it."""

    #: How many more calls it makes, and how many changes it has made.
    calls: int
    changes: int = 0
    #: The whole text in its context.
    text: bytes | None = None
    #: Digests, as in `Facts`.
    seen: str | None = None
    told: str | None = None
    #: The call under way: idle, checked, found or done; its kind; what it is to write.
    at: str = "idle"
    kind: str = ""
    content: bytes | None = None
    #: What its tool has found; and of its first hook, the digest and the number of writes.
    found: bytes | None = None
    check: str | None = None
    since: int = 0


class GuardedFile(NamedTuple):
    """The file, the agents, and what the journal has of the file."""

    disk: bytes
    seats: tuple[Seat, ...]
    #: How many more changes are made without hooks.
    outside: int
    writes: tuple[Write, ...] = ()
    kept: frozenset[bytes] = frozenset()
    #: Lines that were on disk, and those of which an agent was told that they are lost.
    published: frozenset[bytes] = frozenset()
    told: frozenset[bytes] = frozenset()

    def with_seat(self, number: int, seat: Seat) -> GuardedFile:
        """The same with another state of one agent."""
        return self._replace(seats=(*self.seats[:number], seat, *self.seats[number + 1 :]))

    def texts(self) -> Callable[[str], bytes | None]:
        """What `Journal.text` returns."""
        return {digest(each): each for each in self.kept}.get

    def facts(self, number: int) -> Facts:
        """What `Journal.facts` returns."""
        seat = self.seats[number]
        writes = self.writes[-1:] if seat.check is None else self.writes[seat.since :]
        return Facts("f", str(number), self.disk, seat.seen, seat.told, seat.check, writes)

    def published_as(self, disk: bytes) -> GuardedFile:
        """The same with another content on disk."""
        return self._replace(disk=disk, published=self.published | lines(disk))


def guarded_file(
    agents: int = 2,
    calls: int = 2,
    outside: int = 0,
    kinds: str = " ".join(KINDS),
    *,
    says_found: bool = True,
    restores: bool = False,
) -> Model[GuardedFile, GuardedFile]:
    """Agents with `calls` each, of some kinds; `says_found`: tools report what they have found.

    `outside` changes are made without hooks; with `restores` a change may bring back a content.
    """
    if not kinds or not set(kinds.split()) <= set(KINDS):
        raise UsageError(f"{kinds!r} are not kinds of calls", remedy=f"some of: {' '.join(KINDS)}")

    def end(world: GuardedFile, number: int) -> GuardedFile:
        seat = world.seats[number]
        if says_found and seat.found is not None:
            world = world._replace(kept=world.kept | {seat.found})
        call = call_of(number, seat)._replace(found=seat.found if says_found else None)
        verdict = after(world.facts(number), call, world.texts())
        kept = {world.disk} if verdict.keep is None else {world.disk, verdict.keep}
        world = world._replace(kept=world.kept | kept)
        lost = (lines(world.texts()(loss.digest)) for loss in verdict.losses)
        told = world.told.union(*lost) - lines(world.disk)
        writes = world.writes
        if verdict.wrote is not None:
            writes += (Write(verdict.wrote, str(number), str(number), verdict.base),)
        text = seat.text
        if verdict.losses and verdict.seen == digest(world.disk) and text == verdict.keep:
            text = world.disk  # the difference was shown whole
        changes = seat.changes + (seat.kind not in READS)
        over = remembering(seat, verdict.seen, verdict.told)
        over = Seat(seat.calls - 1, changes, text, over.seen, over.told)
        return world._replace(told=told, writes=writes).with_seat(number, over)

    def steps(world: GuardedFile, number: int) -> Iterator[tuple[str, GuardedFile]]:
        seat = world.seats[number]
        if seat.at == "idle" and seat.calls:
            for kind in kinds.split():
                alone = kind in ("sweep", "compact")
                name = kind.capitalize() if alone else f"Before {kind}"
                yield name, begin(world, number, kind)
        elif seat.at in ("checked", "found"):
            looks = seat.at == "checked" and seat.kind not in READS
            yield "Look" if looks else seat.kind.capitalize(), act(world, number)
        elif seat.at == "done":
            yield f"After {seat.kind}", end(world, number)

    def actions(world: GuardedFile) -> Iterator[tuple[Action, GuardedFile]]:
        for number in range(agents):
            for name, then in steps(world, number):
                yield Action(name, f"agent{number}"), then
        # No hook can know of a change between a tool's two steps, nor of one before them if the
        # tool does not say what it found; nor that a file has changed back while it was read.
        hidden = ("found",) if says_found else ("found", "checked")
        if not world.outside or any(seat.at in hidden for seat in world.seats):
            return
        left = world._replace(outside=world.outside - 1)
        yield Action("Outside"), left.published_as(added(world.disk, b"outside%d" % world.outside))
        if restores and not any(seat.at == "done" and seat.kind in READS for seat in world.seats):
            for old in sorted(world.kept - {world.disk}):
                wanted = world.published & lines(old)
                yield Action("Restore", subject=old), left._replace(disk=old, published=wanted)

    first = GuardedFile(END, (Seat(calls),) * agents, outside)
    return Model("guarded-file", [first], actions, list(promises()), terminal=at_rest)


def begin(world: GuardedFile, number: int, kind: str) -> GuardedFile:
    """The hook before a call; one that is denied, or has no tool in it, is over."""
    seat, now = world.seats[number], digest(world.disk)
    over = seat._replace(calls=seat.calls - 1)
    if kind == "sweep":
        late = seat.seen not in (None, now)
        return world.with_seat(number, over._replace(told=now if late else seat.told))
    if kind == "compact":
        return world.with_seat(number, over._replace(text=None, seen=None, told=None))
    if kind not in READS:
        world = world._replace(kept=world.kept | {world.disk})
    content = added(seat.text or END, line_of(number, seat)) if kind == "write" else None
    started = seat._replace(at="checked", kind=kind, content=content)
    verdict = before(world.facts(number), call_of(number, started), world.texts())
    if verdict.deny:
        return world.with_seat(number, remembering(over, verdict.seen, verdict.told))
    started = remembering(started, verdict.seen, verdict.told)
    return world.with_seat(number, started._replace(check=now, since=len(world.writes)))


def act(world: GuardedFile, number: int) -> GuardedFile:
    """A step of the tool: it looks at the file, or it changes it."""
    seat = world.seats[number]
    if seat.kind in READS:
        # At worst an agent takes the part for the whole, if it did not know the text before.
        is_whole = seat.kind == "read" or seat.text == world.disk
        return world.with_seat(
            number, seat._replace(at="done", text=world.disk if is_whole else END)
        )
    if seat.at == "checked":
        return world.with_seat(number, seat._replace(at="found", found=world.disk))
    line = line_of(number, seat)
    made = added(seat.found or END, line) if seat.content is None else seat.content
    text = seat.text and added(seat.text, line) if seat.content is None else seat.content
    return world.published_as(made).with_seat(number, seat._replace(at="done", text=text))


def promises() -> Iterator[Property[GuardedFile]]:
    """What the guard promises; and that the model has what these are about."""

    def is_told(world: GuardedFile) -> bool:
        return world.published <= lines(world.disk) | world.told

    def is_known(world: GuardedFile) -> bool:
        contents = {digest(each): each for each in (*world.kept, world.disk)}
        return all(
            lines(contents.get(seat.seen)) <= lines(seat.text)
            for seat in world.seats
            if seat.at == "idle" and seat.seen is not None
        )

    def has_loss(world: GuardedFile) -> bool:
        return at_rest(world) and bool(world.told)

    def has_all(world: GuardedFile) -> bool:
        return at_rest(world) and len(lines(world.disk)) >= len(world.seats)

    yield always("what is lost is told", is_told, when=at_rest)
    yield always("what counts as seen is known", is_known)
    yield reachable("a loss", has_loss)
    yield reachable("the changes of all", has_all)


def at_rest(world: GuardedFile) -> bool:
    """Whether no call is under way."""
    return all(seat.at == "idle" for seat in world.seats)


def lines(text: bytes | None) -> frozenset[bytes]:
    """The changes that a text holds."""
    return frozenset((text or END).split(b"\n")) - {b"", b"end"}


def added(text: bytes, line: bytes) -> bytes:
    """`text` with one more line before its end."""
    return text.replace(END, line + b"\n" + END)


def line_of(number: int, seat: Seat) -> bytes:
    """The line that the agent's next change adds."""
    return b"agent%d.%d" % (number, seat.changes)


def call_of(number: int, seat: Seat) -> Call:
    """The call under way, as a hook is told of it."""
    if seat.kind in READS:
        return Call("read", whole=None if seat.kind == "read" else False)
    if seat.kind == "edit":
        return Call("edit", edits=((END, added(END, line_of(number, seat)), False),))
    return Call(seat.kind, seat.content)


def remembering(seat: Seat, seen: str | None, told: str | None) -> Seat:
    """What `Journal.remember` does."""
    known = seat.seen if seen is None else seen
    if known is None or (seen is None and told is None):
        return seat
    return seat._replace(seen=known, told=told)
