"""The store port: where homes live, and what a store promises.

A *home* (directory entry, current content and history of one artifact) is a `Row` in a store that
can compare and set.  Whoever needs a home transition opens a `Transaction`, loads the row, steps
the pure directory, and saves the new row, a new version's content and the outgoing messages.

What a store promises
---------------------

atomic
    All that one transaction saved becomes visible together, or nothing does.
isolated
    What a transaction loaded is still current when it takes effect: `save` names the revision that
    was loaded, and a row that has moved since makes the transaction raise `Moved` and do nothing.
    A store that locks never raises it; whoever runs a transaction must be ready to run it again.
durable
    A transaction that published a version has survived a crash of the machine once `__exit__`
    returned; any other has survived a crash of the process.  (Memory keeps neither.)
ordered
    The change log is in the order in which transactions took effect; `since` misses none, or says
    that it does (`Changes.gap`).
one history
    Each line of the log carries a random number.  A process that comes back with the number of the
    line it has reached is told where the log is another one (`Changes.foreign`): the store was put
    back from a backup, replaced, or failed over to a copy that lagged behind.
released
    An exception may cut off a call at any instruction, as a signal handler's does.  After `release`
    in that thread no lock is held and no transaction is open; all of it took effect, or nothing.
definite
    `StoreFault` out of a transaction means that nothing was saved, `OutcomeUnknown` that it cannot
    be known.
living
    `gone` says only of a process that has ended that it has.  It need not know of each.
awake
    `wait` returns soon after another process has appended to the log.  It may return early, and it
    may be late: a missed wake-up costs time, never coherence.

`coherence.stores.conformance` proves all of it for any store by one call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from coherence.contents import Content, Handle, Kind
from coherence.errors import StoreFault
from coherence.messages import ToCache, Version
from coherence.states import HomeState
from message_passing.process import Address, Time, Value


class Moved(StoreFault):
    """The row has moved since it was loaded: run the transaction again."""

    remedy = "run the transaction again; the workspace does so by itself"


class Row(Value, frozen=True, gc=False, tag=True, array_like=True):
    """One home as it is stored.  `state.content` is a `Handle`, or None where nothing was written.

    `timers` are those that the home has armed: name and deadline, on the store's clock.
    """

    state: HomeState
    timers: tuple[tuple[str, Time], ...] = ()

    @property
    def exists(self) -> bool:
        """Whether the artifact was written and is not deleted."""
        content = self.state.content
        return content is not None and content.kind is not Kind.TOMBSTONE


class Stored(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A row and the revision under which it was found; 0 for one that is not there yet."""

    row: Row
    revision: int


class Entry(Value, frozen=True, gc=False, tag=True, array_like=True):
    """One version in an artifact's history."""

    version: Version
    handle: Handle
    author: Address
    #: On the store's clock.
    at: Time
    #: Kept whatever the retention rule says.
    pinned: bool = False


class Post(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A message from a home to a cache of some process."""

    dst: Address
    message: ToCache


class Place(NamedTuple):
    """A place in the change log, and what tells the history that it is a place of.

    A `number` or a `generation` of 0 is not known, and is not compared.
    """

    #: Of the line that was read last; 0 before the first.
    seq: int
    #: The random number that this line carries.
    number: int = 0
    #: Of the store when the line was read.
    generation: int = 0


class Change(Value, frozen=True, gc=False, tag=True, array_like=True):
    """One line of the change log."""

    #: Counts from 1 without a hole.
    seq: int
    #: Drawn at random by the transaction that wrote the line.
    number: int
    #: The workspace whose transaction it was, by `Store.origin`.
    origin: int
    #: Empty where `author` has joined: the agent of that name before is superseded.
    artifact: str
    #: The version that was published, or 0 where messages were sent and nothing was published.
    #: With 0 and no `posts`, `author` was taken for dead: its home has forgotten what it had.
    version: Version
    author: Address
    at: Time
    #: Messages to caches outside the workspace of origin, in the order sent.
    posts: tuple[Post, ...] = ()


class Changes(NamedTuple):
    """What the log holds after a given place."""

    entries: Sequence[Change]
    #: Where to go on from.
    place: Place
    #: Some of what came after the given place is no longer kept.
    gap: bool
    #: The given place is one of another history: nothing that was read before counts any more.
    #: `entries` is empty then, and `place` is the end of the log.
    foreign: bool = False
    #: There may be lines after these.  A store that can tell for nothing spares its caller asking.
    more: bool = True


class Life(Value, frozen=True, gc=False, array_like=True):
    """Where a process lives, and what it has locked: what others need to find out that it ended."""

    #: Names the run of the kernel; empty where it is not known, and nothing below says anything.
    host: str = ""
    #: Names the process table in which `pid` is a number.
    space: str = ""
    pid: int = 0
    #: When it was started, by that table: a number is given out again, but not at that moment.
    started: int = 0
    #: What the process's lock is a lock of: a file, or a run of a server; empty where it has none.
    lock: str = ""


class Member(Value, frozen=True, gc=False, tag=True, array_like=True):
    """An agent that has joined and not left."""

    agent: Address
    session: int
    since: Time
    #: `Store.origin` of the process that it joined from; 0 where an older release did not say.
    origin: int = 0
    life: Life = Life()
    #: Until when it is a member where nobody can tell whether its process lives, on the store's
    #: clock; the process prolongs it.
    until: Time = 0.0
    #: When its process was found to have ended, on the store's clock; 0 where it was not.
    ended: Time = 0.0


class Retention(Value, frozen=True, gc=False, tag=True, array_like=True):
    """How much history is kept: the newest `versions`, and of those none older than `age_s`.

    The current version and pinned ones are kept always.  None is no limit.
    """

    versions: int | None = 64
    age_s: float | None = None


class Transaction(Protocol):
    """One atomic unit, from `__enter__` to `__exit__`; an exception in between rolls it back."""

    @property
    def now(self) -> Time:
        """The store's clock: one for all processes.  Never goes back within a transaction.

        What is decided about a row goes by the time after it was loaded: it may have been waited
        for.
        """
        ...

    def load(self, artifact: str) -> Stored | None:
        """The row of `artifact` as of now, or None where there is none."""
        ...

    def save(self, artifact: str, row: Row, expected: int) -> None:
        """Replace the row that was loaded under the revision `expected`; 0 makes a new one.

        Raises `Moved`, here or when the transaction ends, where that is not its revision.
        """
        ...

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
        """Add a version to the history, and let go of what `Retention` no longer keeps.

        The row was saved before.  `previous` is the content of the version before, where the
        caller has it at hand: a store may then keep that one as a difference.
        """
        ...

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        """Add a line to the change log."""
        ...

    def content(self, artifact: str, version: Version) -> Content | None:
        """The content of a version that is kept, or None; this transaction's own included."""
        ...

    def count(self) -> int:
        """How many artifacts have a row, about: never too few."""
        ...


class Store(Protocol):
    """Where homes live.  All calls are safe from any thread of one process."""

    #: Names the store: equal for all who open the same one, different for any other.
    identity: str
    #: Of this opening of the store, unlike any other's: drawn at random.
    origin: int
    #: The newest line that this opening has appended, 0 for none; its generation is not known.
    last: Place
    #: Whether `mark` is so cheap that every cached read can ask it.
    validates: bool
    #: Whether other processes can change this store.
    shared: bool
    #: Whether contents are kept as bytes, which a hash must prove; else as the objects they are.
    hashes: bool

    def transaction(self, *, publishes: bool) -> AbstractContextManager[Transaction]:
        """A transaction on any number of artifacts; only one that `publishes` may `publish`."""
        ...

    def mark(self) -> Any:
        """A token; as long as it is equal, nobody else has committed anything to the store."""
        ...

    def since(self, place: Place) -> Changes:
        """The change log after `place`, oldest first; at most some thousand lines at once.

        Says `foreign` where the line at that place is not the one that `place` names, or the
        store's generation is another.  Where that line is no longer kept there is a gap.
        """
        ...

    def head(self) -> Place:
        """The place of the newest line of the change log."""
        ...

    def wait(self, seq: int, timeout_s: float) -> None:
        """Block until the log has grown past `seq`, `wake` is called, or the time is over."""
        ...

    def wake(self) -> None:
        """Make a `wait` of this process return."""
        ...

    def join(self, agent: Address, *, beyond: int | None = None) -> int:
        """A session number for `agent`, larger than any that the store ever gave; it is logged.

        With `beyond`, a session that the agent has from another history: 0, and nothing is done,
        where another process has a larger one under that name.
        """
        ...

    def leave(self, agent: Address, session: int) -> None:
        """Forget that session of `agent`."""
        ...

    def members(self) -> list[Member]:
        """The agents that joined and did not leave, by name, without those that are `gone`.

        Where nobody can tell whether a process lives, its agents are members until `Member.until`.
        """
        ...

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        """The last session of each of these agents as far as it is known, also of those gone."""
        ...

    def gone(self, member: Member) -> bool:
        """Whether the process of `member` has ended for certain: False where nobody can tell.

        Cheap enough to be asked several times a second.
        """
        ...

    def bury(self, member: Member) -> None:
        """Note that the process of `member` has ended: no agent of it is a member any more.

        It takes that back itself, by `renew`, where it lives all the same.
        """
        ...

    def agree(self, text: str) -> str:
        """What others who have joined have agreed on; where there are none, `text` from now on."""
        ...

    def renew(self) -> None:
        """See to it that others take this process for what it is: alive.

        Takes its lock again where that was lost, and prolongs its agents' membership.
        """
        ...

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """The artifacts whose name begins with `prefix`, sorted; with `deleted`, those that were
        deleted too.
        """
        ...

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        """What each artifact holds whose name begins with `prefix` and comes after `after`.

        Sorted by name, the first `at_most` of those that exist.  Raises `StoreCorrupt`.
        """
        ...

    def row(self, artifact: str) -> Stored | None:
        """The row as last committed, without a transaction: for those who only look."""
        ...

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        """The versions from `since` on that are kept, oldest first."""
        ...

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        """One version, or None where it is not kept.  Raises `StoreCorrupt`."""
        ...

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        """Keep a version whatever the retention rule says, or no longer; False if not there."""
        ...

    def tidy(self) -> int:
        """Apply the retention rule everywhere and give back room; the number of versions let go."""
        ...

    def check(self) -> Iterable[str]:
        """What is damaged, in words; nothing where all is well."""
        ...

    def release(self) -> None:
        """Give back what a call of this thread has left behind: locks, a transaction, connections.

        For a caller whose call was cut off at any instruction, by an interrupt: nothing that it had
        not committed takes effect.  Does nothing where nothing was left, and does not block.
        """
        ...

    def close(self) -> None:
        """Let go of everything.  Later calls raise `StoreFault`."""
        ...
