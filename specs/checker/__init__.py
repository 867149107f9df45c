"""An explicit-state model checker for Python: any hashable state, or shipped processes.

It imports nothing else of this distribution.  Start at :class:`Model` and :func:`check`.
"""

from __future__ import annotations

from specs.checker.check import check
from specs.checker.claims import (
    eventually_always,
    every_step,
    infinitely_often,
    temporal,
)
from specs.checker.composite import Change, Composite, Symmetry
from specs.checker.enabled import enabled
from specs.checker.errors import (
    CheckerError,
    ImpureStep,
    ModelError,
    PropertyError,
    UsageError,
)
from specs.checker.model import (
    Action,
    Fairness,
    Limit,
    Model,
    Property,
    always,
    eventually,
    leads_to,
    reachable,
    strong,
    weak,
)
from specs.checker.refinement import mapped, refines, refines_fairly
from specs.checker.result import Budget, Finding, Moment, Path, Progress, Result, Verdict

__all__ = [
    "Action",
    "Budget",
    "Change",
    "CheckerError",
    "Composite",
    "Fairness",
    "Finding",
    "ImpureStep",
    "Limit",
    "Model",
    "ModelError",
    "Moment",
    "Path",
    "Progress",
    "Property",
    "PropertyError",
    "Result",
    "Symmetry",
    "UsageError",
    "Verdict",
    "always",
    "check",
    "enabled",
    "eventually",
    "eventually_always",
    "every_step",
    "infinitely_often",
    "leads_to",
    "mapped",
    "reachable",
    "refines",
    "refines_fairly",
    "strong",
    "temporal",
    "weak",
]
