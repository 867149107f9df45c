"""The store port: what a workspace needs of a store of homes, and the promises of a store.

A *home* (directory entry, current content and history of one artifact) is a `HomeRow` in a store
that can compare and set.  A process that needs a home transition opens a `Transaction`, loads the
row, steps the pure directory, and saves the new row, a new version's content and the outgoing
messages.

Promises of a store
-------------------

atomic
    All changes of one transaction become visible together, or none does.
isolated
    When a transaction takes effect, all rows that it loaded are still current, also those that it
    does not save, and the rows for which it called `absent` are still missing.  `save` names the
    revision that was loaded.  If this fails, the transaction raises `Moved` and changes nothing.  A
    store that locks raises it rarely; every caller must be ready to run a transaction again.
one moment
    The rows, versions, contents and place that a `cut` or a `listing` returns are those of one
    moment between its call and its return.
durable
    A transaction that published a version has survived a crash of the machine once `__exit__`
    returned; any other has survived a crash of the process.  (The memory store survives neither.)
ordered
    The change log is in the order in which transactions took effect; `since` returns every later
    line, or reports a gap (`Changes.gap`).
one history
    Each line of the log carries a random number.  A process passes the number of the line that it
    has reached, and learns if the log is a different one (`Changes.foreign`): the store was
    restored, replaced, or failed over to a copy that lagged behind.
released
    An exception may cut off a call at any instruction, as a signal handler's does.  After `release`
    in that thread no lock is held and no transaction is open; the transaction took effect
    completely or not at all.
definite
    `StoreFault` from a transaction means that nothing was saved, `OutcomeUnknown` that the outcome
    is unknown.
living
    `gone` is true only for processes that have ended, but may be false for some of them.
awake
    `wait` returns soon after another process has appended to the log.  It may return early or late:
    a missed wake-up costs time, never coherence.

`coherence.stores.conformance` tests all promises of any store with one call.  What commands,
backups and upkeep need beside is in `coherence.stores.archive`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from coherence.contents import TOMBSTONE, Content, Handle
from coherence.errors import StoreFault
from coherence.messages import Digest, ToCache, Version
from coherence.states import HomeState
from coherence.stores.records import RefusedWrite, Tally
from message_passing.process import Address, Time, Value


class Moved(StoreFault):
    """The row has moved since it was loaded: run the transaction again."""

    remedy = "run the transaction again; the workspace does so automatically"


#: What a home holds whose artifact was never written, or is deleted.
ABSENT: Final = (None, TOMBSTONE)


class HomeRow(Value, frozen=True, gc=False, tag="Row", array_like=True):
    """The stored form of a home.  `state.content` is a `Handle`, or None before the first write.

    `timers` are the armed timers: name and deadline, on the store's clock.
    """

    state: HomeState
    timers: tuple[tuple[str, Time], ...] = ()

    @property
    def exists(self) -> bool:
        """Whether the artifact was written and is not deleted."""
        return self.state.content not in ABSENT


class Stored(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A row and its revision; 0 for a row that does not exist yet."""

    row: HomeRow
    revision: int


class Entry(Value, frozen=True, gc=False, tag=True, array_like=True):
    """One version in an artifact's history."""

    version: Version
    handle: Handle
    author: Address
    #: When it was published, on the store's clock.
    at: Time
    #: Exempt from the retention rule.
    pinned: bool = False
    #: The version that the writer had seen: below `version` - 1 after an overwrite or a rebase.
    #: 0 if it had seen none, and in versions of releases that did not record it.
    base: Version = 0
    #: Whether the writer asked to replace any version.
    overwrite: bool = False
    #: The writer's words, at most 200 characters.  A store may replace characters that it cannot
    #: hold, such as NUL.
    reason: str = ""


Held: TypeAlias = tuple[Version, Digest]
"""A version that a process holds: its number and the digest of its content."""

#: Nothing is held.
NOTHING: Final[Mapping[str, Held]] = MappingProxyType({})


class Cut(NamedTuple):
    """One artifact in a cut."""

    #: None if the row does not exist.
    stored: Stored | None = None
    #: The current version; None if the artifact was never written.
    entry: Entry | None = None
    #: None if the artifact does not exist, and if its content is held.
    content: Content | None = None

    @property
    def version(self) -> Version:
        """The number of the current version, 0 if the artifact was never written."""
        return self.stored.row.state.version if self.stored is not None else 0

    @property
    def exists(self) -> bool:
        """Whether the artifact was written and is not deleted."""
        return self.stored is not None and self.stored.row.exists

    def is_held(self, held: Held | None) -> bool:
        """Whether that is the current version, by number and digest."""
        return self.entry is not None and held == (self.entry.version, self.entry.handle.digest)


class Post(Value, frozen=True, gc=False, tag=True, array_like=True):
    """A message from a home to a cache of some process."""

    dst: Address
    message: ToCache


class Place(NamedTuple):
    """A place in the change log, and the numbers that identify its history.

    A `number` or a `generation` of 0 is not known, and is not compared.
    """

    #: The number of the last line read; 0 before the first.
    seq: int
    #: The random number that this line carries.
    number: int = 0
    #: The store's generation when the line was read.
    generation: int = 0


class Change(Value, frozen=True, gc=False, tag=True, array_like=True):
    """One line of the change log."""

    #: Counts from 1 without gaps.
    seq: int
    #: Drawn at random by the transaction that wrote the line; the same in all of its lines.
    number: int
    #: The workspace whose transaction it was, by `Store.origin`.
    origin: int
    #: Empty if `author` has joined: an earlier agent of that name is superseded.
    artifact: str
    #: The version that was published, or 0 if only messages were sent.
    #: With 0 and no `posts`, `author` was taken for dead, and its home has forgotten it.
    version: Version
    author: Address
    at: Time
    #: Messages to caches outside the workspace of origin, in the order sent.
    posts: tuple[Post, ...] = ()


class Changes(NamedTuple):
    """The log after a given place."""

    entries: Sequence[Change]
    #: The place from which to continue.
    place: Place
    #: Some lines after the given place are no longer kept.
    gap: bool
    #: The given place belongs to another history: everything read before is invalid.  Then
    #: `entries` is empty, and `place` is the end of the log.
    foreign: bool = False
    #: There may be more lines.  False from a store that knows the end saves a second call.
    more: bool = True


class Life(Value, frozen=True, gc=False, array_like=True):
    """The location of a process and its lock, by which others find out that it has ended."""

    #: Identifies the run of the kernel; empty if unknown, and then the fields below mean nothing.
    host: str = ""
    #: Identifies the process table of `pid`.
    space: str = ""
    pid: int = 0
    #: Its start time in that table: an id may be reused, but not with the same start time.
    started: int = 0
    #: The place of the process's lock: a file, or a run of a server; empty without a lock.
    lock: str = ""


class Member(Value, frozen=True, gc=False, tag=True, array_like=True):
    """An agent that has joined and not left."""

    agent: Address
    session: int
    since: Time
    #: `Store.origin` of the process that joined; 0 from an older release.
    origin: int = 0
    life: Life = Life()
    #: How long it is a member if the life of its process cannot be observed, on the store's clock;
    #: the process prolongs it.
    until: Time = 0.0
    #: When its process was found to have ended, on the store's clock; 0 otherwise.
    ended: Time = 0.0


class Retention(Value, frozen=True, gc=False, tag=True, array_like=True):
    """How much history is kept: the newest `versions`, and of those none older than `age_s`.

    The current version and pinned ones are always kept.  None means no limit.
    """

    versions: int | None = 64
    age_s: float | None = None


class Transaction(Protocol):
    """One atomic unit, from `__enter__` to `__exit__`; an exception in between rolls it back."""

    @property
    def now(self) -> Time:
        """The store's clock: one for all processes.  Never goes back within a transaction.

        Decisions about a row use the time after its load, which may have waited for a lock.
        """
        ...

    def load(self, artifact: str) -> Stored | None:
        """The present row of `artifact`, or None if it does not exist."""
        ...

    def load_all(self, artifacts: Collection[str]) -> None:
        """Load these rows, in one round trip and in the same order as every other transaction.

        `load` finds them then.  To be called first: a transaction that locks rows one by one, or
        after `absent` or `count`, may wait for another one that waits for it.
        """
        ...

    def absent(self, artifact: str) -> None:
        """Ensure that `artifact` has no row, and has none until the transaction takes effect.

        Raises `Moved`, here or when the transaction ends, if it has one, which this transaction
        must not have made.  To be called after the rows are loaded.
        """
        ...

    def save(self, artifact: str, row: HomeRow, expected: int) -> None:
        """Replace the row that was loaded with the revision `expected`; 0 makes a new one.

        Raises `Moved`, here or when the transaction ends, if the row has another revision.
        """
        ...

    def publish(
        self, artifact: str, entry: Entry, content: Content, previous: Content | None = None
    ) -> None:
        """Add a version to the history, and remove versions that `Retention` no longer keeps.

        The row must be saved first.  `previous` is the content of the version before, if the caller
        has it: a store may then store that version as a difference.
        """
        ...

    def append(
        self, artifact: str, version: Version, author: Address, posts: Sequence[Post]
    ) -> None:
        """Add a line to the change log."""
        ...

    def content(self, artifact: str, version: Version) -> Content | None:
        """The content of a kept version, including this transaction's own, or None."""
        ...

    def count(self) -> int:
        """The number of artifacts with a row: an estimate that is never too low."""
        ...

    def tally(self, rows: Sequence[Tally]) -> None:
        """Add these counts to those of the same day, agent and artifact."""
        ...


class Store(Protocol):
    """A store of homes.  All calls are safe from any thread of one process."""

    #: Identifies the store: equal for all openings of one store, different for any other.
    identity: str
    #: Identifies this opening of the store: drawn at random.
    origin: int
    #: Whether `mark` is so cheap that every cached read can ask it.
    validates: bool
    #: Whether other processes can change this store.
    shared: bool
    #: Whether contents are stored as bytes, verified by a hash, and not as objects.
    hashes: bool

    @property
    def last(self) -> Place:
        """The newest line that this opening has appended, 0 for none, without a generation."""
        ...

    def transaction(self, *, publishes: bool) -> AbstractContextManager[Transaction]:
        """A transaction on any number of artifacts; only one that `publishes` may `publish`."""
        ...

    def mark(self) -> Any:
        """A token; while it stays equal, no other opening has appended to the log.

        Where `validates` holds it also moves with every other commit of another opening.
        """
        ...

    def since(self, place: Place) -> Changes:
        """The change log after `place`, oldest first; at most some thousand lines at once.

        Reports `foreign` if the line at that place is not the one that `place` names, or if the
        store's generation differs.  If that line is no longer kept, reports a gap.
        """
        ...

    def head(self) -> Place:
        """The place of the newest line of the change log."""
        ...

    def wait(self, seq: int, timeout_s: float) -> None:
        """Block until the log has grown beyond `seq`, `wake` is called, or the time is over."""
        ...

    def wake(self) -> None:
        """Make a `wait` of this process return."""
        ...

    def join(self, agent: Address, *, beyond: int | None = None) -> int:
        """A session number for `agent`, larger than all earlier ones of the store; it is logged.

        `beyond` is a session that the agent has from another history: if another process has a
        larger one under that name, returns 0 and changes nothing.
        """
        ...

    def leave(self, agent: Address, session: int) -> None:
        """Forget that session of `agent`."""
        ...

    def members(self) -> list[Member]:
        """The agents that have joined and not left, by name, without those that are `gone`.

        If the life of a process cannot be observed, its agents are members until `Member.until`.
        """
        ...

    def sessions(self, agents: Collection[Address]) -> list[Member]:
        """The last known session of each of these agents, also of those gone."""
        ...

    def gone(self, member: Member) -> bool:
        """Whether the process of `member` has certainly ended; False if that cannot be known.

        Cheap enough to be called several times a second.
        """
        ...

    def bury(self, member: Member) -> None:
        """Note that the process of `member` has ended: its agents are no longer members.

        If the process lives, it reverts that by `renew`.
        """
        ...

    def agree(self, text: str) -> str:
        """The text that the members have agreed on; `text` from now on if there are no members."""
        ...

    def renew(self) -> None:
        """Show other processes that this one is alive.

        Takes its lock again if it was lost, and prolongs its agents' membership.
        """
        ...

    def tally(self, rows: Sequence[Tally]) -> None:
        """As `Transaction.tally`, in a transaction of its own, which a crash may lose."""
        ...

    def refuse(self, line: RefusedWrite, keep: int) -> None:
        """Record a refused write, and remove all such lines but the newest `keep`.

        Nothing else changes, except that `mark` of other openings may.  A crash may lose the line.
        """
        ...

    def now(self) -> Time:
        """The store's clock, without a transaction."""
        ...

    def names(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """The names that begin with `prefix`, sorted; with `deleted`, also deleted ones."""
        ...

    def current(
        self, prefix: str = "", *, after: str = "", at_most: int = 100
    ) -> Sequence[tuple[str, Entry, Content]]:
        """The content of each artifact whose name begins with `prefix` and comes after `after`.

        Sorted by name, the first `at_most` of those that exist.  Raises `StoreCorrupt`.
        """
        ...

    def row(self, artifact: str) -> Stored | None:
        """The last committed row, without a transaction, for callers that only read."""
        ...

    def revisions(self, prefix: str = "") -> list[tuple[str, int, bool]]:
        """Name, revision and `HomeRow.exists` of every row whose name begins with `prefix`.

        Sorted by name, in one query.  Rows of deleted artifacts, and of artifacts that were never
        written, are included.
        """
        ...

    def rows(self, names: Collection[str]) -> dict[str, Stored]:
        """The last committed rows of these artifacts, in one round trip; missing ones are left out.

        Raises `StoreCorrupt`.
        """
        ...

    def latest(self, names: Collection[str]) -> dict[str, Entry]:
        """The newest version of each of these artifacts, in one round trip.

        Artifacts that were never written are left out.  Raises `StoreCorrupt`.
        """
        ...

    def cut(
        self, names: Collection[str], have: Mapping[str, Held] = NOTHING
    ) -> tuple[dict[str, Cut], Place]:
        """These artifacts as of one moment, in one round trip, and the place in the log then.

        In the order of `names`, also those without a row.  Contents of versions in `have` are left
        out.  `since` the place has every change that is not in the cut.  Locks nothing.  A store
        that went back gives a place of another generation.  Raises `StoreCorrupt`, and
        `StoreReplaced` if the store has another identity now.
        """
        ...

    def listing(self, prefix: str = "") -> tuple[dict[str, Entry], Place]:
        """The current versions of all artifacts that exist and whose name begins with `prefix`.

        Sorted by name, as of one moment, with the place in the log then; as `cut`, but without
        contents: `read` has them as long as they are kept.
        """
        ...

    def history(self, artifact: str, since: Version = 0) -> list[Entry]:
        """The kept versions from `since` on, oldest first."""
        ...

    def read(self, artifact: str, version: Version) -> tuple[Entry, Content] | None:
        """One version, or None if it is not kept.  Raises `StoreCorrupt`."""
        ...

    def release(self) -> None:
        """Release what a call of this thread has left: locks, a transaction, connections.

        For a caller whose call was interrupted at any instruction: uncommitted changes do not take
        effect.  Does nothing if nothing was left, and does not block.
        """
        ...

    def close(self) -> None:
        """Release everything.  Later calls raise `StoreFault`."""
        ...
