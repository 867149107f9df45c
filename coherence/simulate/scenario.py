"""The scenario of a simulation, its validation, and changes from the command line.

A scenario is a TOML file whose keys are the fields of :class:`Scenario`, plus an array of tables
``[[artifacts]]``.  Comment lines at the head of a file describe it; no key does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from coherence.simulate.errors import InvalidScenario, nearest

TOKENS_MAX = 2**53
"""Largest token total: larger sums are not exact in a reader's floats."""

ARTIFACTS_MAX = 1_000_000

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=TOKENS_MAX)]
Steps = Annotated[int, Field(ge=0, le=TOKENS_MAX)]

SIZES_KEY = "size_tokens"
"""Changes the size of every artifact."""

_TEXT_KEYS = frozenset({"name", "context", "artifact_choice"})


class Artifact(BaseModel):
    """One artifact of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    size_tokens: Count
    mutable: bool = True


class Scenario(BaseModel):
    """A team, its artifacts, its rates of action and its network.

    Agents act once a step at most, in the order of their numbers.  Defaults are those of the
    canonical scenarios of the Token Coherence paper (arXiv 2603.15183).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    agents: Count
    steps: Count
    #: Chance that an agent acts in a step.
    action_probability: Probability
    #: Chance that an action on a mutable artifact is a write; all others are reads.
    write_probability: Probability
    #: Steps that a message travels.  Messages arrive between steps, so 0 and 1 mean the same.
    latency_steps: Steps = 1
    loss_probability: Probability = 0.0
    context: Literal["always_read", "conditional", "pointer"] = "conditional"
    artifact_choice: Literal["uniform", "by_size"] = "uniform"
    #: How long a fetched copy may be read under the `lease` strategy.
    lease_steps: Count = 300
    #: How often a fetched copy may be read under the `access_count` strategy.
    access_count_max: Count = 6
    #: Age at which the paper's rules give up a directory entry that awaits a signal's arrival.
    transient_timeout_steps: Count = 5
    #: Run k, counted from 0, uses the seed `first_seed + k`.
    first_seed: Annotated[int, Field(ge=0, le=2**63)] = 1
    runs: Annotated[int, Field(ge=1, le=100_000)] = 10
    artifacts: Annotated[tuple[Artifact, ...], Field(min_length=1, max_length=ARTIFACTS_MAX)]

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        seen: set[str] = set()
        for artifact in self.artifacts:
            if artifact.name in seen:
                raise PydanticCustomError(
                    "unique", "artifacts: two are named {name}", {"name": repr(artifact.name)}
                )
            seen.add(artifact.name)
        if self.broadcast_floor_tokens > TOKENS_MAX:
            raise PydanticCustomError(
                "overflow",
                "agents x steps x sum of size_tokens is {total}, more than the {limit} that can be"
                " counted exactly",
                {"total": self.broadcast_floor_tokens, "limit": TOKENS_MAX},
            )
        return self

    @property
    def sizes_tokens(self) -> tuple[int, ...]:
        """Sizes in the order of the artifacts."""
        return tuple(artifact.size_tokens for artifact in self.artifacts)

    @property
    def broadcast_floor_tokens(self) -> int:
        """Cost of every artifact to every agent in every step: n S sum |d|."""
        return self.agents * self.steps * sum(self.sizes_tokens)


def parse(text: str, source: str, changes: Iterable[str] = (), option: str = "--set") -> Scenario:
    """Return the scenario that the TOML `text` describes, after the `changes` (``key=value``).

    Beside the keys of a scenario, a change ``size_tokens=N`` gives that size to every artifact.
    `source` names the text in messages, `option` what made the changes.  Raises `InvalidScenario`.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidScenario(f"{source}: not a TOML file: {error}") from None
    origins: dict[str, str] = {}
    for change in changes:
        origin = f"{option} {change}"
        key, value = _change(change, origin)
        if key == SIZES_KEY:
            key, value = "artifacts", _resized(table, value, origin)
        elif _is_count(key, value):
            value = _copies(table, value, origin)
        table[key] = value
        origins[key] = origin
    return _validated(table, source, origins)


def _change(change: str, origin: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in change.partition("="))
    if not equals or not key or not text:
        raise InvalidScenario(f"{origin}: not of the form key=value")
    if key not in Scenario.model_fields and key != SIZES_KEY:
        raise InvalidScenario(f"{origin}: {_unknown(key, Scenario)}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key, text
    # A bare word is a string, and so is any value of a key that takes a string: name=2026.
    return key, text if key in _TEXT_KEYS and not isinstance(value, str) else value


def _is_count(key: str, value: object) -> bool:
    return key == "artifacts" and type(value) is int


def _copies(table: Mapping[str, Any], count: int, origin: str) -> list[dict[str, Any]]:
    if not 1 <= count <= ARTIFACTS_MAX:
        raise InvalidScenario(f"{origin}: allowed are 1 to {ARTIFACTS_MAX:,} artifacts")
    try:
        first = dict(table["artifacts"][0])
    except (KeyError, IndexError, TypeError, ValueError):
        raise InvalidScenario(f"{origin}: there is no first artifact to copy") from None
    return [{**first, "name": f"artifact-{number}"} for number in range(1, count + 1)]


def _resized(table: Mapping[str, Any], size: object, origin: str) -> list[dict[str, Any]]:
    if type(size) is not int or not 1 <= size <= TOKENS_MAX:
        raise InvalidScenario(f"{origin}: allowed are sizes of 1 to {TOKENS_MAX:,} tokens")
    try:
        return [{**artifact, "size_tokens": size} for artifact in table["artifacts"]]
    except (KeyError, TypeError):
        raise InvalidScenario(f"{origin}: there are no artifacts to resize") from None


def _validated(table: dict[str, Any], source: str, origins: Mapping[str, str]) -> Scenario:
    if isinstance(table.get("artifacts"), list):
        table = {**table, "artifacts": tuple(table["artifacts"])}
    try:
        return Scenario.model_validate(table)
    except ValidationError as error:
        lines = [_line(detail, source, origins) for detail in error.errors(include_url=False)]
        raise InvalidScenario("\n".join(lines)) from None


def _line(detail: ErrorDetails, source: str, origins: Mapping[str, str]) -> str:
    place = detail["loc"]
    where = origins.get(str(place[0]), source) if place else source
    key = ".".join(str(part) for part in place)
    if detail["type"] == "missing":
        return f"{where}: {key}: missing"
    if detail["type"] == "extra_forbidden":
        return f"{where}: {_unknown(key, Artifact if len(place) > 1 else Scenario)}"
    if not place:
        return f"{where}: {detail['msg']}"
    given = repr(detail["input"])
    given = given if len(given) <= 60 else f"{given[:57]}..."
    what = detail["msg"].replace("Input should be", "should be", 1)
    what = what.replace("a valid tuple", "an array of tables")
    return f"{where}: {key}: {what}, not {given}"


def _unknown(key: str, model: type[BaseModel]) -> str:
    known = list(model.model_fields)
    hint = nearest(key.rpartition(".")[2], known)
    return f"{key}: unknown key{hint or ','} allowed are {', '.join(known)}"
