"""Transcripts: a team played by hand, one command at a time, and what each command did.

A transcript is blocks of a command, ``----`` and what was seen, as in etcd raft's testdata.
Nothing happens by itself: messages wait until they are delivered, time stands until it is moved.

    team ann bob: lazy grant_lease=10 version=1
    ann asks Commit content=two base=1     or any other request of coherence.messages
    ann sends Check serial=0 base=1        a message to home that its driver sends, not its cache
    deliver ann home                       the oldest message on its way; `2` after it: the second
    drop home bob · repeat home bob        lose it, or make a copy that comes after all others
    run                                    deliver everything, oldest first, until nothing is left
    until 12                               timers fire in order of their deadlines
    crash bob · restart bob · states

A line of what was seen: who, on which event, from which state to which, as which action; below it
the commands, ``->`` being a message that is now on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from fuzzing import put_on

from coherence import messages
from coherence.invariants import begin, observe, well_formed
from coherence.oracle import HOME, system
from coherence.policy import AccessCount, Announce, Broadcast, Eager, Lazy, Policy, Visibility
from coherence.table import Stalled, Table
from message_passing.process import (
    CancelTimer,
    Deliver,
    Envelope,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Timeout,
    Value,
)


class PushSmall(Policy, frozen=True):
    """Push short artifacts, invalidate long ones: a policy of one's own is this much code."""

    def announce(self, home):
        return Announce.UPDATE if len(home.content) < 10 else Announce.INV


POLICIES: Mapping[str, Callable[..., Any]] = {
    "lazy": Lazy,
    "strict": lambda **settings: Lazy(visibility=Visibility.STRICT, **settings),
    "eager": Eager,
    "eager-strict": lambda **settings: Eager(visibility=Visibility.STRICT, **settings),
    "pointer": lambda **settings: Eager(pointer=True, **settings),
    "access-count": AccessCount,
    "broadcast": lambda everyone, **settings: Broadcast(everyone=tuple(everyone), **settings),
    "push-small": PushSmall,
}


def show(value: Any) -> str:
    """`value` without what says nothing: module names, quotes, fields at their defaults."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return " ".join(map(show, value)) or "-"
    if not isinstance(value, Value):
        return str(value)
    unset = {f.name: f.default for f in msgspec.structs.fields(value) if f.default is not None}
    named = [
        f"{name}={show(field)}"
        for name in value.__struct_fields__
        if (field := getattr(value, name)) is not None and unset.get(name, msgspec) != field
    ]
    return type(value).__name__ + (f"({', '.join(named)})" if named else "")


def told(command: Any) -> str:
    if isinstance(command, Send):
        return f"-> {command.dst}: {show(command.message)}"
    if isinstance(command, SetTimer):
        return f"timer {command.name} at {command.at:g}"
    if isinstance(command, CancelTimer):
        return f"timer {command.name} off"
    if isinstance(command, Deliver):
        return f"tells its agent {show(command.message)}"
    assert isinstance(command, Respond)
    return f"answers {show(command.result)}"


class Team:
    """Plays commands.  `tables` replaces the engine's by name."""

    def __init__(self, tables: Mapping[str, Table[Any]] | None = None) -> None:
        self.tables = tables or {}

    def __call__(self, command: str) -> str:
        """What `command` did, as text."""
        match command.split():
            case ["team", *words]:
                seen = self.team(words)
            case [name, "asks", kind, *words]:
                request = getattr(messages, kind)(**settings(words))
                seen = self.step(name, Invoke(request))
            case [name, "sends", kind, *words]:
                self.sent += 1
                message = getattr(messages, kind)(**settings(words))
                self.network.append(Envelope(name, HOME, self.sent, message))
                seen = [told(Send(HOME, message))]
            case ["deliver", src, dst, *nth]:
                seen = self.arrive(self.find(src, dst, *nth))
            case ["drop", src, dst, *nth]:
                self.network.remove(self.find(src, dst, *nth))
                seen = ["lost"]
            case ["repeat", src, dst, *nth]:
                self.network.append(self.find(src, dst, *nth))
                seen = ["a copy follows"]
            case ["run"]:
                seen = []
                while self.network:
                    seen += self.arrive(self.network[0])
            case ["until", time]:
                seen = list(self.until(float(time)))
            case ["crash", name]:
                self.states[name] = self.processes[name].durable(self.states[name])
                self.timers[name].clear()
                seen = [f"{name} is down"]
            case ["restart", name]:
                seen = self.step(name, Restart())
            case ["states"]:
                seen = [f"{name}: {show(state)}" for name, state in self.states.items()]
            case _:
                raise ValueError(f"no such command: {command}")
        return "\n".join(seen) or "nothing"

    def team(self, words: list[str]) -> list[str]:
        names, _, rest = (part.split() for part in " ".join(words).partition(":"))
        policy, options = rest[0], settings(rest[1:])
        version, content = options.pop("version", 0), options.pop("content", None)
        self.policy = POLICIES[policy](**options)
        self.processes = system(self.policy, names, version=version, content=content)
        for process in self.processes.values():
            put_on(process, self.tables)
        self.states = {name: process.initial() for name, process in self.processes.items()}
        self.timers: dict[str, dict[str, float]] = {name: {} for name in self.processes}
        self.network: list[Envelope[Any]] = []
        self.now, self.sent = 0.0, 0
        self.ghost = begin(self.states[HOME])
        return [f"home: {show(self.states[HOME])}"]

    def find(self, src: str, dst: str, nth: str = "1") -> Envelope[Any]:
        return [e for e in self.network if (e.src, e.dst) == (src, dst)][int(nth) - 1]

    def arrive(self, envelope: Envelope[Any]) -> list[str]:
        self.network.remove(envelope)
        return self.step(envelope.dst, Receive(envelope.src, envelope.message))

    def until(self, time: float) -> Iterator[str]:
        while due := sorted(
            (at, name, timer)
            for name, armed in self.timers.items()
            for timer, at in armed.items()
            if at <= time
        ):
            self.now, name, timer = due[0]
            del self.timers[name][timer]
            yield from self.step(name, Timeout(timer))
        self.now = time

    def step(self, name: str, event: Any) -> list[str]:
        before = self.states[name]
        try:
            step = self.processes[name].step(before, event, self.now)
        except Stalled as wait:
            return [f"{name}: {show_event(event)}  {type(wait).__name__}"]
        self.states[name] = step.state
        for command in step.commands:
            if isinstance(command, Send):
                self.sent += 1
                self.network.append(Envelope(name, command.dst, self.sent, command.message))
            elif isinstance(command, SetTimer):
                self.timers[name][command.name] = command.at
            elif isinstance(command, CancelTimer):
                self.timers[name].pop(command.name, None)
        self.ghost = observe(self.ghost, name, event, step, self.policy)
        assert not self.ghost.broken, self.ghost.broken
        caches = [state for other, state in self.states.items() if other != HOME]
        assert well_formed(self.states[HOME], caches)
        moved = before.at if before.at == step.state.at else f"{before.at} -> {step.state.at}"
        head = f"{self.now:g} {name}: {show_event(event)}  {moved}  {step.action}"
        return [head, *(f"    {told(command)}" for command in step.commands)]


def show_event(event: Any) -> str:
    if isinstance(event, Receive):
        return f"{show(event.message)} from {event.src}"
    if isinstance(event, Invoke):
        return show(event.request)
    return f"{event.name} is due" if isinstance(event, Timeout) else "Restart"


def settings(words: list[str]) -> dict[str, Any]:
    pairs = (word.split("=") for word in words)
    return {key: int(value) if value.isdecimal() else value for key, value in pairs}


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """(comment, command, what was seen) of each block."""
    comment: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line or line.startswith("#"):
            comment.append(line)
            continue
        seen: list[str] = []
        for below in lines:
            if not below:
                break
            if below != "----":
                seen.append(below)
        yield "\n".join(comment).strip(), line, "\n".join(seen)
        comment = []


def played(text: str, tables: Mapping[str, Table[Any]] | None = None) -> str:
    """The transcript as it comes out now."""
    team, out = Team(tables), []
    for comment, command, _ in blocks(text):
        out.append(f"{comment}\n" * bool(comment) + f"{command}\n----\n{team(command)}\n")
    return "\n".join(out)


TRANSCRIPTS = sorted((Path(__file__).parents[1] / "transcripts").glob("*.txt"))
