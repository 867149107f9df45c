"""Explore a model as a library: places by the numbers of actions, on demand.

Reading order: `values` (texts), `tree` (states and what differs), `session` (paths), `judging`,
`frame` (what a reader is shown), `conditions` and `finding` (search), `itf` (files of other tools).
"""

from __future__ import annotations

from specs.session.conditions import Condition, condition
from specs.session.finding import Nearest, along, find_state
from specs.session.frame import Choice, Frame, frame, part
from specs.session.itf import ForeignFile, ForeignTrace, foreign_frame, read_itf
from specs.session.judging import Standing
from specs.session.session import NoSuchPath, Session
from specs.session.tree import Branch, tree

__all__ = [
    "Branch",
    "Choice",
    "Condition",
    "ForeignFile",
    "ForeignTrace",
    "Frame",
    "Nearest",
    "NoSuchPath",
    "Session",
    "Standing",
    "along",
    "condition",
    "find_state",
    "foreign_frame",
    "frame",
    "part",
    "read_itf",
    "tree",
]
