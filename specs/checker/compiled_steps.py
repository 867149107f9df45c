"""Claims on steps for the compiled engine: the kept transitions of a level as rows of words."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from specs.checker.maps import CHUNK, Maps
from specs.checker.model import Action
from specs.checker.search import Exploration
from specs.checker.steps import PackedStep, StepJudges
from specs.checker.tables import Tables


class LevelSteps:
    """The judges of steps, and their maps: a key has the words of both states and the label."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._judges = StepJudges(tables)
        self._words = 0

    def decide(
        self,
        found: Exploration,
        rows: Any,
        states: Any,
        steps_from: Callable[[Any], tuple[Any, Any, Any]],
        plain: Callable[[int], Any],
    ) -> bool:
        """Record the answers for all steps from some states; True if one violates a property.

        `states` are the words of all states, `steps_from` gives the rows before, the rows after and
        the labels, and `plain` a state as its values.
        """
        self._adopt(states.shape[1])
        panels = self._judges.group(found)
        firsts: list[dict[int, PackedStep]] = [{} for _ in panels]
        for start in range(0, len(rows), CHUNK):
            before, after, labels = steps_from(rows[start : start + CHUNK])
            steps = np.hstack([states[before], states[after], labels[:, None].astype(np.uint64)])
            self._maps.refresh_masks()
            for panel, first in zip(panels, firsts, strict=True):
                for number, row in self._maps.firsts(panel, steps, 0, len(steps)).items():
                    step = int(before[row]), int(labels[row]), int(after[row])
                    first.setdefault(number, step)

        def shown(step: PackedStep) -> tuple[Any, Action, Any]:
            before, label, after = step
            return plain(before), self._tables.labels[label], plain(after)

        return self._judges.decide(found, firsts, itemgetter(0), shown)

    def _adopt(self, words: int) -> None:
        """Use as many words a state as the search does."""
        if words != self._words:
            self._words = words
            self._judges = StepJudges(self._tables, words)
            self._maps = Maps(self._tables, 2 * words + 1)
