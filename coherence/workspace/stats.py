"""Sums over the counts in a store: reads, writes, and the tokens that reads have saved.

*Served* are the tokens that reads have put into prompts: whole texts, differences, and lines that
say that nothing has changed.  *Refetch* are the tokens of the whole text at each of these reads,
which is what an agent without a workspace pays.  What is saved is the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from coherence.errors import BadArgument
from coherence.stores.records import COUNTS, Tally

By: TypeAlias = Literal["agent", "artifact", "day"]
"""What the lines of a table stand for."""

BY: Final[tuple[By, ...]] = get_args(By)


class Figures(msgspec.Struct, frozen=True):
    """Sums over one agent, artifact or day, or over everything."""

    #: The agent, the artifact or the day.  For artifacts, an empty name stands for those that are
    #: not counted one by one: see `coherence.stores.records`.
    name: str
    #: Reads by their answers: the whole text, a line that it is unchanged, a difference, and the
    #: agent's own cached copy, which is the whole text too.
    full: int = 0
    unchanged: int = 0
    delta: int = 0
    hits: int = 0
    served_tokens: int = 0
    refetch_tokens: int = 0
    #: Versions published, and writes that changed nothing.
    writes: int = 0
    same: int = 0
    #: Writes that were refused: each would have overwritten work that its writer had not seen.
    conflicts: int = 0
    #: Reads whose tokens a tokenizer has counted; the tokens of the others are estimated.
    exact: int = 0

    @property
    def reads(self) -> int:
        """All reads."""
        return self.full + self.unchanged + self.delta + self.hits

    @property
    def saved_tokens(self) -> int:
        """The tokens that were not put into prompts; negative if notices have cost more."""
        return self.refetch_tokens - self.served_tokens

    @property
    def saved(self) -> float:
        """The part of the refetch's tokens that was saved; 0 without reads."""
        return self.saved_tokens / self.refetch_tokens if self.refetch_tokens else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, for JSON and CSV."""
        known = msgspec.structs.asdict(self)
        return known | {
            "reads": self.reads,
            "saved_tokens": self.saved_tokens,
            "saved": round(self.saved, 4),
        }


class Stats(msgspec.Struct, frozen=True):
    """The counts of a store, by day, agent and artifact."""

    rows: tuple[Tally, ...]

    @property
    def total(self) -> Figures:
        """The sums over everything."""
        return _sum("", self.rows)

    def by(self, what: By) -> Sequence[Figures]:
        """One line for each agent, artifact or day.

        Days are in order; agents and artifacts begin with those whose reads would have cost most.
        Raises `BadArgument`.
        """
        if what not in BY:
            raise BadArgument(f"there are no figures by {what!r}", remedy=f"one of {', '.join(BY)}")
        groups: dict[str, list[Tally]] = {}
        for row in self.rows:
            groups.setdefault(getattr(row, what), []).append(row)
        lines = [_sum(name, rows) for name, rows in sorted(groups.items())]
        if what != "day":
            lines.sort(key=lambda line: line.refetch_tokens, reverse=True)
        return lines


def check_day(since: date | str) -> str:
    """The day in the form of tallies; empty for any.  Raises `BadArgument`."""
    try:
        return (date.fromisoformat(since) if isinstance(since, str) else since).isoformat()[:10]
    except (ValueError, AttributeError):
        if since == "":
            return ""
        raise BadArgument(f"{since!r} is not a day", remedy="such as 2026-11-29") from None


def _sum(name: str, rows: Iterable[Tally]) -> Figures:
    sums = dict.fromkeys(COUNTS, 0)
    for row in rows:
        for count in COUNTS:
            sums[count] += getattr(row, count)
    return Figures(name, **sums)
