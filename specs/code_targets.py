"""The code that `specs.code_mutants` changes, and the models and tests that judge a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias

from specs.mutants import MODELS

#: A model of the catalogue, and its constants.
Chosen: TypeAlias = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """Some modules, and what judges a change in them."""

    #: Searched up to a bound.
    models: Sequence[Chosen]
    #: Modules to change, each with the functions that are left out: they take no step.
    modules: Mapping[str, Sequence[str]]
    #: Searched to the end.
    whole: Sequence[Chosen] = ()
    #: Functions that name the row of an event: all of their changes are changes of guards.
    guards: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Loops that a change may make endless, by module and name.
    loops: Sequence[tuple[str, str]] = ()
    #: Modules that no step calls: models are searched though all steps are equal.
    rules: Sequence[str] = ()
    #: Files below ``tests`` of a checkout, each with a function `judge` that names what failed.
    tests: Sequence[str] = ()
    #: The class whose `step` the processes take, as ``module:Class``.
    process: str = "causal.machine:Machine"

    def steps(self) -> type[Any]:
        """The class whose `step` the processes take."""
        module, _, name = self.process.partition(":")
        found: type[Any] = getattr(import_module(module), name)
        return found


_CACHE_GUARDS = (
    *("_load", "_abandon", "_data", "_put_ack", "_nack", "_inv", "_update"),
    "Cache.classify",
)
_HOME_GUARDS = (
    *("_get_s", "_get_m", "_put_m", "_check", "_is_same", "_put_e", "_put_s", "_leave", "_inv_ack"),
    *("_heard", "Home.classify", "Home.follows"),
)

#: Beyond the models of `specs.mutants`: each refutes mistakes in guards that those do not.
GUARD_MODELS: Sequence[Chosen] = (
    (
        "mesi",
        {
            "caches": 1,
            "requests": 3,
            "ask": "Acquire/wait Commit",
            "lease": True,
            "network": "Unordered",
        },
    ),
    (
        "mesi",
        {
            "policy": "strict",
            "ask": "Load Commit",
            "network": "OrderedDuplicating",
            "duplicates": 1,
            "memory": 1,
            "turns": True,
        },
    ),
    (
        "mesi",
        {
            "policy": "eager-strict",
            "ask": "Load Commit",
            "network": "OrderedDuplicating",
            "duplicates": 1,
        },
    ),
    ("mesi", {"policy": "strict", "requests": 3, "ask": "Load Commit"}),
)

CLOCK_MODELS: Sequence[Chosen] = (
    ("mesi-clock", {"requests": 1}),
    ("mesi-clock", {"requests": 1, "validity": 1, "lease": 1, "ask": "Load Acquire Commit"}),
)
#: Models to which the moment of a timer matters.
TIMED = frozenset({"mesi-clock"})

_WILD = "UnorderedLossyDuplicating"
#: Constants of `specs.models.causal`, smallest first.
_DELIVERY: Sequence[Mapping[str, Any]] = (
    {"processes": 2, "sends": 2, "links": "Unordered"},
    {"processes": 3, "sends": 2},
    {"processes": 2, "sends": 2, "links": _WILD},
    {"processes": 3, "sends": 3, "links": "Unordered"},
    {"processes": 3, "sends": 2, "links": _WILD},
    {"processes": 3, "sends": 4},
    {"processes": 3, "sends": 2, "links": "Unordered", "crashes": 1},
    {"processes": 3, "sends": 2, "leaves": 1},
    {"processes": 2, "sends": 2, "joins": 1},
)
_TEAMS: Sequence[Mapping[str, Any]] = (
    {"processes": 2, "sends": 1, "links": _WILD, "mistakes": 1, "live": True},
    {"processes": 2, "sends": 2, "mistakes": 2},
    {"processes": 2, "sends": 1, "links": _WILD, "leaves": 1, "live": True},
    {"processes": 3, "sends": 2, "links": "Unordered", "crashes": 1},
    {"processes": 2, "sends": 1, "links": _WILD, "leaves": 2},
    {"processes": 3, "sends": 2, "links": _WILD},
    {"processes": 2, "sends": 2, "joins": 1},
    {"processes": 3, "sends": 1, "mistakes": 2},
    {"processes": 3, "sends": 2, "leaves": 1, "live": True},
    {"processes": 3, "sends": 2, "links": "Unordered", "mistakes": 1},
    {"processes": 3, "sends": 1, "links": _WILD, "crashes": 1},
)
_PLAIN = ("mf95", "cykas", "cykas-refined", "hybrid-plain")
_ON_DISK = ("snapshot", "restore", "restored", "_cursors", "_entries")
_INSPECTION = (
    *("secrets", "held", "idle", "undelivered", "backlog", "context", "effects_allowed"),
    "owing",
)
_HYBRID_LOOPS = (
    ("causal.hybrid", "Hybrid.data"),
    ("causal.hybrid", "Hybrid.acked"),
    ("causal.hybrid", "Hybrid.free"),
    ("causal.open_entries", "OpenEntries.advance"),
    ("causal.window", "Window.put"),
    ("causal.window", "Window.items"),
)

TARGETS: Mapping[str, Target] = {
    "mesi": Target(
        models=MODELS,
        whole=(*GUARD_MODELS, *CLOCK_MODELS),
        modules={
            "coherence.cache": ("hit", "initial"),
            "coherence.directory": ("initial",),
            "coherence.entries": (),
        },
        guards={"coherence.cache": _CACHE_GUARDS, "coherence.directory": _HOME_GUARDS},
        loops=(("coherence.table", "Automaton.step"),),
        tests=("coherence/judges.py",),
        process="coherence.table:Automaton",
    ),
    "transactions": Target(
        models=[chosen for chosen in MODELS if chosen[0] == "transactions"],
        modules={"coherence.joint": ()},
        rules=("coherence.joint",),
        tests=("coherence/judges.py",),
        process="coherence.table:Automaton",
    ),
    "hybrid": Target(
        models=[("causal", {"protocol": "hybrid", **c}) for c in _DELIVERY],
        modules={
            "causal.hybrid": ("initial", "heard"),
            "causal.open_entries": (),
            "causal.hybrid_state": (*_ON_DISK, "held", "gone"),
        },
        loops=_HYBRID_LOOPS,
        tests=("causal/causal_judges.py",),
    ),
    "cykas": Target(
        models=[("causal", {"protocol": p, **c}) for p in _PLAIN for c in _DELIVERY[:3]],
        modules={
            "causal.cykas": (),
            "causal.mf95": (),
            "causal.sender_side": (*_ON_DISK, *_INSPECTION, "initial"),
        },
        loops=(("causal.sender_side", "SenderSide.data"),),
        tests=("causal/causal_judges.py",),
    ),
    "views": Target(
        models=[("causal", {"protocol": "hybrid", **c}) for c in _TEAMS],
        modules={
            "causal.views": ("restored", "splits", "founding"),
            "causal.repeat": ("owing",),
            "causal.machine": (*_INSPECTION, *_ON_DISK, "initial", "durable", "known"),
        },
        loops=_HYBRID_LOOPS,
        tests=("causal/causal_judges.py",),
    ),
}
