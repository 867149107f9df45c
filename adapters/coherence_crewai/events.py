"""Events of artifacts on CrewAI's event bus."""

from __future__ import annotations

from crewai.events import crewai_event_bus
from crewai.events.base_events import BaseEvent

from coherence.context.events import Event
from coherence.context.recording import record


class ArtifactEvent(BaseEvent):
    """One event; its fields are described in `coherence.context.events`."""

    type: str = "coherence"
    #: hit, fill, publish, conflict, told, shown, signal or call.
    coherence: str
    ref: str
    agent: str
    tokens: int
    saved: int
    #: Of reads, and of what is told or shown.
    served: str = ""
    #: Of calls.
    held: tuple[str, ...] = ()


def tell(said: Event) -> None:
    """Emit an event, to listeners of `ArtifactEvent` and to the recordings of this process."""
    record(said)
    crewai_event_bus.emit("coherence", ArtifactEvent(**said))
