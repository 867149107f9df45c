"""The keys that a sweep varies or fixes, and the team, prices and prompts that they describe.

They are the keys of a scenario, the numbers of `Prompting`, and `scenario`, `strategy`, `prices`
and `cuts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from coherence.simulate import catalogue
from coherence.simulate.errors import InvalidPrices, InvalidSweep, UnknownChoice, nearest
from coherence.simulate.experiments import prices as price_models
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.prices import PriceModel
from coherence.simulate.experiments.strategies import STRATEGIES
from coherence.simulate.scenario import SIZES_KEY, TOKENS_MAX, Scenario

Value: TypeAlias = bool | int | float | str

SCENARIO, STRATEGY, PRICES, CUTS = "scenario", "strategy", "prices", "cuts"
FIRST_SEED = "first_seed"

#: Of a scenario, not those that name a run or say which seeds it has, nor those of rules that no
#: strategy here has.
_NO_AXES = {"name", "runs", FIRST_SEED, "access_count_max", "transient_timeout_steps"}
TEAM_KEYS = (*(key for key in Scenario.model_fields if key not in _NO_AXES), SIZES_KEY)
#: All numbers; the marks belong to a strategy.
PROMPT_KEYS = tuple(field.name for field in fields(Prompting) if field.name != "marks")
KEYS = (SCENARIO, STRATEGY, PRICES, *TEAM_KEYS, CUTS, *PROMPT_KEYS)

DEFAULTS: Mapping[str, Value] = {SCENARIO: "planning", PRICES: price_models.DEFAULT}


class GridPoint(msgspec.Struct, frozen=True):
    """One point of the grid: all that is the same for every strategy."""

    #: The scenario, the price model, and what varies except the strategy, in the grid's order.
    settings: dict[str, Value]
    scenario: Scenario
    prices: PriceModel
    prompting: Prompting
    cuts: float


class Lookup:
    """What the names in a sweep stand for; files are looked for beside the sweep's file first.

    `source` names the sweep in messages.
    """

    def __init__(self, source: str, folder: Path | None = None) -> None:
        self.source = source
        self._folder = folder
        self._models: dict[str, PriceModel] = {}

    def require_key(self, key: str, also: Sequence[str] = ()) -> None:
        """Raise `InvalidSweep` unless `key` can be varied or fixed, or is one of `also`."""
        allowed = (*KEYS, *also)
        if key not in allowed:
            hint = nearest(key, allowed)
            raise InvalidSweep(
                f"{self.source} {key}: unknown key{hint or ','} allowed are {', '.join(allowed)}"
            )

    def strategy(self, name: Value) -> str:
        """Return the name of a strategy.  Raises `UnknownChoice`."""
        if not isinstance(name, str) or name not in STRATEGIES:
            hint = nearest(str(name), STRATEGIES)
            known = ", ".join(STRATEGIES)
            raise UnknownChoice(
                f"{self.source} strategy={name}: unknown{hint or ','} allowed are {known}"
            )
        return name

    def price_models(self, names: Sequence[Value]) -> list[str]:
        """Return the names of the price models that are shipped, or in files.

        Raises `UnknownPrices`, and `InvalidPrices` if two of them have one name.
        """
        found: dict[str, None] = {}
        for name in names:
            for model in price_models.find(self._beside(str(name))):
                if self._models.setdefault(model.name, model) != model:
                    raise InvalidPrices(
                        f"{name}: there is another price model {model.name!r}", remedy="rename one"
                    )
                found[model.name] = None
        return list(found)

    def point(self, settings: Mapping[str, Value], varied: Sequence[str]) -> GridPoint:
        """Return the point that `settings` describe; price models are those looked up before.

        Raises `InvalidSweep`, `UnknownScenario` and `InvalidScenario`.
        """
        keys = (*TEAM_KEYS, FIRST_SEED)
        changes = [f"{key}={_text(settings[key])}" for key in keys if key in settings]
        prompting = {key: self._number(key, settings) for key in PROMPT_KEYS if key in settings}
        return GridPoint(
            settings={
                key: settings[key]
                for key in dict.fromkeys((SCENARIO, PRICES, *varied))
                if key != STRATEGY
            },
            scenario=catalogue.find(
                self._beside(str(settings[SCENARIO])), changes, option=self.source
            ),
            prices=self._models[str(settings[PRICES])],
            prompting=Prompting(**prompting),
            cuts=self._number(CUTS, settings) if CUTS in settings else 0.0,
        )

    def _beside(self, name: str) -> str:
        if self._folder is not None and name.endswith(".toml"):
            path = self._folder / name
            if path.is_file():
                return str(path)
        return name

    def _number(self, key: str, settings: Mapping[str, Value]) -> Any:
        """A number of `Prompting`, or the chance of a cut: of the type of its default."""
        value, default = settings[key], getattr(Prompting, key, 0.0)
        most = 1 if key == CUTS else TOKENS_MAX
        kinds = (int,) if isinstance(default, int) else (int, float)
        if type(value) not in kinds or not 0 <= float(value) <= most:
            what = "a whole number" if kinds == (int,) else "a number"
            raise InvalidSweep(f"{self.source} {key}={value}: should be {what} from 0 to {most:,}")
        return type(default)(value)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
