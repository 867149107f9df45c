"""One tree of errors.  Each says whose fault it was, carries a stable code, and names a remedy.

::

    ToolkitError
    ├── CallerError            your call: nothing has changed; mend the call
    ├── PeerError              what another process sent: refused before any step ran
    ├── EnvironmentFault       disk, network, server, missing dependency: mend it and try again
    └── Defect                 ours, or of a process under test: please report it with the trace
        └── Impossible         an event that the protocol's table rules out in this state

Later layers add leaves under these four, and never a second root.
"""

from __future__ import annotations

import re
from typing import ClassVar

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class ToolkitError(Exception):
    """Root of every error that this distribution raises on purpose.

    `code` is stable across releases: match on it or on the class, never on the text.  It is the
    class's own name in small letters (`StoreFull`: ``store-full``) unless the class gives one.
    `remedy` says what to do next.
    """

    code: ClassVar[str] = "error"
    fault: ClassVar[str] = "unknown"
    remedy: str = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in vars(cls):
            cls.code = _WORD_START.sub("-", cls.__name__).lower()

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} ({self.remedy})" if self.remedy else text


class CallerError(ToolkitError):
    """The call was wrong.  It was refused before anything changed: mend the call and repeat it."""

    code = "caller"
    fault = "caller"


class PeerError(ToolkitError):
    """Another process sent something wrong.  It was refused before any step ran."""

    code = "peer"
    fault = "peer"


class EnvironmentFault(ToolkitError):
    """Something outside is missing or broken.  Mend it, then the same call may succeed."""

    code = "environment"
    fault = "environment"


class Defect(ToolkitError):
    """A promise of a process was broken by the process itself.  Report it with its trace."""

    fault = "ours"
    remedy = "a defect: please report it with the recorded trace"


class Impossible(Defect):
    """An event reached a cell of a protocol table that cannot be reached."""
