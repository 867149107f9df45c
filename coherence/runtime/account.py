"""What one agent has read and written since its workspace collected its counts.

A hit pays for one increment.  Every other call appends one event; tokens are counted later, by
`coherence.runtime.accounts`.  Both are single instructions of the interpreter, which no other
thread and no interrupt can split.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from coherence.refs import check_name
from coherence.view import Cached, Served, View
from message_passing.errors import ToolkitError
from message_passing.process import Address

#: Events are collected at once when the contents that they hold exceed this size.
HELD_BYTES: Final = 16 * 1024 * 1024
#: The counter of each kind of answer.
READS: Final = {
    Served.HIT: "hits",
    Served.FULL: "fulls",
    Served.UNCHANGED: "unchanged",
    Served.DELTA: "deltas",
}


Event: TypeAlias = tuple[Any, str, int]
"""What happened, how and how often:

- the view that answered reads, its `served`, and their number, which is negative for reads that are
  taken back;
- the name of an artifact, ``writes``, ``same`` or ``conflicts``, and the number of such writes;
- the name of an artifact, a text about it that was put into a prompt beside the answers of reads,
  and 0.
"""


class Account:
    """The counts of one agent.  Its calls are those of the agent's own thread or task."""

    __slots__ = ("agent", "collect", "events", "held_bytes", "hits", "totals")

    def __init__(self, agent: Address) -> None:
        self.agent = agent
        #: Artifact -> the hits on the agent's present copy that are not among the events yet.
        self.hits: dict[str, int] = {}
        self.events: deque[Event] = deque()
        #: The size of the contents that the events hold.
        self.held_bytes = 0
        #: Has the events collected soon.
        self.collect: Callable[[], object] = lambda: None
        #: Counters that only grow; the hits among the events are included, later ones are not.
        self.totals = dict.fromkeys((*READS.values(), "writes", "same", "conflicts"), 0)

    def hit(self, artifact: str) -> None:
        """The whole cached copy was given.  `BaseAgent.cached` does the same, without a call."""
        try:
            self.hits[artifact] += 1
        except KeyError:
            self.hits[artifact] = 1

    def read(self, view: View) -> View:
        """`view`, which is the answer of a read, counted."""
        self.totals[READS[view.served]] += 1
        self.events.append((view, view.served, 1))
        self.held_bytes += view.handle.size_bytes
        if self.held_bytes > HELD_BYTES:
            self.held_bytes = 0
            self.collect()
        return view

    def unseen(self, view: View) -> View:
        """`view`, which was the answer of a read, and was put into no prompt.

        The read stays in the totals.
        """
        self.events.append((view, view.served, -1))
        return view

    def wrote(self, artifact: str, what: str = "writes") -> None:
        """Count a write: a version, or one that changed nothing (`same`) or was refused."""
        self.totals[what] += 1
        self.events.append((artifact, what, 1))

    def told(self, artifact: str, text: str) -> None:
        """Count a text about `artifact` in a prompt, beside the answers of reads.

        A name that is invalid, as a model may give it, counts as that of no artifact.
        """
        try:
            check_name(artifact)
        except ToolkitError:
            artifact = ""
        self.events.append((artifact, text, 0))

    def take_hits(self, artifact: str, content: Cached | None) -> None:
        """The hits so far were of `content`, and later ones may be of another."""
        hits = self.hits.pop(artifact, 0)
        if hits and isinstance(content, View):
            self.totals["hits"] += hits
            self.events.append((content, Served.HIT, hits))

    def metrics(self) -> dict[str, int]:
        """Counters of this agent, which only grow."""
        found = dict(self.totals)
        found["hits"] += sum(tuple(self.hits.values()))
        return found
