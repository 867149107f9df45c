"""Records simulated runs of the engine in the form of `coherence.runtime.recorder`.

    coherence simulate record churn runs
    coherence console --trace runs

There is one file for each artifact.  The time of a simulation is one clock, in steps, which the
header names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from coherence.directory import Home
from coherence.oracle import HOME
from coherence.runtime.recorder import begun, named
from message_passing.errors import EnvironmentFault
from message_passing.ports import Trace
from message_passing.process import Address, Event, Step, Time
from message_passing.trace import TraceWriter

#: The name of the clock in a header.
CLOCK: Final = "simulation"


class Unrecorded(EnvironmentFault):
    """The file of a recording cannot be made."""

    remedy = "name a folder that can be written and has room"


@contextmanager
def recording(
    folder: Path, artifact: str, home: Home, agents: Iterable[Address]
) -> Iterator[Trace]:
    """Give what it yields to a `Simulator` of `home` and caches as `trace=`.

    Raises `Unrecorded`, and in a step `OSError`, `Unencodable`.
    """
    path = folder / f"{quote(artifact, safe=' ')}.ndjson"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = path.open("wb")
    except OSError as error:
        raise Unrecorded(f"{path}: {error.strerror or error}") from error
    with opened as file:
        write = TraceWriter(file)
        about = {
            "artifact": artifact,
            "policy": type(home.policy).__name__,
            "agents": list(agents),
            "clock": CLOCK,
        }
        write.begin(0.0, about)
        write(0.0, HOME, *begun(home.policy, home.initial(), ()), 0.0)

        def take(now: Time, address: Address, event: Event[Any, Any], step: Step[Any]) -> None:
            write(now, address, named(event), named(step), now)

        yield take
