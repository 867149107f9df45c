"""What a token costs: price models as data, shipped or from a file.

A file is TOML, with one table for each price model; ``prices.toml`` beside this module is one.
Multiples are of the model's own input price, so that costs are in input tokens.
"""

from __future__ import annotations

import datetime
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from coherence.simulate.errors import InvalidPrices, UnknownPrices, nearest

DEFAULT = "claude-opus-5"

FILE_BYTES_MAX = 2**20

Multiple = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=0, le=2**53)]


class PriceModel(BaseModel):
    """The price of a token by what happens to it, and how a cached prefix is found.

    `match` is how the provider finds the cached part of a prompt.  *steps*: it is the longest
    prefix that an earlier prompt of the conversation had, in whole steps, and all of the rest is
    billed as a write.  *breakpoints*: only a prefix that ends at a mark is written and found again,
    and text behind the last mark is billed as input.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    input: Multiple = 1.0
    #: A token of the prompt that was found in the cache.
    cached: Multiple
    #: A token of the prompt that enters the cache.
    write: Multiple
    output: Multiple
    #: A shorter prefix is never cached.
    minimum_tokens: Tokens = 0
    #: How long an unused prefix stays; None: as long as the session.
    lifetime_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    match: Literal["steps", "breakpoints"]
    step_tokens: Annotated[int, Field(ge=1, le=2**53)] = 1
    #: Marks that one prompt can have.
    breakpoints: Annotated[int, Field(ge=0, le=1_000)] = 0
    #: How many blocks before a mark an earlier mark is still found.
    look_back_blocks: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    #: A prompt of more tokens costs `above_factor` times as much, all of it.
    above_tokens: Tokens | None = None
    above_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    #: The input price, to compare; no result uses it.
    dollars_per_million: Multiple | None = None
    source: Annotated[str, Field(min_length=1)]
    #: When the source was published; None if the source has no date.
    date: datetime.date | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PriceModel:
        if self.match == "breakpoints" and (self.breakpoints < 1 or self.look_back_blocks < 1):
            raise PydanticCustomError(
                "marks", "match = 'breakpoints' needs breakpoints and look_back_blocks, at least 1"
            )
        if self.match == "steps" and (self.breakpoints or self.look_back_blocks):
            raise PydanticCustomError(
                "marks", "breakpoints and look_back_blocks belong to match = 'breakpoints'"
            )
        if not self.cached + self.write:
            raise PydanticCustomError(
                "free", "a token that is kept costs nothing: cached and write cannot both be 0"
            )
        if (self.above_tokens is None) != (self.above_factor == 1.0):
            raise PydanticCustomError(
                "tier", "above_tokens and above_factor belong together, with a factor other than 1"
            )
        return self

    def kept(self, later_calls: float) -> float:
        """The price of a token that enters the history and is read again in `later_calls`."""
        return self.write + self.cached * later_calls

    @property
    def shown_once(self) -> float:
        """The price of a token behind the history that the next prompt does not have."""
        return self.input if self.match == "breakpoints" else self.write


def shipped() -> dict[str, PriceModel]:
    """The price models that are shipped, by name, in the order of their file."""
    text = (files(__package__) / "prices.toml").read_text(encoding="utf-8")
    return parse(text, "prices.toml")


def find(name_or_file: str) -> list[PriceModel]:
    """The shipped price model of that name, or all those of a file.

    Raises `UnknownPrices` and `InvalidPrices`.
    """
    known = shipped()
    if name_or_file in known:
        return [known[name_or_file]]
    path = Path(name_or_file)
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise UnknownPrices(f"{name_or_file!r}: larger than {FILE_BYTES_MAX:,} bytes")
        return list(parse(content.decode("utf-8-sig"), name_or_file).values())
    except UnicodeDecodeError as error:
        raise InvalidPrices(f"{name_or_file}: not a TOML file: {error}") from None
    except FileNotFoundError:
        hint = nearest(name_or_file, known)
        raise UnknownPrices(
            f"{name_or_file!r}: no such price model or file{hint or ','} shipped are"
            f" {', '.join(known)}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnknownPrices(f"{name_or_file!r}: cannot be read: {reason}") from None


def parse(text: str, source: str) -> dict[str, PriceModel]:
    """The price models of a TOML text, by name.  `source` names the text in messages.

    Raises `InvalidPrices`, which names every fault of every table.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidPrices(f"{source}: not a TOML file: {error}") from None
    if not tables:
        raise InvalidPrices(f"{source}: has no price model: a table such as [mine] is one")
    found, faults = {}, []
    for name, table in tables.items():
        if not isinstance(table, dict):
            faults.append(
                f"{source}: {name}: outside a table; a price model is one, such as [mine]"
            )
        elif "name" in table:
            faults.append(f"{source}: {name}.name: unknown key, the table's name is the name")
        else:
            try:
                found[name] = PriceModel.model_validate({**table, "name": name})
            except ValidationError as error:
                details = error.errors(include_url=False)
                faults += [f"{source}: {_fault(name, detail)}" for detail in details]
    if faults:
        raise InvalidPrices("\n".join(faults))
    return found


def _fault(name: str, detail: ErrorDetails) -> str:
    key = ".".join([name, *map(str, detail["loc"])])
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "extra_forbidden":
        known = [field for field in PriceModel.model_fields if field != "name"]
        hint = nearest(str(detail["loc"][-1]), known)
        return f"{key}: unknown key{hint or ','} allowed are {', '.join(known)}"
    given: Any = detail["input"]
    what = detail["msg"].replace("Input should be", "should be", 1)
    return f"{key}: {what}" + (f", not {given!r}" if detail["loc"] else "")
