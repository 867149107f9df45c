"""Published figures, as data: `reproduce` compares our runs with them.

Each value is kept as the text that was published, so that it is compared at its own precision.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

PAPER = "arXiv 2603.15183, table 1 (section 8.2)"
REFERENCE = "results of the paper's reference implementation (agent-coherence 0.5.0), ten seeds"


class Figure(msgspec.Struct, frozen=True):
    """One published value of one field of a record."""

    source: str
    scenario: str
    #: None where the figure is the same for all strategies.
    strategy: str | None
    field: str
    text: str

    @property
    def decimals(self) -> int:
        """Digits after the point, as published."""
        return len(self.text.partition(".")[2])

    def agrees(self, ours: float | None) -> bool:
        """Whether `ours`, rounded to the digits that were published, can be this value."""
        if ours is None:
            return False
        half = Decimal(5).scaleb(-self.decimals - 1)
        # Sums of floats may miss a tie by their last bit; a real difference is far larger.
        return abs(Decimal(ours) - Decimal(self.text)) <= half + Decimal("1e-9")


_FIELDS = (
    "sync_tokens_mean",
    "sync_tokens_sd",
    "fetch_tokens_mean",
    "push_tokens_mean",
    "invalidation_tokens_mean",
    "savings_mean",
    "savings_sd",
    "hit_rate_mean",
    "hit_rate_sd",
    "stale_reads_mean",
    "max_stale_steps",
    "bound_violations",
)

# "lazy" stands for lease too: no copy of a canonical run grows as old as the lease.
_REFERENCE_TABLE = """
planning    broadcast    1979596.8  3199.1  13516.8  1966080     0     -     - .972 .006  1.3  1  13
planning    eager          92160.0 19750.2    49152    43008     0 .9534 .0100 .897 .005  9.6 10  96
planning    lazy           98055.2 25026.0  97894.4        0 160.8 .9505 .0126 .794 .052  1.2  1   0
planning    access_count  116487.2 17669.6 116326.4        0 160.8 .9412 .0089 .755 .035  1.2  1   0
analysis    broadcast    1979596.8  3199.1  13516.8  1966080     0     -     - .970    -  3.5  1  35
analysis    eager         132710.4 24315.2    49152  83558.4     0 .9330 .0123 .893    - 21.8  9 218
analysis    lazy          152295.2 28488.0 151961.6        0 333.6 .9231 .0144 .668 .060  2.8  1   0
analysis    access_count  155162.4 25320.8 154828.8        0 333.6 .9216 .0128 .663    -  2.8  1   0
development broadcast    1979596.8  3199.1  13516.8  1966080     0     -     - .972    -  7.9  3  79
development eager         280985.6 47809.3    49152 231833.6     0 .8581 .0241 .897    - 20.1  7 201
development lazy          231196.4 29121.1 230604.8        0 591.6 .8832 .0147 .511 .070  3.9  1   0
development access_count  231606.0 28781.5 231014.4        0 591.6 .8830 .0145 .510    -  3.8  1   0
churn       broadcast    1979187.2  3065.2  13107.2  1966080     0     -     - .975    -  9.7  3  97
churn       eager         583680.0 81308.4    49152   534528     0 .7051 .0411 .907    - 16.8  4 168
churn       lazy          312149.2 25605.0   311296        0 853.2 .8423 .0129 .346 .070  4.1  1   0
churn       access_count  312149.2 25605.0   311296        0 853.2 .8423 .0129 .346    -  4.1  1   0
"""

_PAPER_SAVINGS = {
    "planning": (".950", ".013"),
    "analysis": (".923", ".014"),
    "development": (".883", ".015"),
    "churn": (".842", ".013"),
}

_WRITES = {"planning": "5.7", "analysis": "12.3", "development": "29.0", "churn": "58.8"}


def _figures() -> tuple[Figure, ...]:
    figures = []
    for scenario, (mean, sd) in _PAPER_SAVINGS.items():
        figures.append(Figure(PAPER, scenario, "lazy", "savings_mean", mean))
        figures.append(Figure(PAPER, scenario, "lazy", "savings_sd", sd))
    for line in _REFERENCE_TABLE.strip().splitlines():
        scenario, strategy, *texts = line.split()
        for name in ("lazy", "lease") if strategy == "lazy" else (strategy,):
            figures += [
                Figure(REFERENCE, scenario, name, field, text)
                for field, text in zip(_FIELDS, texts, strict=True)
                if text != "-"
            ]
    for scenario, text in _WRITES.items():
        figures.append(Figure(REFERENCE, scenario, None, "writes_mean", text))
    return tuple(figures)


FIGURES = _figures()
"""Every published figure, the paper's own first."""


def savings(scenario: str, strategy: str) -> tuple[Figure, Figure] | None:
    """Mean and population sd of the savings against broadcast; the paper's own where it has one."""
    found = {
        figure.field: figure
        for figure in reversed(FIGURES)
        if (figure.scenario, figure.strategy) == (scenario, strategy)
    }
    if "savings_mean" not in found:
        return None
    return found["savings_mean"], found["savings_sd"]
