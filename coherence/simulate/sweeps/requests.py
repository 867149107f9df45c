"""What is asked for: a grid of settings, from a file, from the command line, or from both.

A sweep's file is TOML.  Keys at its top are fixed, and each key of the table ``[over]`` has the
values of one axis; `settings` says which keys there are.  Three more keys are fixed only:

* ``seeds``, the number of runs at each point, each with the next seed;
* ``first_seed``, that of the scenario if not given;
* ``against``, the baseline: a strategy, or ``key=value`` of an axis.

Every point and every strategy has the same seeds: differences are paired.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from coherence.simulate.errors import InvalidSweep
from coherence.simulate.sweeps.settings import (
    DEFAULTS,
    FIRST_SEED,
    PRICES,
    STRATEGY,
    GridPoint,
    Lookup,
    Value,
)

FILE_BYTES_MAX = 2**20

POINTS_MAX = 100_000
RUNS_MAX = 10_000_000
"""Of the points, the seeds and the strategies: what is measured must fit into memory."""

SEEDS, AGAINST = "seeds", "against"
SEEDS_DEFAULT = 10

DEFAULT_STRATEGIES = ("lazy", "shipped", "adaptive")
DEFAULT_BASELINE = "conditional_get"


class Sweep(msgspec.Struct, frozen=True):
    """What is swept, checked: every point is valid."""

    #: The values of each axis, in their order; the strategies are an axis like any other.
    over: dict[str, tuple[Value, ...]]
    points: tuple[GridPoint, ...]
    strategies: tuple[str, ...]
    seeds: int
    #: The key and the value of the baseline of all differences.
    against: tuple[str, Value]


class Request(msgspec.Struct, frozen=True):
    """Settings as they were given, before they are checked."""

    fixed: Mapping[str, Any] = {}
    over: Mapping[str, Sequence[Any]] = {}


NO_CHANGES = Request()


def read(file: str | Path | None, changes: Request = NO_CHANGES, source: str = "sweep:") -> Sweep:
    """Return the sweep of a file, after `changes`: a key that they have replaces the file's.

    `source` names the changes in messages.  Raises `InvalidSweep`, and the errors of the
    scenarios, the price models and the strategies that are named.
    """
    if file is None:
        return _checked(changes, Lookup(source))
    path = Path(file)
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise InvalidSweep(f"{file}: larger than {FILE_BYTES_MAX:,} bytes")
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSweep(f"{file}: not a TOML file: {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidSweep(
            f"{file}: cannot be read: {reason}", remedy="name a file, or axes by --over"
        ) from None
    return parse(text, str(file), path.parent, changes)


def parse(
    text: str, source: str, folder: Path | None = None, changes: Request = NO_CHANGES
) -> Sweep:
    """Return the sweep that a TOML text describes, after `changes`.

    `source` names the text in messages, and files that it names are looked for in `folder` first.
    Raises what `read` raises.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidSweep(f"{source}: not a TOML file: {error}") from None
    over = table.pop("over", {})
    if not isinstance(over, dict):
        raise InvalidSweep(f"{source}: over: should be a table, [over], of lists")
    for key in over.keys() & table.keys():
        raise InvalidSweep(f"{source}: {key}: is fixed and in [over]", remedy="take one away")
    fixed = {key: value for key, value in table.items() if key not in changes.over}
    over = {key: values for key, values in over.items() if key not in changes.fixed}
    merged = Request(fixed | dict(changes.fixed), over | dict(changes.over))
    return _checked(merged, Lookup(f"{source}:", folder))


def axis(text: str) -> tuple[str, list[Any]]:
    """Return key and values of ``key=a,b,c`` or ``key=[a, b, c]``, values as in TOML.

    Raises `InvalidSweep`.
    """
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not key or not values:
        raise InvalidSweep(f"--over {text}: not of the form key=a,b,c")
    if values.startswith("["):
        found = _value(values)
        if not isinstance(found, list):
            raise InvalidSweep(f"--over {text}: not a TOML array")
        return key, found
    return key, [_value(part.strip()) for part in values.split(",") if part.strip()]


def setting(text: str) -> tuple[str, Any]:
    """Return key and value of ``key=value``, the value as in TOML.  Raises `InvalidSweep`."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value:
        raise InvalidSweep(f"--set {text}: not of the form key=value")
    return key, _value(value)


def _value(text: str) -> Any:
    """A TOML value; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _checked(asked: Request, lookup: Lookup) -> Sweep:
    fixed, over = dict(asked.fixed), {key: list(values) for key, values in _lists(asked, lookup)}
    source = lookup.source
    for key in fixed:
        lookup.require_key(key, (SEEDS, FIRST_SEED, AGAINST))
    for key in over:
        lookup.require_key(key)
    count = _whole(fixed.pop(SEEDS, SEEDS_DEFAULT), SEEDS, source, 1, 100_000)
    if FIRST_SEED in fixed:
        _whole(fixed[FIRST_SEED], FIRST_SEED, source, 0, 2**63)
    baseline = fixed.pop(AGAINST, DEFAULT_BASELINE)
    for key, value in fixed.items():
        _require_value(key, value, source)
    strategies = over.get(STRATEGY) or _list(fixed.pop(STRATEGY, DEFAULT_STRATEGIES))
    over[PRICES] = lookup.price_models(over.get(PRICES) or [fixed.pop(PRICES, DEFAULTS[PRICES])])
    axes = {key: tuple(dict.fromkeys(values)) for key, values in over.items() if key != STRATEGY}
    names = tuple(dict.fromkeys(map(lookup.strategy, strategies)))
    size = prod(map(len, axes.values()))
    if size > POINTS_MAX or size * count * len(names) > RUNS_MAX:
        raise InvalidSweep(
            f"{source} {size:,} points of {count:,} seeds and {len(names)} strategies: allowed are"
            f" {POINTS_MAX:,} points and {RUNS_MAX:,} runs",
            remedy="take fewer values for an axis, or several sweeps",
        )
    settings = {**{key: value for key, value in DEFAULTS.items() if key not in axes}, **fixed}
    varied = [key for key in over if key in asked.over]
    points = tuple(
        lookup.point(settings | dict(zip(axes, values, strict=True)), varied)
        for values in product(*axes.values())
    )
    shown = {key: axes.get(key, names) for key in varied}
    against = _baseline(baseline, shown, lookup)
    return Sweep(shown, points, names, count, against)


def _lists(asked: Request, lookup: Lookup) -> Iterator[tuple[str, Sequence[Any]]]:
    if not asked.over:
        raise InvalidSweep(
            f"{lookup.source} no axis: nothing is varied",
            remedy="give one, such as --over agents=2,4,8, or a table [over]",
        )
    for key, values in asked.over.items():
        if not isinstance(values, list | tuple) or not values:
            raise InvalidSweep(f"{lookup.source} over.{key}: should be a list of values")
        for value in values:
            _require_value(key, value, lookup.source)
        yield key, values


def _require_value(key: str, value: Any, source: str) -> None:
    if not isinstance(value, bool | int | float | str):
        hint = "; a table of artifacts belongs in a scenario's file" if key == "artifacts" else ""
        raise InvalidSweep(f"{source} {key}: should be a number or a word{hint}, not {value!r}")


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, tuple) else [value]


def _whole(value: Any, key: str, source: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise InvalidSweep(
            f"{source} {key}={value}: should be a whole number from {least} to {most:,}"
        )
    return value


def _baseline(given: Any, over: Mapping[str, Sequence[Value]], lookup: Lookup) -> tuple[str, Value]:
    if not isinstance(given, str) or "=" not in given:
        return STRATEGY, lookup.strategy(given)
    key, value = setting(given)
    if key == STRATEGY:
        return STRATEGY, lookup.strategy(value)
    if value not in over.get(key, ()):
        axes = ", ".join(f"{key}={values[0]}" for key, values in over.items())
        raise InvalidSweep(
            f"{lookup.source} {AGAINST} {given}: a baseline is a strategy, or a value of an axis,"
            f" such as {axes}"
        )
    return key, value
