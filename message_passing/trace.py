"""Traces: one line of JSON a step, written by drivers and readable by people.

    coherence trace FILE

prints a message-sequence chart.  A line holds the time, the process, the action's name in the
TLA+ module, the event, the commands, and a digest of the state after the step.  Equal runs give
equal bytes, whatever `PYTHONHASHSEED` is.

A file may begin with a `Header`.  Where the processes count time by clocks of their own, as in a
recording of a workspace, each line also has its moment on one clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, TypeVar, overload

import msgspec

from message_passing.canonical import Unencodable, digest, plain
from message_passing.chart import Arrow
from message_passing.errors import CallerError, EnvironmentFault
from message_passing.process import Address, Event, Step, Time

T = TypeVar("T")

#: The form of the files that `Header` begins.
SCHEMA: Final = 1


class Header(msgspec.Struct, frozen=True):
    """The first line of a file that says what was recorded."""

    trace: int
    #: What `Line.at` counts from, in seconds of the clock that the writer chose.
    start: Time
    about: dict[str, Any] = {}


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step.  `event` and `commands` are as in `message_passing.process`, tagged by `type`."""

    #: By the clock of the process.
    time: Time
    process: Address
    action: str
    event: dict[str, Any]
    commands: list[dict[str, Any]]
    #: Sixteen hexadecimal digits, as `message_passing.canonical.digest` makes them; empty if the
    #: writer records none.
    state: str
    #: Seconds since the header's `start`, on one clock for all processes.
    at: Time | None = None

    @property
    def moment(self) -> Time:
        """The time by which lines of several processes compare, if the file has one."""
        return self.time if self.at is None else self.at


_HEADED: Final = b'{"trace":'


class BadTrace(CallerError):
    """A line of the file is not a line of a trace."""

    remedy = "give a file that TraceWriter wrote; the last line of a killed run may be cut short"


class NoTrace(EnvironmentFault):
    """The file cannot be read."""


class TraceWriter:
    """Writes a line for each step; pass it to a driver as `trace=`.

    `file` is open for binary writing; the caller closes it.  Raises `Unencodable`
    for a state or message that has no canonical form.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._write = file.write
        self._encode = msgspec.json.Encoder().encode

    def begin(self, start: Time, about: dict[str, Any]) -> None:
        """Write the header, before any step."""
        self._write(self._encode(Header(SCHEMA, start, about)) + b"\n")

    def __call__(
        self,
        now: Time,
        address: Address,
        event: Event[Any, Any],
        step: Step[Any],
        at: Time | None = None,
    ) -> None:
        """Write the line of one step."""
        try:
            commands = plain(step.commands)
            line = Line(now, address, step.action, plain(event), commands, digest(step.state), at)
            self._write(self._encode(line) + b"\n")
        except (TypeError, ValueError, OverflowError) as error:
            raise Unencodable(f"step {step.action} of {address!r}: {error}") from error


@overload
def read(path: str | Path) -> Iterator[Line]: ...


@overload
def read(path: str | Path, kind: type[T]) -> Iterator[T]: ...


def read(path: str | Path, kind: Any = Line) -> Iterator[Any]:
    """The steps in a file, one by one; `kind` is a struct with some of the fields of `Line`.

    Raises `NoTrace`, or `BadTrace` naming the line, also for a header of a newer release.
    """
    decode = msgspec.json.Decoder(kind).decode
    for number, row in _rows(path):
        if number == 1 and row.startswith(_HEADED):
            _header(path, row)
            continue
        try:
            yield decode(row)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadTrace(f"{path}, line {number}: {error}") from error


def header(path: str | Path) -> Header | None:
    """The header of a file, if it has one.  Raises as `read` does."""
    for _, row in _rows(path):
        return _header(path, row) if row.startswith(_HEADED) else None
    return None


def _rows(path: str | Path) -> Iterator[tuple[int, bytes]]:
    try:
        with open(path, "rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise NoTrace(f"{path}: {error.strerror or error}") from error


def _header(path: str | Path, row: bytes) -> Header:
    try:
        found = msgspec.json.decode(row, type=Header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadTrace(f"{path}, line 1: {error}") from error
    if found.trace != SCHEMA:
        raise BadTrace(
            f"{path} has the form {found.trace}, and this release reads form {SCHEMA}",
            remedy="read the file with the release that wrote it",
        )
    return found


def on_one_clock(lines: Sequence[Line]) -> tuple[list[Line], bool]:
    """`lines` in the order of their moments, and whether these are times of one clock.

    Recordings without a header mix clocks: their lines are numbered instead.
    """
    if all(line.at is not None for line in lines):
        return sorted(lines, key=lambda line: line.moment), True
    if all(one.time <= other.time for one, other in pairwise(lines)):
        return list(lines), True
    return [msgspec.structs.replace(line, at=float(n)) for n, line in enumerate(lines, 1)], False


def merged(files: Sequence[tuple[Header | None, Iterable[Line]]]) -> list[Line]:
    """The lines of several files in the order of their moments, counted from the earliest start.

    The files are of one clock, as when several processes of one computer recorded a run.
    """
    starts = [0.0 if head is None else head.start for head, _ in files]
    base = min(starts, default=0.0)
    found = [
        msgspec.structs.replace(line, at=line.moment + start - base) if start > base else line
        for start, (_, lines) in zip(starts, files, strict=True)
        for line in lines
    ]
    return sorted(found, key=lambda line: line.moment)


def arrows(lines: Sequence[Line], *, fields: bool = False) -> list[Arrow]:
    """The arrows of a chart: messages at their arrival, other events at their time.

    A message that was sent and, by the end of the trace, not received is an arrow marked lost.  Of
    equal messages between the same two processes, the earlier ones are assumed lost.
    """
    drawn: list[Arrow] = []
    open_sends: defaultdict[tuple[str, str, bytes], list[int]] = defaultdict(list)
    for line in lines:
        kind = str(line.event.get("type"))
        if kind == "Receive":
            src, label = str(line.event.get("src")), _label(line.event.get("message"), fields)
            drawn.append(Arrow(line.moment, src, line.process, label))
            if sends := open_sends[_identity(src, line.process, line.event)]:
                sends.pop()
        else:
            content = line.event.get("name", line.event.get("request"))
            label = kind if content is None else f"{kind} {_label(content, fields)}"
            drawn.append(Arrow(line.moment, line.process, line.process, label))
        for command in line.commands:
            if command.get("type") == "Send":
                dst, label = str(command.get("dst")), _label(command.get("message"), fields)
                open_sends[_identity(line.process, dst, command)].append(len(drawn))
                drawn.append(Arrow(line.moment, line.process, dst, label, lost=True))
    lost = {index for sends in open_sends.values() for index in sends}
    return [arrow for index, arrow in enumerate(drawn) if not arrow.lost or index in lost]


def summary(lines: Iterable[Line]) -> dict[str, Any]:
    """Counts of a trace: steps, the time of the last, actions, messages by kind, processes."""
    steps, end = 0, 0.0
    actions: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    processes: dict[Address, None] = {}
    for line in lines:
        steps, end = steps + 1, line.moment
        actions[line.action] += 1
        processes.setdefault(line.process)
        for command in line.commands:
            if command.get("type") == "Send":
                sent[_label(command.get("message"), False)] += 1
    return {
        "steps": steps,
        "end": end,
        "processes": sorted(processes),
        "actions": dict(sorted(actions.items())),
        "messages_sent": dict(sorted(sent.items())),
    }


def _identity(src: str, dst: str, holder: dict[str, Any]) -> tuple[str, str, bytes]:
    return src, dst, msgspec.json.encode(holder.get("message"))


def _label(value: Any, fields: bool) -> str:
    if not isinstance(value, dict):
        return str(value)
    name = str(value.get("type", "?"))
    if not fields:
        return name
    shown = [
        f"{key}={item}"
        for key, item in value.items()
        if key != "type" and isinstance(item, str | int | float) and len(str(item)) <= 24
    ]
    return f"{name}({', '.join(shown)})" if shown else name
