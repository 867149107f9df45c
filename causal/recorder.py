"""Records the steps of endpoints, so that a person can see a run.

::

    with Recorder("runs") as recorder, Endpoint("ann", team, hub.transport(), recorder=recorder):
        ...
    # coherence console --trace runs              who sent what to whom, and why it waited
    # coherence causal explain runs/*.ndjson      the same as a table

There is one file for each endpoint, in the format of `message_passing.trace`: a header, then one
line for each step of its machine.  `Line.time` is of the event loop.  `Line.at` counts from the
header's `start`, by the computer's monotonic clock: the files of all processes of one computer are
of one clock, which their headers name.  Of a payload only the length is written.

A step that the machine refused is not in the file, nor is a message that a full inbox dropped.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

import msgspec

from causal.machine import Machine
from message_passing.canonical import plain
from message_passing.clocks import name_of
from message_passing.errors import EnvironmentFault
from message_passing.ports import Clock
from message_passing.process import Address, Event, Step, Time
from message_passing.trace import Line, TraceWriter
from message_passing.turn import Core, Effects

_log = logging.getLogger(__name__)


class Unrecorded(EnvironmentFault):
    """The file of an endpoint's recording cannot be made."""

    remedy = "name a folder that can be written and has room"


class RecordedCore(Core):
    """A core that writes a line for each step; a file that fails ends the recording alone."""

    def __init__(self, machine: Machine[Any], file: IO[bytes], clock: Clock) -> None:
        super().__init__(machine)
        self._name, self._file, self._clock = machine.me, file, clock
        self._encode = msgspec.json.Encoder().encode

    def step(self, event: Event[Any, Any], now: Time) -> tuple[Step[Any], Effects]:
        step, effects = super().step(event, now)
        if not self._file.closed:
            # The application must not fail with its recording.
            about = _without_payload(plain(event))
            commands = [_without_payload(plain(command)) for command in step.commands]
            line = Line(now, self._name, step.action, about, commands, "", self._clock())
            try:
                self._file.write(self._encode(line) + b"\n")
            except (OSError, TypeError, ValueError, OverflowError) as error:
                _log.error("%s: the recording ends: %s", self._file.name, error)
                self.end()
        return step, effects

    def end(self) -> None:
        """Close the file; a second call does nothing."""
        try:
            self._file.close()
        except OSError as error:
            _log.error("%s: the end of the recording is lost: %s", self._file.name, error)


class Recorder:
    """Give it to endpoints as `recorder=`; each has its file in `folder` when it is closed.

    An endpoint that comes back under its name gets another file.  `clock` counts the seconds of
    `Line.at`.
    """

    def __init__(self, folder: str | Path, *, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._cores: list[RecordedCore] = []
        self._closed = False
        self.folder = Path(folder)

    def core(self, machine: Machine[Any]) -> Core:
        """A core whose steps are recorded, until `close`.  Raises `Unrecorded`."""
        if self._closed:
            return Core(machine)
        about = {
            "endpoint": machine.me,
            "protocol": machine.name,
            "team": list(machine.team),
            "clock": name_of(self._clock),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self._file(machine.me)
            try:
                TraceWriter(file).begin(self._start, about)
                file.flush()
            except BaseException:
                with suppress(OSError):
                    file.close()
                raise
        except OSError as error:
            raise Unrecorded(f"{self.folder}: {error.strerror or error}") from error
        core = RecordedCore(machine, file, lambda: self._clock() - self._start)
        self._cores.append(core)
        return core

    def close(self) -> None:
        """End the recording; later steps of the endpoints are not recorded."""
        self._closed = True
        for core in self._cores:
            core.end()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _file(self, name: Address) -> IO[bytes]:
        number = 1
        while True:
            mark = f"-{number}" if number > 1 else ""
            try:
                return (self.folder / f"{quote(name, safe=' ')[:200]}{mark}.ndjson").open("xb")
            except FileExistsError:
                number += 1


def _without_payload(value: dict[str, Any]) -> dict[str, Any]:
    """An event or a command, with the length of a payload in its place."""
    for key in ("request", "message"):
        content = value.get(key)
        if isinstance(content, dict) and isinstance(content.get("payload"), bytes):
            content["payload"] = len(content["payload"])
    return value
