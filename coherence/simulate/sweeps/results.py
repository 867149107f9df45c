"""What has been measured, by its parameters, in one SQLite file: a sweep goes on from there.

A row is kept with the parameters that it depends on, those of the program included, and its key is
their digest.  So rows never contradict one another, several sweeps may use a file at once, and a
process that is killed loses the rows of its last second.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import msgspec

from coherence.simulate.experiments.play import Costs
from coherence.simulate.sweeps.measuring import Found, Ideal, KeyedRow, Staleness
from message_passing.errors import CallerError, EnvironmentFault

FORM = 1
"""Of the file, its parameters and its figures.  Another form is refused, in both directions."""

_APPLICATION = 0x53574550  # "SWEP"
_BUSY_S = 60.0
_AT_ONCE = 500

_TYPES: dict[str, type[Found]] = {"costs": Costs, "ideal": Ideal, "staleness": Staleness}


class ForeignResults(CallerError):
    """The file does not have results of a sweep, or has them in the form of another release."""

    remedy = "name another file by --out; the sweep is measured again into it"


class ResultsFault(EnvironmentFault):
    """The file cannot be read or written.  What was written before is in it."""


class Results:
    """The measurements in a file, or in memory if `path` is None.

    Raises `ForeignResults` and `ResultsFault`, here and in every call.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        with self._typed():
            self._db = sqlite3.connect(
                ":memory:" if path is None else path.absolute(),
                timeout=_BUSY_S,
                isolation_level=None,
            )
        try:
            with self._typed():
                self._open()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def found(self, keys: Sequence[bytes]) -> dict[bytes, Found]:
        """Return the figures of those `keys` that have been measured."""
        known: dict[bytes, Found] = {}
        with self._typed():
            for first in range(0, len(keys), _AT_ONCE):
                some = keys[first : first + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._db.execute(
                    f"SELECT key, kind, figures FROM measurements WHERE key IN ({marks})", some
                )
                for key, kind, figures in rows:
                    known[key] = msgspec.json.decode(figures, type=_TYPES[kind])
        return known

    def add(self, rows: Iterable[KeyedRow]) -> None:
        """Keep measurements, all or none of them."""
        values = [
            (
                row.key,
                row.parameters["of"],
                msgspec.json.encode(row.parameters).decode(),
                msgspec.json.encode(row.found).decode(),
            )
            for row in rows
        ]
        with self._typed():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR IGNORE INTO measurements VALUES (?,?,?,?)", values)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _open(self) -> None:
        if self._form() == (0, 0) and not self._tables():
            self._db.execute("BEGIN IMMEDIATE")
            if not self._tables():  # no other sweep has been faster
                self._db.execute(
                    "CREATE TABLE measurements (key BLOB PRIMARY KEY, kind TEXT NOT NULL,"
                    " parameters TEXT NOT NULL, figures TEXT NOT NULL)"
                )
                self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {FORM}")
            self._db.execute("COMMIT")
        application, form = self._form()
        if application != _APPLICATION:
            raise ForeignResults(f"{self.path}: an SQLite file, but not the results of a sweep")
        if form != FORM:
            raise ForeignResults(
                f"{self.path}: results of form {form}, and this release has form {FORM}"
            )

    def _form(self) -> tuple[int, int]:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (form,) = self._db.execute("PRAGMA user_version").fetchone()
        return application, form

    def _tables(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.DecodeError, KeyError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> CallerError | EnvironmentFault:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_NOTADB"):
            return ForeignResults(f"{self.path}: not the results of a sweep")
        for prefix, remedy in _REMEDIES.items():
            if name.startswith(prefix):
                return ResultsFault(f"{self.path}: {error}", remedy=remedy)
        return ResultsFault(
            f"{self.path}: damaged: {error}",
            remedy="name another file by --out; the sweep is measured again into it",
        )


_ON = "what was saved before is in the file; then repeat the command, which goes on from there"
_REMEDIES = {
    "SQLITE_FULL": f"make room; {_ON}",
    "SQLITE_IOERR": f"make room, or mend the disk; {_ON}",
    "SQLITE_BUSY": f"another program holds the file: end that program; {_ON}",
    "SQLITE_LOCKED": f"another program holds the file: end that program; {_ON}",
    "SQLITE_READONLY": "make the file and its folder writable, or name another one by --out",
    "SQLITE_PERM": "make the file and its folder writable, or name another one by --out",
    "SQLITE_CANTOPEN": "name a file in a folder that exists and is writable",
}
