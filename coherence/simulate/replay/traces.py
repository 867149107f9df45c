"""Reads recordings: the events of adapters, and the recordings of workspaces.

*Events* (`coherence.context.events`, one JSON object a line) say what a model was given, when it
was called, and how large each version is.  A call that only asks is a trip of the recorded way, and
not a call of the workload.  A *recording* (`coherence.runtime.recorder`, a file for each artifact)
says which agent read and published which version.  It has no sizes, so that each text is assumed to
be as large; each read and each write is a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from coherence.runtime.outcome import HOME
from coherence.simulate.replay.errors import InvalidTrace
from coherence.simulate.replay.recorded import Run, RunBuilder
from coherence.simulate.replay.saving import whole
from coherence.tokens import POINTER_TOKENS, SIGNAL_TOKENS, STUB_TOKENS
from message_passing import trace
from message_passing.errors import ToolkitError

FILE_BYTES_MAX: Final = 256 * 2**20

_ASKED: Final = ("hit", "fill")
_TOLD: Final = ("told", "shown")


class AdapterEvent(msgspec.Struct, frozen=True):
    """One event of an adapter."""

    coherence: str
    ref: str
    agent: str
    tokens: int
    saved: int = 0
    served: str = ""
    held: list[str] = []


def load(paths: Sequence[Path], *, size_tokens: int, seed: int = 1) -> Run:
    """Read one file of events, or the recordings of one workspace: files, or folders of them.

    `size_tokens` is the size of each text of a recording; `seed` draws the differences that the run
    did not send.  Raises `InvalidTrace`.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.ndjson")) if path.is_dir() else [path]
    if not files:
        raise InvalidTrace(f"{', '.join(map(str, paths))}: no file there ends in .ndjson")
    name = paths[0].stem or "run"
    contents = [whole(file, FILE_BYTES_MAX, InvalidTrace) for file in files]
    recordings = [content.startswith(b'{"trace":') for content in contents]
    recording = RunBuilder(name, seed)
    if all(recordings):
        transferred = _workspace(files, recording, size_tokens)
    elif len(files) > 1:
        raise InvalidTrace(
            f"{files[recordings.index(False)]}: not a recording of a workspace",
            remedy="give one file of events, or the files that one Recorder has written",
        )
    else:
        transferred = _adapter(_events(files[0], contents[0]), recording)
    run = recording.run(transferred)
    if run is None:
        raise InvalidTrace(f"{name}: no agent reads or publishes in it")
    return run


def _events(file: Path, content: bytes) -> Iterator[tuple[AdapterEvent, str, int]]:
    """Yield the events of a file, each with the name and the version of its artifact."""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            event = msgspec.json.decode(line, type=AdapterEvent)
            name, version = ("", 0) if event.coherence == "call" else _ref(event.ref)
            if min(event.tokens, event.tokens + event.saved) < 0:
                raise ValueError("a size below zero")
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidTrace(
                f"{file}, line {number}: not an event: {error}",
                remedy="give a file of events, or of a Recorder; a killed run may end in a part"
                " of a line",
            ) from None
        yield event, name, version


def _ref(text: str) -> tuple[str, int]:
    name, at, version = text.rpartition("@")
    if not at:
        raise ValueError(f"{text!r} is not a version such as plan.md@3")
    return name, int(version)


def _adapter(events: Iterator[tuple[AdapterEvent, str, int]], recording: RunBuilder) -> int:
    """Follow the events; return the tokens that were transferred."""
    held: dict[str, dict[str, int]] = {}
    transferred = 0
    for event, name, version in events:
        agent, tokens, whole = event.agent, event.tokens, event.tokens + event.saved
        difference = tokens if event.served == "delta" else None
        match event.coherence:
            case "call":
                now = {artifact: at for artifact, at in map(_held, event.held) if artifact}
                before = held.get(agent, {})
                lost = any(now.get(artifact, -1) < at for artifact, at in before.items())
                held[agent] = now
                recording.call(agent, tokens, is_cut=lost)
                continue
            case "publish":
                recording.publish(agent, name, version, tokens)
                continue
            case "signal":
                pass
            case kind if kind in _ASKED or kind in _TOLD:
                recording.learn(agent, name, version, whole, difference)
                if kind in _ASKED:
                    recording.read(agent, name, version, whole)
            case _:
                continue
        transferred += tokens
        recording.give(agent, tokens)
    return transferred


def _held(text: str) -> tuple[str, int]:
    try:
        return _ref(text)
    except ValueError:
        return "", 0


def _workspace(files: Sequence[Path], recording: RunBuilder, size_tokens: int) -> int:
    """Follow the recordings of all artifacts; return the tokens that were transferred."""
    lines: list[tuple[float, int, str, trace.Line]] = []
    for file in files:
        try:
            head = trace.header(file)
            artifact = str(head.about.get("artifact", file.stem)) if head else file.stem
            lines += [
                (line.moment, number, artifact, line)
                for number, line in enumerate(trace.read(file))
            ]
        except ToolkitError as error:
            raise InvalidTrace(f"{file}: {error.args[0]}", remedy=error.remedy) from None
    lines.sort(key=lambda item: item[:3])
    sent: list[tuple[str, dict[str, Any]]] = []
    for _, _, artifact, line in lines:
        for command in line.commands:
            if command.get("type") == "Send" and line.process == HOME:
                sent.append((artifact, command.get("message", {})))
            elif command.get("type") == "Respond" and line.process != HOME:
                result = command.get("result") or {}
                version = result.get("version")
                if not isinstance(version, int):
                    continue
                if result.get("type") == "Loaded" and version > 0:
                    recording.read(line.process, artifact, version, size_tokens)
                elif result.get("type") == "Committed":
                    recording.publish(line.process, artifact, version, size_tokens)
    return sum(_charge(recording, artifact, message) for artifact, message in sent)


def _charge(recording: RunBuilder, artifact: str, message: dict[str, Any]) -> int:
    """What a message from home to a cache is charged, as `coherence.tokens` says."""
    match message.get("type"):
        case "Inv":
            return SIGNAL_TOKENS
        case "Data" | "Update" as kind:
            if message.get("content") is None:
                return STUB_TOKENS if kind == "Data" else POINTER_TOKENS
            return recording.size(artifact, message.get("base") or 0, message.get("version") or 0)
    return 0
