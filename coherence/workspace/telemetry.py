"""The counters of a workspace as OpenTelemetry metrics, if its API is installed.

::

    from coherence.workspace.telemetry import observe

    observe(workspace)                     # with the meter provider that the application has set

Without an SDK the API does nothing, so this costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from coherence.workspace.workspace import Workspace
from message_passing.errors import EnvironmentFault

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation


def observe(workspace: Workspace, meter: Meter | None = None) -> None:
    """Register each counter of `workspace`, to be read whenever metrics are collected.

    Raises `EnvironmentFault` if the API of OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import metrics
    except ImportError as error:
        raise EnvironmentFault(
            "OpenTelemetry is not installed", remedy="pip install opentelemetry-api"
        ) from error
    meter = meter or metrics.get_meter("coherence")
    labels = {"coherence.workspace": workspace.identity}

    def reader(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda options: [metrics.Observation(workspace.metrics()[name], labels)]

    for name in workspace.metrics():
        callbacks: list[Any] = [reader(name)]
        meter.create_observable_counter(f"coherence.{name}", callbacks=callbacks)
