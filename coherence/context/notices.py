"""The messages that a prompt gains unasked: how they are written, and how they are read again.

A conversation is the only memory of what its model was told.  So a conversation that was trimmed,
saved, or loaded into another process is never taken for one that says more than it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from coherence.context.evidence import tags
from coherence.context.telling import Saying
from coherence.errors import BadRef
from coherence.refs import Ref

#: The first line of such a message.
NOTICE = "[shared artifacts]"

_LAST_SHOWN = "; you were last shown "
_UNCHANGED = re.compile(r"\[\S[^\n]* is unchanged since ([^\n]+?)\]")


class Heard(NamedTuple):
    """One passage of a conversation about an artifact."""

    ref: Ref
    #: What was said unasked; `NOTHING` where the agent had asked, or has written.
    said: Saying
    #: The passage; empty where the agent has made the text, or was told that it has it.
    text: str = ""


def message(parts: Iterable[str]) -> str:
    """A message of these lines and passages; empty without any."""
    said = list(parts)
    return "\n".join([NOTICE, *said]) if said else ""


def outdated(ref: Ref, author: str, *, deleted: bool) -> str:
    """The line that a version which the agent was shown is not the current one.

    It does not name the current version, so a model cannot claim to have it.
    """
    what = "deleted" if deleted else "changed"
    return f"{ref.name} was {what} by {author}{_LAST_SHOWN}{ref}."


def is_notice(text: str) -> bool:
    """Whether `text` is a message of this module."""
    return text.startswith(NOTICE)


#: The tools whose answers the agent did not ask for: it has written.
WRITES = ("write_artifact", "edit_artifact", "publish_many", "write_file", "edit_file")


def heard(text: str, tool: str = "") -> Iterator[Heard]:
    """What one message of a conversation says about artifacts, in its order.

    `tool` is the name of the tool whose answer the message is, if it is one.  What a colleague
    quotes does not count as an access of the agent.
    """
    if not is_notice(text):
        if not tool:
            return
        for tag in tags(text):
            is_new = tag.body and tag.since != str(tag.ref) and tool not in WRITES
            said = tag.passage if is_new else ""
            yield Heard(tag.ref, Saying.NOTHING, said)
        for found in _UNCHANGED.findall(text):
            yield from _of_line(found, Saying.NOTHING)
        return
    rest, end = "", 0
    for tag in tags(text):
        if tag.start >= end:  # not quoted in the text of another
            yield Heard(tag.ref, Saying.CHANGE, tag.passage)
            rest += text[end : tag.start]
            end = tag.start + len(tag.passage)
    for line in (rest + text[end:]).splitlines():
        _, shown, ref = line.rpartition(_LAST_SHOWN)
        if shown and ref.endswith("."):
            yield from _of_line(ref[:-1], Saying.SIGNAL)


def _of_line(ref: str, said: Saying) -> Iterator[Heard]:
    try:
        yield Heard(Ref.parse(ref), said)
    except BadRef:
        return
