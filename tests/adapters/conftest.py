"""What tests of all adapters share: frameworks that phone nobody, and a watch on every socket."""

import os
import sys

import pytest

# Frameworks read these when they are first imported.
os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_DISABLE_TRACKING="true",
    CREWAI_DISABLE_VERSION_CHECK="true",
    CREWAI_TRACING_ENABLED="false",
    LANGSMITH_TRACING="false",
    OTEL_SDK_DISABLED="true",
)

_connections: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        _connections.append(f"{event}{arguments[-2:]}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def no_connection():
    """Fails a test in whose time anything in this process reached for the network."""
    before = len(_connections)
    yield
    assert _connections[before:] == []


class Recording:
    """Every step that caches and homes took in a run, in order; of one artifact, as if alone."""

    def __init__(self) -> None:
        self.steps = []

    def verdict(self) -> str:
        """The first invariant that a step breaks, or nothing."""
        from coherence import Lazy
        from coherence.invariants import begin, observe
        from coherence.states import HomeState

        ghost = begin(HomeState())
        for address, event, step in self.steps:
            ghost = observe(ghost, address, event, step, Lazy())
        return ghost.broken


@pytest.fixture
def recorded(monkeypatch):
    """A recording of what the protocol does in this test.

    Caches hold contents and homes hold handles of them; both are recorded as handles.
    """
    from msgspec.structs import replace

    from coherence.directory import Home
    from coherence.messages import Granted, Loaded
    from coherence.workspace.caches import Caches
    from coherence.workspace.homes import HOME
    from messaging.process import Respond

    recording = Recording()
    cache_step, home_step = Caches._step, Home.step

    def as_handle(command):
        if isinstance(command, Respond) and isinstance(command.result, Loaded | Granted):
            content = command.result.content
            handle = content.handle if content is not None else None
            return replace(command, result=replace(command.result, content=handle))
        return command

    def cache(self, artifact, event, now):
        step = self._processes[artifact][0].step(self.state(artifact), event, now)
        step = replace(step, commands=tuple(map(as_handle, step.commands)))
        recording.steps.append((self.address, event, step))
        return cache_step(self, artifact, event, now)

    def home(self, state, event, now):
        step = home_step(self, state, event, now)
        recording.steps.append((HOME, event, step))
        return step

    monkeypatch.setattr(Caches, "_step", cache)
    monkeypatch.setattr(Home, "step", home)
    return recording
