"""The archive: what commands, backups and upkeep ask of a store, beyond what a workspace needs.

A store of `coherence.stores.port` serves a workspace without these calls.  Where one of them is
needed, `archive_of` refuses such a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, cast

from coherence.errors import NoArchive
from coherence.messages import Version
from coherence.stores.port import Store
from coherence.stores.records import RefusedWrite, Tally
from message_passing.process import Time

if TYPE_CHECKING:
    import sqlite3

#: Called with the number of parts done and their total.
Progress: TypeAlias = Callable[[int, int], None]


class Archive(Store, Protocol):
    """A store whose history can be kept, pruned, checked and copied."""

    def pin(self, artifact: str, version: Version, pinned: bool) -> bool:
        """Exempt a version from the retention rule, or end that; False if it is not kept."""
        ...

    def tidy(self) -> int:
        """Apply the retention rule everywhere, and free space; the number of versions removed.

        Tallies of days more than `TALLY_DAYS` ago become one for each day and agent.
        """
        ...

    def check(self) -> Iterable[str]:
        """The damage in the store, as sentences; empty for an undamaged store."""
        ...

    def refusals(self, prefix: str = "", since: Time = 0.0) -> list[RefusedWrite]:
        """The refused writes that are kept, from `since` on, oldest first.

        `since` is a time on the store's clock.
        """
        ...

    def tallies(self, since_day: str = "") -> list[Tally]:
        """The tallies from that day on, sorted by day, agent and artifact."""
        ...

    def dump(self, db: sqlite3.Connection, progress: Progress | None = None) -> None:
        """Copy everything in the store, as of one moment, into `db`, an empty SQLite database.

        `coherence.stores.backup.fill` does so from an `Image`.
        """
        ...


CALLS: Final = ("pin", "tidy", "check", "refusals", "tallies", "dump")


def archive_of(store: Store) -> Archive:
    """`store`, if it is an archive too.  Raises `NoArchive`."""
    missing = [call for call in CALLS if not hasattr(store, call)]
    if missing:
        raise NoArchive(f"{type(store).__name__} has no {', '.join(missing)}")
    return cast("Archive", store)


class Image(NamedTuple):
    """Everything in a store, as of one moment, with values as in SQLite's tables.

    The parts are read once, in this order.
    """

    #: Empty if the backup needs a new identity.
    identity: str
    #: The last session number that was given.
    sessions: int
    #: Name, revision, version, alive, home.
    artifacts: Iterable[tuple[str, int, int, int, bytes]]
    #: Name, version, kind, size, digest, author, time, pinned, base, overwrite, reason, whole,
    #: body.
    versions: Iterable[tuple[str, int, str, int, bytes, str, float, int, int, int, str, int, bytes]]
    #: Seq, number, origin, name, version, author, time, posts.
    lines: Iterable[tuple[int, int, int, str, int, str, float, bytes]]
    #: The values of `records.refused_values`, oldest first.
    refusals: Iterable[tuple[Any, ...]] = ()
    #: The values of `records.tally_values`.
    tallies: Iterable[tuple[Any, ...]] = ()


class Backup(NamedTuple):
    """A backup that is ready to be restored into a store."""

    source: str
    #: A copy of this release, under a new generation.
    db: sqlite3.Connection
    #: When the backup was made, in seconds since the epoch; 0 if unknown.
    made: float
    artifacts: int
    versions: int
