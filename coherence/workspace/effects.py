"""The effects that an operation asks its driver to carry out.

Each operation of an agent is a generator, written once for threads and for tasks.  It yields
effects and receives their outcome or an error; `coherence.workspace.agent` carries them out by
blocking, `coherence.workspace.aio` by awaiting.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from coherence.messages import Epoch, Request, Version
from coherence.workspace.delta import diff
from coherence.workspace.view import Held


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Ask this agent's cache; receives the `Result`, after any wait."""

    artifact: str
    request: Request


class AskAll(NamedTuple):
    """Ask the caches of several artifacts in one transaction, all or nothing.

    Receives the name of the refused artifact and its `Refused`, or None if all were made.
    """

    asks: tuple[Ask, ...]


class Fetch(NamedTuple):
    """One version from the history; receives (entry, content), or None if it is not kept."""

    artifact: str
    version: Version


class Apply(NamedTuple):
    """Call a function of the application; receives its result."""

    function: Callable[[Any], Any]
    argument: Any


class Compare(NamedTuple):
    """Compare two texts; receives the difference as text.

    A comparison of long texts takes a while, and must not block the event loop.
    """

    before: str
    after: str

    def words(self) -> str:
        """The difference, for a prompt."""
        return diff(self.before, self.after).render(self.before)


class Grant(NamedTuple):
    """An exclusive grant that this agent holds, and the version its draft starts from."""

    artifact: str
    epoch: Epoch
    base: Version
    held: Held | None


class Hold(NamedTuple):
    """Renew the grant's lease from now on, until `LetGo` or for `hold_s`."""

    grant: Grant
    hold_s: float


class LetGo(NamedTuple):
    """Stop renewing the lease of this artifact's grant."""

    artifact: str


Effect: TypeAlias = Ask | AskAll | Fetch | Apply | Compare | Hold | LetGo
T = TypeVar("T")
Operation: TypeAlias = Generator[Effect, Any, T]
