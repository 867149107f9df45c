"""The judge of a mutant of a causal machine, as `python -m specs mutants hybrid` calls it.

It runs the rules and scripts of this folder as plain functions, then short random walks: the hybrid
beside its plain twin, and the other machines, on links of several kinds and in changing teams.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import plain
import test_announcing
import test_causal_invariants
import test_repeat
import test_rules
import test_specimens
from test_twin import Twins

from causal import Cykas, CykasRefined, Mf95
from causal.simulate.walk import walk
from message_passing.network import Guarantee

SEEDS, MESSAGES = 2, 30
#: Steps of a walk; those of the shipped machines take fewer than half as many.
STEPS_MAX = 4_000
CHANGES: tuple[dict[str, int], ...] = ({}, {"crashes": 2}, {"leaves": 1, "joins": 2, "mistakes": 1})
FEW_LINKS = (Guarantee.UNORDERED, Guarantee.UNORDERED_LOSSY_DUPLICATING)


def judge() -> str:
    """The first test that the code of this moment fails, or ""."""
    modules = (test_rules, test_specimens, test_causal_invariants, test_announcing, test_repeat)
    return next(filter(None, map(plain.failed, modules)), "") or _walks()


def _cases() -> Iterator[tuple[Any, Guarantee]]:
    yield from product([Twins], Guarantee)
    yield from product([Mf95, Cykas, CykasRefined], FEW_LINKS)


def _walks() -> str:
    for (build, links), changes, seed in product(_cases(), CHANGES, range(SEEDS)):
        wild = {"loss": 0.2, "duplication": 0.2}
        size = {"processes": 3 + 2 * seed, "messages": MESSAGES, "limit": STEPS_MAX}
        try:
            outcome = walk(build, seed=seed, links=links, **wild, **size, **changes)
        except Exception:
            outcome = None
        if outcome is None or not (outcome.safe and outcome.complete):
            return f"walk of {build.name} on {links}, {changes}, seed {seed}"
    return ""
