"""What an operation asks of its driver.

Each operation of an agent is a generator, written once for threads and for tasks.  It yields
effects and is sent their outcome, or has an error thrown in; `coherence.workspace.agent` carries
them out by blocking, `coherence.workspace.aio` by awaiting.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from coherence.messages import Epoch, Request, Version
from coherence.workspace.delta import diff
from coherence.workspace.view import Held


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Ask this agent's cache; is sent the `Result`, after however long a wait."""

    artifact: str
    request: Request


class AskAll(NamedTuple):
    """Ask the caches of several artifacts in one transaction, all of it or nothing.

    Is sent the name of the artifact that refused and its `Refused`, or None where all were made.
    """

    asks: tuple[Ask, ...]


class Fetch(NamedTuple):
    """One version from the history; is sent (entry, content), or None where it is not kept."""

    artifact: str
    version: Version


class Apply(NamedTuple):
    """Call a function of the application's; is sent what it returns."""

    function: Callable[[Any], Any]
    argument: Any


class Compare(NamedTuple):
    """How one text differs from another, in words; is sent that.

    Comparing long texts takes a while, for which no event loop may stand still.
    """

    before: str
    after: str

    def words(self) -> str:
        """The difference."""
        return diff(self.before, self.after).render(self.before)


class Grant(NamedTuple):
    """An exclusive grant that this agent holds, and the version its draft starts from."""

    artifact: str
    epoch: Epoch
    base: Version
    held: Held | None


class Hold(NamedTuple):
    """Renew the grant's lease from now on, until it is let go or `hold_s` are over."""

    grant: Grant
    hold_s: float


class LetGo(NamedTuple):
    """Renew the lease of this artifact's grant no longer."""

    artifact: str


Effect: TypeAlias = Ask | AskAll | Fetch | Apply | Compare | Hold | LetGo
T = TypeVar("T")
Operation: TypeAlias = Generator[Effect, Any, T]
