"""Counters reach OpenTelemetry's API."""

from types import SimpleNamespace

import pytest

from coherence import Workspace


def test_every_counter_is_observed():
    pytest.importorskip("opentelemetry.metrics")
    from coherence.workspace.telemetry import observe

    made = {}
    meter = SimpleNamespace(
        create_observable_counter=lambda name, callbacks: made.update({name: callbacks})
    )
    with Workspace() as workspace:
        observe(workspace, meter)
        workspace.agent("ann").write("plan.md", "text")
        seen = {name: callback(None)[0] for name, (callback,) in made.items()}
        assert seen["coherence.writes"].value == 1
        assert seen["coherence.writes"].attributes == {"coherence.workspace": workspace.identity}
        assert {name.removeprefix("coherence.") for name in made} == set(workspace.metrics())
