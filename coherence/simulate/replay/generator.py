"""A generator of edits that is fitted to histories, and what it is worth on others.

The model is that of `coherence.simulate.experiments.edits`: with some probability an edit is a
rewrite of 50 to 110 % of the text; else the logarithm of its tokens is normal, with a mean that is
linear in the logarithm of the text's; and with some probability it falls where the last edit fell.
The first three are fitted by weighted least squares, every history with the same weight, to what
`sampled` takes; the last is the one of a few under which differences of several edits combine best.

A formal test rejects the model on every history, those that it was fitted to included: with
thousands of edits the critical Kolmogorov distance is a few hundredths.  What it is worth is how
far multiples of the references are from those with the real edits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from math import exp, log, sqrt
from random import Random
from statistics import median
from typing import Final, NamedTuple

import msgspec

from coherence.simulate.experiments.edits import EditedContents, Span
from coherence.simulate.replay.errors import EmptyHistory
from coherence.simulate.replay.history import MEASURES, History, HistoryContents, RealContents

SAMPLES_MAX: Final = 3_000
"""Edits of one history that count, the newest; so every history says as much."""

SIZE_TOKENS_MIN: Final = 100
"""Smaller texts are left out: an edit of one is a rewrite."""

BULK: Final = 20
"""Commits of more files are a program's, and left out."""

EDIT_TOKENS_MIN: Final = 6
REWRITTEN: Final = (0.5, 1.1)
NEAR: Final = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
"""Chances of an edit on the last one's place, of which the best is chosen."""

COMBINED: Final = (2, 4, 8)
"""Numbers of edits whose common difference is compared with the sum of theirs."""

CRITICAL: Final = 1.63
"""Of the Kolmogorov-Smirnov test at 1 %, times sqrt(1/n + 1/m)."""


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """The model's numbers, and the histories that they are from."""

    rewrites: float
    mean: float
    exponent: float
    deviation: float
    near: float
    source: str

    def tokens(self, size_tokens: int, rng: Random) -> int:
        """Draw the tokens of one edit."""
        if rng.random() < self.rewrites:
            tokens = size_tokens * rng.uniform(*REWRITTEN)
        else:
            tokens = exp(
                self.mean + self.exponent * log(size_tokens) + self.deviation * rng.gauss(0, 1)
            )
        return min(max(round(tokens), EDIT_TOKENS_MIN), size_tokens)

    def spans(self, sizes_tokens: Sequence[int], rng: Random) -> list[Span]:
        """Draw the edits that lead from each size to the next."""
        whole = max(1, *sizes_tokens)
        at = rng.random() * whole
        places = []
        for size in sizes_tokens[1:]:
            tokens = self.tokens(max(1, size), rng)
            length = max(1, tokens // 2)
            if rng.random() < self.near:
                at += (rng.random() - 0.5) * length
            else:
                at = rng.random() * whole
            first = int(min(max(0.0, at), whole - length))
            places.append(Span((first, first + length), tokens))
        return places


class Edited(NamedTuple):
    """One real edit: the tokens of the text that it makes, and its own."""

    size_tokens: int
    tokens: int


class DrawnContents(HistoryContents):
    """The texts of a history, with drawn edits in place of the real ones."""

    def __init__(self, history: History, generator: Generator, seed: int) -> None:
        self._files = history.files
        spans = [
            generator.spans(file.sizes, Random(f"{seed}/edits/{number}"))
            for number, file in enumerate(history.files)
        ]
        self._edits = EditedContents([max(1, *file.sizes) for file in history.files], spans)

    def difference(self, artifact: int, base: int, version: int) -> int:
        if base == version:
            return 0
        first = self._files[artifact].first
        tokens = self._edits.difference(artifact, base - first + 1, version - first + 1)
        return min(tokens, self.text(artifact, version))


def sampled(history: History) -> list[Edited]:
    """The newest edits of texts, without creations, deletions and what programs did."""
    contents = RealContents(history.files, MEASURES[history.about.measure])
    found: list[Edited] = []
    for file, version in _edits(history):
        tracked = history.files[file]
        size, before = (tracked.sizes[v - tracked.first] for v in (version, version - 1))
        if size >= SIZE_TOKENS_MIN and before:
            tokens = contents.difference(file, version - 1, version)
            if tokens:
                found.append(Edited(size, tokens))
        if len(found) == SAMPLES_MAX:
            break
    if len(found) < 2:
        raise EmptyHistory(f"{history.about.name}: fewer than two edits of texts to learn from")
    return found


def _edits(history: History) -> Iterator[tuple[int, int]]:
    """File and version of each edit, the newest first."""
    for revision in reversed(history.revisions):
        if len(revision.changes) <= BULK:
            for file, version, path in revision.changes:
                if path is not None and version is not None and version > 1:
                    yield file, version


def fitted(histories: Sequence[History]) -> Generator:
    """Fit the model to histories.  Raises `EmptyHistory`."""
    total = below = 0.0
    sums = [0.0] * 5
    samples = [sampled(history) for history in histories]
    for edits in samples:
        weight = 1 / len(edits)
        for size, tokens in edits:
            total += weight
            if tokens <= size / 2:
                x, y = log(size), log(tokens)
                below += weight
                for i, term in enumerate((x, y, x * x, x * y, y * y)):
                    sums[i] += weight * term
    if not below:
        raise EmptyHistory("every edit rewrites its text")
    x, y, xx, xy, yy = (each / below for each in sums)
    spread = xx - x * x
    exponent = (xy - x * y) / spread if spread > 1e-12 else 0.0
    mean = y - exponent * x
    deviation = sqrt(max(0.0, yy - y * y - exponent * (xy - x * y)))
    made = Generator(
        rewrites=1 - below / total,
        mean=mean,
        exponent=exponent,
        deviation=deviation,
        near=0.0,
        source=", ".join(f"{h.about.name} {h.about.commit[:12]}" for h in histories),
    )
    real = [combined(history, None) for history in histories]

    def error(near: float) -> float:
        ours = msgspec.structs.replace(made, near=near)
        return sum(
            (log(drawn[k]) - log(seen[k])) ** 2
            for history, seen in zip(histories, real, strict=True)
            for drawn in [combined(history, ours)]
            for k in seen.keys() & drawn.keys()
        )

    return msgspec.structs.replace(made, near=min(NEAR, key=error))


def combined(history: History, generator: Generator | None) -> dict[int, float]:
    """For k edits of one file in a row, the median of their difference by the sum of theirs.

    The edits are the real ones, or those that `generator` draws.
    """
    contents: RealContents | DrawnContents
    if generator is None:
        contents = RealContents(history.files, MEASURES[history.about.measure])
    else:
        contents = DrawnContents(history, generator, 1)
    found: dict[int, list[float]] = {k: [] for k in COMBINED}
    for number, file in enumerate(history.files):
        if len(file.sizes) <= COMBINED[0] or min(file.sizes[1:]) < SIZE_TOKENS_MIN:
            continue
        last = file.first + len(file.sizes) - 1
        for k, ratios in found.items():
            # Only edits: not the creation from version 0.
            for version in range(last, k, -k):
                singles = range(version - k + 1, version + 1)
                parts = sum(contents.difference(number, v - 1, v) for v in singles)
                if parts:
                    ratios.append(contents.difference(number, version - k, version) / parts)
    return {k: median(ratios) for k, ratios in found.items() if len(ratios) >= 20}


class Distance(NamedTuple):
    """Kolmogorov distances of drawn edits from real ones, on the real sizes."""

    #: Of the edits' share of their texts, and of their tokens.
    share: float
    tokens: float
    #: Beyond this a formal test at 1 % rejects the model.
    critical: float


def distance(history: History, generator: Generator, seed: int = 1) -> Distance:
    """How far drawn edits are from the real ones of a history."""
    real = sampled(history)
    rng = Random(f"{seed}/distance")
    drawn = [Edited(size, generator.tokens(size, rng)) for size, _ in real]
    sides = (real, drawn)
    return Distance(
        apart(*([each.tokens / each.size_tokens for each in side] for side in sides)),
        apart(*([float(each.tokens) for each in side] for side in sides)),
        CRITICAL * sqrt(2 / len(real)),
    )


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference of two empirical distributions, which is Kolmogorov's distance."""
    steps = sorted([(x, 1 / len(one)) for x in one] + [(x, -1 / len(other)) for x in other])
    found = height = 0.0
    for i, (x, step) in enumerate(steps):
        height += step
        if i + 1 == len(steps) or steps[i + 1][0] != x:
            found = max(found, abs(height))
    return found


def shipped() -> Generator:
    """The generator that is shipped, fitted to two of the shipped histories."""
    text = (files(__package__) / "generator.toml").read_bytes()
    return msgspec.toml.decode(text, type=Generator)
