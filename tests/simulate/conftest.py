"""What the simulation's tests share: scenarios of any shape, small enough to be run by hand."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from coherence.simulate.scenario import Artifact, Scenario


def _scenario(**changes: object) -> Scenario:
    values: dict[str, object] = {
        "name": "test",
        "agents": 3,
        "steps": 12,
        "action_probability": 0.75,
        "write_probability": 0.25,
        "artifacts": (Artifact(name="a", size_tokens=100), Artifact(name="b", size_tokens=7)),
    }
    return Scenario.model_validate(values | changes)


@pytest.fixture
def make_scenario() -> Callable[..., Scenario]:
    return _scenario


@st.composite
def _scenarios(draw: st.DrawFn, lossy: bool = True) -> Scenario:
    sizes = draw(st.lists(st.integers(1, 5_000), min_size=1, max_size=4))
    return _scenario(
        agents=draw(st.integers(1, 6)),
        steps=draw(st.integers(1, 40)),
        action_probability=draw(st.sampled_from([0.0, 0.3, 0.75, 1.0])),
        write_probability=draw(st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.9, 1.0])),
        latency_steps=draw(st.integers(0, 3)),
        loss_probability=draw(st.sampled_from([0.0, 0.0, 0.2, 0.6, 1.0])) if lossy else 0.0,
        context=draw(st.sampled_from(["always_read", "conditional", "pointer"])),
        artifact_choice=draw(st.sampled_from(["uniform", "by_size"])),
        lease_steps=draw(st.integers(1, 10)),
        access_count_max=draw(st.integers(1, 6)),
        transient_timeout_steps=draw(st.integers(1, 6)),
        artifacts=tuple(
            Artifact(name=f"artifact-{k}", size_tokens=size, mutable=draw(st.booleans()))
            for k, size in enumerate(sizes)
        ),
    )


@pytest.fixture(scope="session")
def scenarios() -> Callable[..., st.SearchStrategy[Scenario]]:
    """Scenarios of every shape; a fixture, since test modules cannot import one another."""
    return _scenarios
