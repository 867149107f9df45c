"""The manifest: the shipped models, their constants, and the expected results.

A case pins the verdict and the counts.  A changed count is a changed protocol: the case fails until
the change is understood and the new count is pinned.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from specs.checker.composite import Composite
from specs.checker.errors import UsageError
from specs.checker.model import Model
from specs.checker.result import Result, Verdict

#: The models of what ships and a few of our own, then those of the field.
MANIFESTS = tuple(Path(__file__).parent / at for at in ("manifest.toml", "examples/manifest.toml"))
PINNED = ("distinct", "generated", "depth")


@dataclass(frozen=True, slots=True)
class Case:
    """One model with its constants and its expected results."""

    name: str
    constants: Mapping[str, Any]
    expect: Verdict
    #: The property that is violated, or "deadlock".
    violates: str = ""
    #: Length of the shortest counterexample.
    steps: int | None = None
    distinct: int | None = None
    generated: int | None = None
    depth: int | None = None
    #: States left by symmetry reduction.
    orbits: int | None = None
    #: States left by partial-order reduction; None where it is refused.
    por: int | None = None
    #: "fast" (seconds at most, run by every test run), "medium" or "slow" (minutes).
    time: str = "fast"
    #: For a model of the field: the bounds of the original, and what TLC prints for it: distinct
    #: states, states generated, depth.
    bounds: str = ""
    tlc: Sequence[int] = ()
    #: Replacements in the configuration of the original that give these bounds.
    edits: Sequence[Sequence[str]] = ()

    def __str__(self) -> str:
        constants = ", ".join(f"{key}={value}" for key, value in self.constants.items())
        return f"{self.name}({constants})"

    def differences(
        self, result: Result, *, symmetry: bool = False, por: bool = False
    ) -> list[str]:
        """The differences between a result and the pinned one; empty if they agree.

        `symmetry` and `por` say how the search was reduced; counterexamples under `por` may be
        longer than the shortest.
        """
        found = []
        if result.verdict is not self.expect:
            found.append(f"verdict: {result.verdict.value}, pinned {self.expect.value}")
        if self.violates and self.violates not in violated(result):
            found.append(f"violated: {violated(result) or 'nothing'}, pinned {self.violates!r}")
        path = result.counterexample
        if self.steps is not None and path is not None and len(path) != self.steps and not por:
            found.append(f"counterexample: {len(path)} steps, pinned {self.steps}")
        counts = {key: getattr(result, key) for key in PINNED}
        if symmetry or por:
            counts = {"orbits" if symmetry else "por": result.distinct}
        for key, got in counts.items():
            pinned = getattr(self, key)
            if pinned is not None and got != pinned:
                found.append(f"{key}: {got:,}, pinned {pinned:,}")
        return found


def violated(result: Result) -> list[str]:
    """The names of the violated properties of a result."""
    names = [f.name for f in result.findings if f.verdict is Verdict.VIOLATED]
    return [*names, "deadlock"] if result.deadlock is not None else names


@cache
def manifest() -> dict[str, Any]:
    """The parsed manifests, as one."""
    return {
        name: entry
        for path in MANIFESTS
        for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items()
    }


def names() -> list[str]:
    """All models, in the order of the manifest."""
    return list(manifest())


def about(name: str) -> str:
    """The description of a model, in a line."""
    text: str = _entry(name)["about"]
    return text


def original(name: str) -> str:
    """The TLA+ that a model of the field was written after: repository and file; "" for others."""
    text: str = _entry(name).get("original", "")
    return text


def run_of(name: str) -> tuple[str, str]:
    """The module and the configuration with which TLC runs the original of a model."""
    module, config = _entry(name)["run"].split()
    return module, config


def cases(name: str | None = None) -> Iterator[Case]:
    """The cases of one model, or of all."""
    for each in [name] if name is not None else names():
        for case in _entry(each).get("case", ()):
            known = {key: value for key, value in case.items() if key not in ("with", "expect")}
            yield Case(each, case.get("with", {}), Verdict[case.get("expect", "HOLDS")], **known)


def factory(name: str) -> Callable[..., Model[Any, Any] | Composite[Any]]:
    """The function that makes a model from constants."""
    module, _, function = _entry(name)["factory"].partition(":")
    made: Callable[..., Model[Any, Any] | Composite[Any]]
    made = getattr(import_module(module), function)
    return made


def constants(name: str) -> dict[str, Any]:
    """The constants of a model with their defaults."""
    return {
        key: parameter.default
        for key, parameter in inspect.signature(factory(name)).parameters.items()
    }


def case_of(name: str, chosen: Mapping[str, Any]) -> Case | None:
    """The case with these constants, defaults filled in, if the manifest has one."""
    defaults = constants(name)
    for case in cases(name):
        if {**defaults, **case.constants} == {**defaults, **chosen}:
            return case
    return None


def _entry(name: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = manifest()[name]
    except KeyError:
        raise UsageError(f"no model {name!r}", remedy="one of " + ", ".join(names())) from None
    return entry
