"""What a write says of itself, for the history: it decides nothing about the write."""

from __future__ import annotations

import re

from coherence.errors import BadArgument
from coherence.messages import Version
from message_passing.process import Value

REASON_CHARS_MAX = 200

_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Note(Value, frozen=True, gc=False):
    """Belongs to one content that a process has made, and stays with it until its commit.

    A write that says nothing but what its commit says has no note.
    """

    #: The newest version that the writer had seen; 0 for none.
    seen: Version
    #: Whether the writer allowed the loss of versions that it had not seen.
    overwrite: bool = False
    #: Why it wrote, in its own words.
    reason: str = ""


def check_reason(reason: object) -> str:
    """`reason`, if the history can keep it.  Raises `BadArgument`."""
    if reason == "":
        return ""
    remedy = f"one line of at most {REASON_CHARS_MAX} characters"
    if not isinstance(reason, str):
        raise BadArgument(f"reason is {type(reason).__name__}", remedy=remedy)
    if len(reason) > REASON_CHARS_MAX:
        raise BadArgument(f"reason has {len(reason)} characters", remedy=remedy)
    if (bad := _UNSHOWN.search(reason)) is not None:
        raise BadArgument(f"reason holds {bad.group()!a}", remedy=remedy)
    return reason
