"""A part of the random models: `python tests/specs/fuzz_models.py` makes as many as you like."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location(
    "fuzz_models", Path(__file__).with_name("fuzz_models.py")
)
fuzz_models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz_models)


@pytest.mark.slow
def test_every_engine_agrees_with_the_judge():
    seen, differences = fuzz_models.fuzz(seed=1, first=0, count=120)
    assert differences == []
    ways = ("reference", "table", "numba", "partial order", "symmetry")
    assert all(seen[way] for way in ways)
    kinds = {
        prop.kind for number in range(120) for prop in fuzz_models.model_of(1, number).properties
    }
    assert len(kinds) == 9
    assert all(seen[f"{kind} {verdict}"] for kind in kinds for verdict in ("HOLDS", "VIOLATED"))


def test_two_claims_on_steps_of_replicas_are_told_apart():
    """Steps that one claim tells apart, and another does not, were counted once for the other."""
    _, differences = fuzz_models.fuzz(seed=772, first=24_413, count=1)
    assert differences == []


@pytest.mark.slow
def test_more_of_them():
    _, differences = fuzz_models.fuzz(seed=2, first=0, count=3_000)
    assert differences == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "mistake", "kind"),
    [
        ("reference.may_rest", lambda model, state: True, "plain"),
        ("liveness.FairGraph._fair_component", lambda *_: None, "plain"),
        ("check._refutes", lambda model, prop, path: True, "commuting"),
    ],
)
def test_a_mistake_in_an_engine_is_found(place, mistake, kind, monkeypatch):
    module, *names, last = place.split(".")
    holder = importlib.import_module(f"specs.checker.{module}")
    for name in names:
        holder = getattr(holder, name)
    monkeypatch.setattr(holder, last, mistake)
    _, differences = fuzz_models.fuzz(seed=1, first=0, count=100, kinds=(kind,))
    assert differences
