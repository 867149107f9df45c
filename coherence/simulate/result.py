"""The result of one run, under either set of rules."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from coherence.simulate.stream import Action

STRATEGIES = ("broadcast", "eager", "lazy", "lease", "access_count")
"""The paper's five, in the order of its tables."""

RULES = ("paper", "engine")
"""The paper's rules, defects included, and ours."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one run of one strategy under one set of rules."""

    #: Full and partial texts that were asked for and sent.
    fetch_tokens: int
    #: Texts, or references to them, that were sent unasked.
    push_tokens: int
    #: Signals that a copy is out of date.
    invalidation_tokens: int
    #: All other charges: answers of "unchanged", for one.
    other_tokens: int = 0
    reads: int
    #: Reads served by the reader's copy.
    hits: int
    #: Hits on a copy that was not the current version.
    stale_reads: int
    #: Under the paper's rules the longest row of stale reads of one agent on one artifact; under
    #: the engine's the most steps, the first included, after which a replaced version was read.
    max_stale_steps: int
    #: Stale reads beyond the strategy's bound; None if a strategy promises no bound.
    bound_violations: int | None
    #: Writes that replaced a version which their writer had never seen.
    lost_updates: int
    #: In the order of the scenario's artifacts.
    writes_per_artifact: tuple[int, ...]
    #: The actions, if recording was asked for.
    actions: Iterable[Action] = ()

    @property
    def sync_tokens(self) -> int:
        """All charges."""
        return self.fetch_tokens + self.push_tokens + self.invalidation_tokens + self.other_tokens

    @property
    def hit_rate(self) -> float | None:
        """Share of reads served by the reader's copy; None if there were no reads."""
        return self.hits / self.reads if self.reads else None
