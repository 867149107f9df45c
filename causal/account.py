"""Accounts from a trace: when each message went, what held it, how long it was a secret, its cost.

Pure: from the lines of a trace (`message_passing.trace`) to accounts.  Only events and commands are
read, so the trace of any protocol will do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from message_passing.trace import BadTrace

Name: TypeAlias = tuple[str, int]


class TraceStep(Protocol):
    """A step in a trace."""

    @property
    def moment(self) -> float: ...

    @property
    def process(self) -> str: ...

    @property
    def action(self) -> str: ...

    @property
    def event(self) -> dict[str, Any]: ...

    @property
    def commands(self) -> list[dict[str, Any]]: ...


@dataclass
class Account:
    """One message.  Times are the driver's; None: not by the end of the trace."""

    src: str
    id: int
    dst: str
    sent: float
    went: float | None = None
    arrived: float | None = None
    delivered: float | None = None
    told: float | None = None
    """When the recipient was released, or had been by the time of delivery."""
    eager: bool = False
    secrets: tuple[Name, ...] = ()
    """The secrets that its sender kept when it was sent."""
    behind: tuple[Name, ...] = ()
    """The sender's own earlier messages that were undelivered."""

    @property
    def name(self) -> str:
        """As in explanations: a2 is the second message of a."""
        return f"{self.src}{self.id}"

    def held(self, end: float) -> float:
        """Time spent waiting in its sender."""
        return (end if self.went is None else self.went) - self.sent

    def buffered(self, end: float) -> float:
        """Time spent waiting in its receiver."""
        if self.arrived is None:
            return 0.0
        return (end if self.delivered is None else self.delivered) - self.arrived

    def kept(self, end: float) -> float:
        """How long its recipient kept it a secret."""
        if not self.eager or self.delivered is None:
            return 0.0
        return max(0.0, (end if self.told is None else self.told) - self.delivered)

    def why(self) -> str:
        """The reason that it waited, or went eagerly, in words."""
        if self.went is None or self.went > self.sent:
            if self.secrets:
                listed = ", ".join(f"{owner}{id}" for owner, id in self.secrets)
                return f"held: {self.src} kept the secret {listed}"
            return f"held: {self._behind()} undelivered"
        if self.arrived is not None and self.delivered != self.arrived:
            return f"buffered: {self.dst} lacked an earlier message"
        if self.eager:
            return f"eager: {self._behind()} undelivered"
        return ""

    def _behind(self) -> str:
        listed = ", ".join(f"{owner}{id}" for owner, id in self.behind)
        return f"{listed or 'an earlier message'} {'were' if len(self.behind) > 1 else 'was'}"


@dataclass
class Accounts:
    """All messages of a trace, in the order in which they were sent."""

    messages: dict[Name, Account] = field(default_factory=dict)
    end: float = 0.0
    #: Of each sender, what is undelivered, oldest first.
    undelivered: dict[str, dict[Name, Account]] = field(default_factory=dict)

    def __iter__(self) -> Any:
        """The messages, oldest first."""
        return iter(self.messages.values())


def accounts(lines: Iterable[TraceStep]) -> Accounts:
    """The account of every message in a trace.

    Raises `BadTrace` for a step whose messages lack what a delivery protocol gives them.
    """
    reading = _Reading()
    for line in lines:
        try:
            reading.take(line)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            where = f"{line.process} at {line.moment:g}, {line.action}"
            raise BadTrace(f"{where}: no step of a delivery protocol: {error!r}") from error
    return reading.book


class _Reading:
    """What the lines so far have told."""

    def __init__(self) -> None:
        self.book = Accounts()
        self._secrets: defaultdict[str, set[Name]] = defaultdict(set)
        self._heard: defaultdict[str, set[Name]] = defaultdict(set)
        self._told: defaultdict[tuple[str, str], int] = defaultdict(int)

    def take(self, line: TraceStep) -> None:
        """Take in the next line."""
        book, secrets, heard, told = self.book, self._secrets, self._heard, self._told
        book.end = max(book.end, line.moment)
        here, event = line.process, line.event
        content = event.get("request") or event.get("message") or {}
        kind = content.get("type", "") if isinstance(content, dict) else ""
        if event.get("type") == "Receive":
            src = str(event["src"])
            if kind.endswith("Data") and (found := book.messages.get((src, _id(content)))):
                found.arrived = line.moment if found.arrived is None else found.arrived
            if kind == "Release":
                told[here, src] = max(told[here, src], int(content["id"]))
                released = {s for s in secrets[here] if s[0] == src and s[1] <= content["id"]}
                _end(book, line, secrets[here], released)
            if line.action == "ReceiveDelivered":  # a process that does not announce ignores it
                heard[here].add((str(content["owner"]), int(content["id"])))
        if kind == "PeerDown":
            secrets[here] = {s for s in secrets[here] if s[0] != content["peer"]}
        if kind == "Unicast":
            _open(book, line, content, secrets[here])
        for command in line.commands:
            _command(book, line, command, secrets[here], told)
        if heard[here]:
            _end(book, line, secrets[here], _concluded(book, here, secrets[here], heard[here]))


def _end(book: Accounts, line: TraceStep, secrets: set[Name], ended: set[Name]) -> None:
    secrets -= ended
    for name in ended & book.messages.keys():
        book.messages[name].told = line.moment


def _concluded(book: Accounts, here: str, secrets: set[Name], heard: set[Name]) -> set[Name]:
    """The secrets that no undelivered message precedes, as other processes announced."""
    return {
        (owner, id)
        for owner, id in secrets
        if all(
            (owner, m.id) in heard for m in book if m.src == owner and m.id < id and m.dst != here
        )
    }


def _open(book: Accounts, line: TraceStep, request: dict[str, Any], secrets: set[Name]) -> None:
    answers = [c["result"] for c in line.commands if c.get("type") == "Respond"]
    if not answers:
        return
    here, dst, id = line.process, str(request["dst"]), int(answers[0])
    before = book.undelivered.setdefault(here, {})
    made = Account(
        here,
        id,
        dst,
        line.moment,
        secrets=tuple(sorted(s for s in secrets if s[0] != dst)) or tuple(sorted(secrets)),
        behind=tuple(name for name, m in before.items() if m.dst != here),
    )
    book.messages[here, id] = before[here, id] = made


def _command(
    book: Accounts,
    line: TraceStep,
    command: dict[str, Any],
    secrets: set[Name],
    told: dict[tuple[str, str], int],
) -> None:
    here, message = line.process, command.get("message")
    if not isinstance(message, dict):
        return
    if command["type"] == "Send" and str(message.get("type", "")).endswith("Data"):
        found = book.messages.get((here, _id(message)))
        if found is not None and found.went is None:
            found.went = line.moment
            found.eager = bool(message.get("eager") or message.get("avoid"))
    elif command["type"] == "Deliver":
        name = (str(command["src"]), int(message["id"]))
        found = book.messages.get(name)
        if found is None:
            return
        found.delivered = line.moment
        book.undelivered.get(found.src, {}).pop(name, None)
        if found.src == here:
            found.went = found.arrived = line.moment
        if found.eager and name[1] > told[here, name[0]]:
            secrets.add(name)
        elif found.eager:
            found.told = line.moment


def _id(packet: dict[str, Any]) -> int:
    # The id of a broadcast is its sender's entry in the vector; only a delivery tells it.
    return int(packet.get("id", 0))
