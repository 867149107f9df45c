"""Charts of files: the recordings of workspaces and endpoints, and the traces of simulations.

A recording of a workspace (`coherence.runtime.recorder`) has every event of one artifact's home and
caches, so its states are had by stepping the same tables once more.  A step that the tables do not
take, or a last state that differs, means another release wrote the file: it is refused.

Files of one clock are one chart.  A file that is still being written, or whose writer was killed,
may end in a part of a line: the chart ends before it, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from causal.account import accounts
from coherence.directory import GRANT
from coherence.messages import Message
from coherence.runtime.outcome import HOME
from coherence.runtime.recorder import REQUESTS, RecordedCache, processes
from coherence.simulate.recording import CLOCK as SIMULATION
from coherence_console.causal_chart import draw_accounts, draw_messages
from coherence_console.intervals import Chart, Drawing, Ledger
from message_passing import trace
from message_passing.canonical import Unencodable, digest
from message_passing.errors import CallerError
from message_passing.process import Address, Invoke, Receive, Restart, Step, Time, Timeout
from message_passing.trace import BadTrace, Header, Line
from message_passing.turn import interpret

T = TypeVar("T")

SUFFIX: Final = ".ndjson"
#: What one chart may be made of.
BYTES_MAX: Final = 256 << 20
FILES_MAX: Final = 10_000

_Event: TypeAlias = Invoke[REQUESTS] | Receive[Message] | Timeout | Restart


class _Row(msgspec.Struct):
    """A line of a recording, as far as it is stepped again."""

    time: Time
    process: Address
    action: str
    event: _Event
    state: str
    at: Time | None = None


class TooLarge(CallerError):
    """The recording is larger than a chart is made of."""

    remedy = "give fewer files: a recording has a file for each artifact"


class SeveralClocks(CallerError):
    """The files count time by clocks that cannot be compared."""

    remedy = "give the files of one machine, or of one recorder"


class NoRecording(CallerError):
    """There is no recording in the folder."""

    remedy = f"give a file that a recorder wrote, or a folder of files that end in {SUFFIX}"


def files_of(source: Path) -> list[Path]:
    """The files of a source: the file itself, or those of the folder.

    Raises `NoRecording`, `TooLarge`, `NoTrace`.
    """
    try:
        found = sorted(source.glob(f"*{SUFFIX}")) if source.is_dir() else [source]
        size = sum(file.stat().st_size for file in found)
    except OSError as error:
        raise trace.NoTrace(f"{source}: {error.strerror or error}") from error
    if not found:
        raise NoRecording(f"{source}: no file there ends in {SUFFIX}")
    if size > BYTES_MAX or len(found) > FILES_MAX:
        raise TooLarge(
            f"{source}: {len(found)} files of {size >> 20} MiB; the limits are {FILES_MAX} files"
            f" and {BYTES_MAX >> 20} MiB"
        )
    return found


class Recording(NamedTuple):
    """A chart, and the file of each artifact in it."""

    chart: Chart
    files: dict[str, Path]


def recording(files: Sequence[Path]) -> Recording:
    """The chart of files of one clock.

    Raises `NoTrace`, `BadTrace`, `SeveralClocks`.
    """
    drawing = Drawing()
    heads = [_header(path) for path in files]
    for head, path in zip(heads, files, strict=True):
        if _clock(head) != _clock(heads[0]):
            raise SeveralClocks(f"{files[0]} and {path} have different clocks")
    starts = [0.0 if head is None else head.start for head in heads]
    base = min(starts, default=0.0)
    sent: list[tuple[Header | None, Iterable[Line]]] = []
    paths: dict[str, Path] = {}
    drawn: list[_Artifact] = []
    for head, start, path in zip(heads, starts, files, strict=True):
        begin = next(_lines(path, Line, []), None)
        if begin is None or not _is_begin(begin):
            sent.append((head, _lines(path, Line, drawing.remarks)))
            continue
        if head is None:
            raise BadTrace(
                f"{path} has no header: its processes count time by several clocks",
                remedy="record the run again; `coherence trace` draws older files",
            )
        artifact = str(head.about.get("artifact", path.stem))
        if artifact in paths:
            raise BadTrace(f"{paths[artifact]} and {path} are both of {artifact!r}")
        paths[artifact] = path
        drawn.append(_Artifact(drawing, artifact, path, start - base))
        drawn[-1].draw(begin, _lines(path, _Row, drawing.remarks))
    if files and _clock(heads[0]) in (_clock(None), SIMULATION):
        drawing.unit = ""
    # Every endpoint has a file of its own; an account is of the messages of all.
    if messages := trace.merged(sent):
        _draw_messages(drawing, messages)
    for each in drawn:
        each.close()
    return Recording(drawing.chart(base), paths)


def _header(path: Path) -> Header | None:
    try:
        return trace.header(path)
    except BadTrace:
        rows, is_cut = _ending(path)
        if rows or not is_cut:
            raise
        return None


def _clock(head: Header | None) -> str:
    if head is None:
        return "of a trace without a header"
    return str(head.about.get("clock", "of a workspace"))


def _is_begin(line: Line) -> bool:
    request = line.event.get("request")
    return isinstance(request, dict) and request.get("type") == "Begin"


def _lines(path: Path, kind: type[T], remarks: list[str]) -> Iterator[T]:
    """The lines of a file, without a last line that is cut short, of which `remarks` tell."""
    number, read = 0, trace.read(path, kind)
    while True:
        try:
            line = next(read, None)
        except BadTrace as error:
            rows, is_cut = _ending(path)
            # `number` whole lines were read, and perhaps a header.
            if not is_cut or rows - number not in (0, 1):
                raise
            remarks.append(f"{path.name} ends in a part of a line: {error.args[0]}")
            return
        if line is None:
            return
        number += 1
        yield line


def _ending(path: Path) -> tuple[int, bool]:
    """The number of whole lines of a file, and whether a part of one follows."""
    rows, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            rows += block.count(b"\n")
            last = block[-1:]
    return rows, last != b"\n"


class _Artifact:
    """Steps the recorded events of one artifact again, and draws the states."""

    def __init__(self, drawing: Drawing, artifact: str, path: Path, shift: Time) -> None:
        self._drawing, self._path, self._shift = drawing, path, shift
        self._ledger = Ledger(drawing, artifact)
        self._parties: dict[Address, Any] = {}
        self._states: dict[Address, Any] = {}
        self._timers: dict[str, Time] = {}
        #: What home's clock is ahead of the chart's.
        self._ahead: Time = 0.0

    def draw(self, begin: Line, lines: Iterable[_Row]) -> None:
        """Draw all lines.  Raises `BadTrace` for a step that the tables do not take."""
        self._parties.update(processes((begin,)))
        last: dict[Address, tuple[int, str]] = {}
        for number, line in enumerate(lines, 2):
            try:
                self._step(line)
            except Exception as error:
                # A file can lead the tables into any state, and so to any error.
                raise _other_release(self._path, number, f"{line.action}: {error}") from error
            last[line.process] = number, line.state
        for name, (number, state) in last.items():
            try:
                same = digest(self._states[name]) == state
            except Unencodable:
                same = False
            if not same:
                raise _other_release(self._path, number, "the tables lead to another state")

    def close(self) -> None:
        """Draw what has not ended, once the end of the chart is known."""
        owner, lease = self._states[HOME].owner, self._timers.get(GRANT, inf)
        is_over = lease - self._ahead <= self._drawing.end
        self._ledger.close({owner: lease - self._ahead} if is_over else {})

    def _step(self, line: _Row) -> None:
        here, now = line.process, line.time
        if line.at is None or not isfinite(line.at) or not isfinite(now):
            raise ValueError("it has no moment on the recorder's clock")
        at = line.at + self._shift
        process = self._parties.get(here)
        if process is None:
            process = self._parties[here] = RecordedCache(self._parties[HOME].policy, HOME)
        state: Any = self._states[here] if here in self._states else process.initial()
        event = line.event
        if type(event) is Restart:
            state = process.durable(state)
        step: Step[Any] = process.step(state, event, now)
        if step.action != line.action:
            raise ValueError(f"the tables take {step.action}")
        self._states[here] = step.state
        if here == HOME:
            self._home(at, now, event, step)
        else:
            self._ledger.cache(at, here, step.state)

    def _home(self, at: Time, now: Time, event: Any, step: Step[Any]) -> None:
        self._ahead = now - at
        armed = self._timers.get(GRANT)
        if type(event) is Timeout:
            self._timers.pop(event.name, None)
        elif type(event) is Restart:
            self._timers.clear()
        interpret(step.commands, self._timers)
        if armed is not None and type(event) is Timeout and event.name == GRANT:
            # It ran out before the turn that noticed it.
            lapsed_at = armed - self._ahead
            self._ledger.home(at, step.state, lapsed_at=lapsed_at, cause="its lease ran out")
        else:
            self._ledger.home(at, step.state, cause=_cause(event))


def _cause(event: Any) -> str:
    kind = type(event.message).__name__ if type(event) is Receive else ""
    return "its agent left" if kind == "Leave" else ""


def _other_release(path: Path, number: int, what: str) -> BadTrace:
    return BadTrace(
        f"{path}, line {number}: not a step of this release's tables: {what}",
        remedy="read the file with the release that wrote it",
    )


def _draw_messages(drawing: Drawing, lines: Sequence[Line]) -> None:
    timed, is_timed = trace.on_one_clock(lines)
    if not is_timed:
        drawing.remarks.append(
            "the file mixes several clocks and has no header: steps are numbered"
        )
    book = accounts(timed)
    if book.messages:
        draw_accounts(drawing, book)
    else:
        draw_messages(drawing, timed)
        drawing.remarks.append("of this protocol only the messages are known, and no intervals")


class Said(msgspec.Struct, frozen=True):
    """A step of an agent or of its artifact's home, and the messages that it sent to the other."""

    at: Time
    process: Address
    action: str
    #: What happened: a request, a message that came, a timer that was due.
    event: str
    sent: tuple[str, ...]


def said(
    path: Path, start: Time, agent: Address, begin: Time, end: Time, at_most: int
) -> tuple[list[Said], int]:
    """The steps of `agent` and of the home about each other, and how many more there are.

    `start` is that of the chart.  Raises as `chart` does.
    """
    head, lines = _header(path), _lines(path, Line, [])
    shift = head.start - start if head is not None else 0.0
    found: list[Said] = []
    more = 0
    for line in lines:
        at = line.moment + shift
        if not begin <= at <= end or line.process not in (agent, HOME):
            continue
        other = HOME if line.process == agent else agent
        sent = tuple(
            _label(command.get("message"))
            for command in line.commands
            if command.get("type") == "Send" and command.get("dst") == other
        )
        if line.process == HOME and line.event.get("src") != agent and not sent:
            continue
        if len(found) < at_most:
            found.append(Said(at, line.process, line.action, _event(line.event), sent))
        else:
            more += 1
    return sorted(found, key=lambda each: each.at), more


def _event(event: dict[str, Any]) -> str:
    match event.get("type"):
        case "Receive":
            return f"{_label(event.get('message'))} from {event.get('src')}"
        case "Invoke":
            return f"asked: {_label(event.get('request'))}"
        case "Timeout":
            return f"timer {event.get('name')}"
        case other:
            return str(other)


def _label(value: Any) -> str:
    """The kind of a message and its short fields."""
    if not isinstance(value, dict):
        return str(value)[:80]
    shown = [
        f"{key} {item}"
        for key, item in value.items()
        if key in ("version", "base", "epoch", "grant", "reason", "stale") and item not in (0, None)
    ]
    return " ".join([str(value.get("type", "?")), *shown])[:120]
