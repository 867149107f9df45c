"""Several homes as one: whether a transaction of commits and checks stands.

The driver, `coherence.runtime.homes`, steps the homes within one store transaction and asks `joint`
before anything takes effect; the model of transactions asks the same function.  Three rules:

* **Written first.**  The homes of the commits are stepped before those of the checks.
* **Again means made.**  A transaction whose outcome is unknown is sent again.  If a home remembers
  one of its commits, it stands, whatever has happened since to the versions that it read.
* **All or nothing.**  Otherwise any refusal refuses all of it, and each home that refuses is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from coherence.entries import judged
from coherence.messages import Check, Nack, PutM
from coherence.states import HomeState
from message_passing.process import Address, Send, Step


class Part(NamedTuple):
    """What one home did with its message of a transaction."""

    artifact: str
    message: PutM | Check
    before: HomeState
    step: Step[HomeState]


class Joint(NamedTuple):
    """How the homes of a transaction judge it: it stands, unless one of them objects."""

    #: The refusals, by artifact.
    refused: Mapping[str, Nack] = {}
    #: The artifacts whose home knows a later session under the writer's name.
    overtaken: tuple[str, ...] = ()
    #: The transaction was made when it was sent the first time.
    again: bool = False

    @property
    def stands(self) -> bool:
        """Whether everything takes effect, or has taken effect."""
        return not (self.refused or self.overtaken)


def joint(writer: Address, written: Iterable[Part], read: Iterable[Part] = ()) -> Joint:
    """The judgement of a transaction of `writer`.

    `read` is iterated after `written`, and only if no home remembers a commit: a driver may step
    the homes as they are iterated.
    """
    refused: dict[str, Nack] = {}
    overtaken = []
    again = False
    for part in written:
        serial = part.message.serial
        again = again or _is_made(part.before, writer, serial)
        refusal = _refusal(part.step)
        if refusal is not None:
            refused[part.artifact] = refusal
        elif not _is_made(part.step.state, writer, serial):
            overtaken.append(part.artifact)
    if again:
        return Joint(again=True)
    for part in read:
        refusal = _refusal(part.step)
        if refusal is not None:
            refused[part.artifact] = refusal
    return Joint(refused, tuple(overtaken))


def _is_made(state: HomeState, writer: Address, serial: int) -> bool:
    """Whether home remembers that it has made that commit, visible to all or not yet."""
    verdict = judged(state.verdicts, writer)
    return verdict is not None and verdict.serial == serial and verdict.refusal is None


def _refusal(step: Step[HomeState]) -> Nack | None:
    """The refusal among the commands; home refuses to no other than the writer."""
    for command in step.commands:
        if type(command) is Send and type(command.message) is Nack:
            refusal: Nack = command.message
            return refusal
    return None
