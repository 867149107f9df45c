"""The form of an observation: one line of JSON before a transaction and one after it.

A file holds the transactions of one client, which may have several threads or tasks::

    {"history": 1, "values": "appends", "clock": "", "client": "p3"}
    {"type": "invoke", "t": 1.0, "i": "p3-17", "w": ["x", "y"]}
    {"type": "ok", "t": 1.2, "i": "p3-17", "r": {"x": ["p1-1"]}, "w": ["x", "y"]}

The header may be missing: it is then as above.  `t` is in seconds.  `i` names a transaction within
all files.  The outcome is ``ok``, ``fail`` (it changed nothing) or ``info`` (not known).  A
transaction without an outcome, as a killed client leaves it, counts as ``info``.

=============  ====================================  =============================================
values         ``r``, what was read                  ``w``, what was written
=============  ====================================  =============================================
``appends``    name -> the tokens in its content     names to which `i` was appended as a token,
                                                     or name -> the tokens that were appended
``versions``   name -> [version, digest]; version 0  invoke: name -> digest; ok: name ->
               where nothing exists                  [version, digest]
=============  ====================================  =============================================

A digest is any text that equal contents share; null is a deletion, and "" a digest that is not
known.  Optional fields: `agent` and `call` for the reader of a witness; `stale_s`, by how many
seconds the values of a read may be old, null for any age; `h`, versions read from the history,
which need not be current.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from message_passing.errors import CallerError, EnvironmentFault

#: The form of the files.
FORM: Final = 1
VERSION_MAX: Final = 2**31 - 1


class BadHistory(CallerError):
    """The files are not the observations of one history."""

    remedy = "only the last line of a killed client may be cut short; see docs/histories.md"


class NoHistory(EnvironmentFault):
    """A file cannot be read."""


class Heading(msgspec.Struct, frozen=True):
    """The first line of a file.

    Times of files compare if their `clock` is equal; otherwise real time orders no two of their
    transactions.
    """

    history: int = FORM
    values: Literal["appends", "versions"] = "appends"
    clock: str = ""
    client: str = ""


Kind: TypeAlias = Literal["invoke", "ok", "fail", "info"]
Seen: TypeAlias = tuple[int, str | None]


class AppendsLine(msgspec.Struct, gc=False):
    """One line of a history whose contents testify the order of versions."""

    type: Kind
    t: float
    i: str
    r: dict[str, list[str]] = {}
    w: list[str] | dict[str, list[str]] | None = None
    agent: str = ""
    call: str = ""
    stale_s: float | None = 0.0


class VersionsLine(msgspec.Struct, gc=False):
    """One line of a history that has versions and digests as the store reports them."""

    type: Kind
    t: float
    i: str
    r: dict[str, Seen] = {}
    h: dict[str, Seen] = {}
    w: dict[str, str | Seen | None] | None = None
    agent: str = ""
    call: str = ""
    stale_s: float | None = 0.0


_HEADED: Final = b'{"history"'


def heading(path: Path) -> Heading:
    """The header of a file.  Raises `NoHistory`, `BadHistory`."""
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise NoHistory(f"{path}: {error.strerror or error}") from error
    if not first.startswith(_HEADED) or not first.endswith(b"\n"):
        return Heading()
    try:
        found = msgspec.json.decode(first, type=Heading)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadHistory(f"{path}, line 1: {error}") from error
    if found.history != FORM:
        raise BadHistory(
            f"{path} has the form {found.history}, and this release reads form {FORM}",
            remedy="read the file with the release that wrote it",
        )
    return found


def rows(path: Path, values: str) -> Iterator[tuple[int, int, Any]]:
    """The lines of a file: number, size in bytes, and the line as `values` says.

    A last line that was cut short is left out.  Raises `NoHistory`, `BadHistory`.
    """
    kind: Any = VersionsLine if values == "versions" else AppendsLine
    decode = msgspec.json.Decoder(kind).decode
    try:
        with path.open("rb") as file:
            for number, row in enumerate(file, start=1):
                if number == 1 and row.startswith(_HEADED):
                    continue
                try:
                    yield number, len(row), decode(row)
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    if row.endswith(b"\n"):
                        raise BadHistory(f"{path}, line {number}: {error}") from error
    except OSError as error:
        raise NoHistory(f"{path}: {error.strerror or error}") from error
