"""Tests whether any store keeps the promises of `coherence.stores.port`.

::

    from coherence.stores.conformance import verify

    def make():
        store = MyStore()
        return lambda: store

    report = verify(make)
    assert report.kept, report

`verify` takes a function that makes a new, empty store and returns an *opener* of it: each call of
the opener is one more process that opens the same store.  (A store that lives in one process's
memory returns the same object each time.)  Base promises are checked for every store, extended ones
for a store that is `shared`, those of an archive for a store that has the calls of an `Archive`;
or at the caller's request.  Each check has the name of its promise, and its error describes the
violation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coherence.errors import NoArchive
from coherence.stores.archive import archive_of
from coherence.stores.archive_promises import ARCHIVE
from coherence.stores.joint_promises import JOINT
from coherence.stores.port import Store
from coherence.stores.promises import EXTENDED, SINGLE, Broken, Opener, Room

__all__ = ["ARCHIVE", "BASE", "EXTENDED", "Broken", "Opener", "Report", "verify"]

#: The promises of every store, by name.
BASE = SINGLE | JOINT


@dataclass(frozen=True)
class Report:
    """The result of the checks.  `broken` maps each broken promise to its violation."""

    checked: tuple[str, ...]
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether every promise that was checked was kept."""
        return not self.broken

    def __str__(self) -> str:
        lines = [f"{name}: {self.broken.get(name, 'kept')}" for name in self.checked]
        return "\n".join(lines)


def verify(
    make: Callable[[], Opener], *, extended: bool | None = None, archive: bool | None = None
) -> Report:
    """Check a store's promises, each on a new store.

    `extended` and `archive` say whether to check the promises of a store shared by several
    processes, and those of an archive, too; None asks the store.
    """
    checks = dict(BASE)
    if extended or (extended is None and _is(make, lambda store: store.shared)):
        checks |= EXTENDED
    if archive or (archive is None and _is(make, _is_archive)):
        checks |= ARCHIVE
    broken: dict[str, str] = {}
    for name, check in checks.items():
        room = Room(make())
        try:
            check(room)
        except Broken as error:
            broken[name] = str(error)
        except Exception as error:
            broken[name] = f"raised {type(error).__name__}: {error}"
        finally:
            room.close()
    return Report(tuple(checks), broken)


def _is(make: Callable[[], Opener], what: Callable[[Store], bool]) -> bool:
    store = make()()
    try:
        return what(store)
    finally:
        store.close()


def _is_archive(store: Store) -> bool:
    try:
        archive_of(store)
    except NoArchive:
        return False
    return True
