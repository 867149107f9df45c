"""What the events of an adapter say: one form for the streams and buses of all frameworks.

``coherence``
    ``hit`` and ``fill``: a read, from the agent's own copy or with the help of its home;
    ``publish``: a version; ``conflict``: a write that was refused, or each artifact for which a
    publication of several was.  Before a call of the model: ``told`` and ``shown``, a version that
    its prompt gains unasked, and that stays there or is shown in this prompt alone; ``signal``: the
    prompt gains a line that the version is outdated; and last, ``call``.
``ref``, ``agent``
    The version that was read or published, or that is current; and the agent, under the name that
    its versions have as author.
``tokens``
    Of what a model or a program is given; of the content that was written, or was refused.
``saved``
    How many tokens more the whole text would have been; only reads save.
``served``
    Only of reads, and of what is told or shown: ``hit``, ``full``, ``unchanged`` or ``delta``.
``held``
    Only of calls: the versions that the prompt holds whole.  One that the call before held, and
    that no newer one replaces, was lost with a part of the conversation.  A call has no ``ref``,
    and ``tokens`` are those of the prompt.

Tokens are those of `View.counter`: estimated, unless the application has set another counter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from coherence.conflict import Conflict
from coherence.contents import Content
from coherence.refs import Ref
from coherence.view import Served, View, content_tokens, prompt_tokens

Event: TypeAlias = dict[str, Any]

Tell: TypeAlias = Callable[[Event], object]
"""Where events go."""


def to_log(name: str) -> Tell:
    """Events go to the logger of that name, at level INFO."""
    log = logging.getLogger(name)

    def tell(event: Event) -> None:
        if log.isEnabledFor(logging.INFO):
            log.info(Logged(event))

    return tell


class Logged:
    """An event for a log; its text is JSON."""

    def __init__(self, said: Event) -> None:
        self.said = {"type": "Artifact", **said}

    def __str__(self) -> str:
        return msgspec.json.encode(self.said).decode()


def was_read(view: View, agent: str) -> Event:
    """`agent` was given `view`."""
    tokens, whole = prompt_tokens(view)
    what = "hit" if view.served is Served.HIT else "fill"
    saved = whole - tokens
    return {**_event(what, view.ref, agent, tokens), "saved": saved, "served": str(view.served)}


def was_shown(view: View, text: str, agent: str) -> Event:
    """`agent` was given `text`, which is a part of `view`."""
    tokens, (_, whole) = View.counter.count(text), prompt_tokens(view)
    return {**was_read(view, agent), "tokens": tokens, "saved": max(whole - tokens, 0)}


def was_told(view: View, agent: str, *, stays: bool) -> Event:
    """The prompt of `agent` gains `view` unasked."""
    return {**was_read(view, agent), "coherence": "told" if stays else "shown"}


def was_signalled(ref: Ref, agent: str, line: str) -> Event:
    """The prompt of `agent` gains `line`, which says that `ref` is outdated."""
    return {**_event("signal", ref, agent, View.counter.count(line)), "saved": 0}


def was_called(held: Iterable[Ref], agent: str, tokens: int) -> Event:
    """The model of `agent` is called with a prompt that holds these versions."""
    refs = sorted(map(str, held))
    return {"coherence": "call", "ref": "", "agent": agent, "tokens": tokens, "saved": 0} | {
        "held": refs
    }


def was_published(ref: Ref, content: Content | None, agent: str) -> Event:
    """`agent` has published `content`; None for a deletion."""
    return {**_event("publish", ref, agent, content_tokens(content or "")), "saved": 0}


class Unwritten(NamedTuple):
    """An artifact that has moved, and the text that was not written to it; None if only read."""

    current: Ref
    yours: str | None


def was_refused(refused: Conflict | Unwritten, agent: str) -> Event:
    """A write of `agent` was refused."""
    tokens = content_tokens(refused.yours or "")
    return {**_event("conflict", refused.current, agent, tokens), "saved": 0}


def _event(what: str, ref: Ref, agent: str, tokens: int) -> Event:
    return {"coherence": what, "ref": str(ref), "agent": agent, "tokens": tokens}
