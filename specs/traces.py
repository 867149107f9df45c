"""Recorded runs as TLA+: a module with the run's lines, which TLC checks against Mesi.tla.

``specs/tla/TraceMesi.tla`` defines how Mesi follows a run.  This module turns a trace of
`message_passing.trace` into its data: a module and a configuration in a separate folder.
`specs.recorded` judges the same run with the tables, independently.

Numbers of TLC have 32 bits, so the serials of a session, which begin at a high number, are
renumbered; order and successor stay.  Contents and names are written in ASCII.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from coherence.messages import SERIAL_BITS, Acquire, Message, Request, Result
from coherence.policy import Announce, Policy, Visibility
from coherence.runtime.outcome import HOME
from coherence.runtime.recorder import Begin, Join
from coherence.states import HomeState
from message_passing.errors import CallerError, ToolkitError
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    CancelTimer,
    Deliver,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Timeout,
    Value,
)
from message_passing.trace import Line
from specs import tlc
from specs.recorded import Acceptance
from specs.tlavalue import function, printed
from specs.twins import NONE, home_record, message

MODULES = ("Network.tla", "Mesi.tla", "TraceMesi.tla")
SESSION = 1 << SERIAL_BITS
REQUESTS_MAX = 100_000
#: Operators of Mesi and their replacements in the configuration.
REPLACED = {
    "May": "TraceMay",
    "Written": "TraceWritten",
    "GivenBack": "TraceGivenBack",
    "Offered": "TraceOffered",
    "Due": "TraceDue",
}

_Event: Any = Invoke[Request | Begin | Join] | Receive[Message] | Timeout | Restart
_Commands: Any = tuple[
    Send[Message] | SetTimer | CancelTimer | Deliver[Message] | Respond[Result], ...
]
_FOLLOWED = re.compile(r'<<"followed", (\d+)>>')


class NotModelled(CallerError):
    """Mesi.tla has no such run."""

    code = "not_modelled"


def follow(
    lines: Sequence[Line],
    policy: Policy,
    guarantee: Guarantee,
    *,
    early: frozenset[str] = frozenset(),
) -> Acceptance:
    """How far `lines` are a behaviour of Mesi.tla; `early` as in `specs.recorded.Acceptor`.

    Raises `NotModelled`, and what `tlc.run` raises.
    """
    known, wrong = _decoded(lines)
    if not known:
        return Acceptance(0, wrong or "an empty trace")
    writer = _Writer(known)
    with tempfile.TemporaryDirectory(prefix="trace-") as scratch:
        folder = Path(scratch)
        for name in MODULES:
            shutil.copy(tlc.TLA / name, folder)
        config = _config(policy, guarantee, writer, early)
        (folder / "TraceMesi.cfg").write_text(config, encoding="ascii")
        (folder / "Recorded.tla").write_text(_module(writer.lines), encoding="ascii")
        found = tlc.run("TraceMesi", "TraceMesi", folder=folder)
    steps = max(map(int, _FOLLOWED.findall(found.output)), default=0)
    if found.violated:
        return Acceptance(steps - 1, f"step {steps} ({lines[steps - 1].action}): {found.violated}")
    if steps < len(known):
        action = lines[steps].action
        return Acceptance(steps, f"step {steps + 1} ({action}): Mesi.tla takes no such step here")
    return Acceptance(steps, wrong)


_Decoded: TypeAlias = tuple[Line, Any, tuple[Any, ...]]


def _decoded(lines: Sequence[Line]) -> tuple[list[_Decoded], str]:
    """The lines with event and commands, up to the first invalid one, and the error there."""
    known: list[_Decoded] = []
    for line in lines:
        try:
            event = msgspec.convert(line.event, _Event)
            known.append((line, event, msgspec.convert(line.commands, _Commands)))
        except (msgspec.ValidationError, ToolkitError) as error:
            return known, f"step {len(known) + 1} ({line.action}): {error}"
    return known, ""


class _Writer:
    """Writes lines as values of TLA+; `agents` are the caches' addresses that they name."""

    def __init__(self, lines: Sequence[_Decoded]) -> None:
        self.agents: set[str] = set()
        self.sessions = {0}
        self.ranks: dict[int, int] = {}
        self.lines: tuple[Any, ...] = ()
        for _ in ("once to meet all sessions", "once to number them"):
            self.ranks = {session: rank for rank, session in enumerate(sorted(self.sessions))}
            self.lines = tuple(self.line(*line) for line in lines)

    def line(self, line: Line, event: Any, commands: tuple[Any, ...]) -> Any:
        sent = [c for c in commands if type(c) is Send]
        on = {c.name: type(c) is SetTimer for c in commands if type(c) in (SetTimer, CancelTimer)}
        answers = [self.record(c.result) for c in commands if type(c) is Respond] or [NONE]
        return function(
            {
                "action": _ascii(line.action),
                "process": self.name(line.process),
                "event": self.event(event),
                "sent": tuple((self.name(c.dst), self.record(c.message)) for c in sent),
                "armed": frozenset(_ascii(name) for name, armed in on.items() if armed),
                "disarmed": frozenset(_ascii(name) for name, armed in on.items() if not armed),
                "answer": answers[0] if len(answers) == 1 else function({"type": "Several"}),
                "told": any(type(c) is Deliver for c in commands),
            }
        )

    def event(self, event: Any) -> Any:
        fields: dict[str, Any] = {"type": type(event).__name__}
        match event:
            case Receive():
                fields |= {"src": self.name(event.src), "message": self.record(event.message)}
            case Timeout():
                fields["name"] = _ascii(event.name)
            case Invoke():
                fields["request"] = self.request(event.request)
        return function(fields)

    def request(self, request: Any) -> Any:
        match request:
            case Acquire():
                return function({"type": "Acquire" if request.wait is None else "Acquire/wait"})
            case Join():
                serial = self.serial(request.session * SESSION)
                return function({"type": "Join", "serial": serial})
            case Begin():
                home = msgspec.json.decode(request.home, type=HomeState)
                return function({"type": "Begin", "home": home_record(self.plain(home))})
        return self.record(request)

    def record(self, value: Value) -> Any:
        return message(self.plain(value))

    def plain(self, value: Any) -> Any:
        """`value` with its names, serials and contents in TLC's form."""
        changed: dict[str, Any] = {}
        for name in value.__struct_fields__:
            old = getattr(value, name)
            if name in ("content", "digest"):
                changed[name] = None if old is None else (_ascii(str(old)),)
            elif name.endswith("serial"):
                changed[name] = self.serial(old)
            elif name in ("cache", "owner", "writer"):
                changed[name] = self.name(old)
            elif type(old) is tuple:
                changed[name] = tuple(map(self.plain, old))
        return msgspec.structs.replace(value, **changed)

    def name(self, address: Address) -> str:
        name = _ascii(address)
        if name and name != HOME:
            self.agents.add(name)
        return name

    def serial(self, serial: int) -> int:
        session, number = divmod(serial, SESSION)
        self.sessions.add(session)
        if number >= REQUESTS_MAX:
            raise NotModelled(f"serial {serial}", remedy="record runs of fewer requests")
        return self.ranks.get(session, 0) * REQUESTS_MAX + number


def _ascii(text: str) -> str:
    """`text` in letters that a string of TLA+ may hold; another text has another form."""
    return quote(text, safe=" /@.:+,=()<>!?*&;#$[]{}|^'")


def _module(lines: Sequence[Any]) -> str:
    """The module whose `Trace` is the lines."""
    listed = ",\n  ".join(map(printed, lines))
    return f"---- MODULE Recorded ----\nEXTENDS TLC\nTrace ==\n<<{listed}>>\n====\n"


def _config(policy: Policy, guarantee: Guarantee, writer: _Writer, early: frozenset[str]) -> str:
    """The configuration for it.  Raises `NotModelled`."""
    if policy.push_every is not None:
        raise NotModelled("Mesi.tla has no periodic push", remedy="record under another policy")
    kind = type(policy)
    if any(rule.__module__ != Policy.__module__ for rule in (kind.announce, kind.use)):
        raise NotModelled(
            f"Mesi.tla does not have the rules of {kind.__name__}",
            remedy="leave --tlc out: the tables judge a run under any policy",
        )
    announce = policy.announce(HomeState())
    constants = {
        "Agents": frozenset(writer.agents),
        "Guarantee": guarantee.value,
        "Strict": policy.visibility is Visibility.STRICT,
        "Announce": announce.value if announce is not Announce.UPDATE else "Update",
        "Validity": policy.validity is not None,
        "GrantLease": policy.grant_lease is not None,
        "Retry": policy.retry_after is not None,
        "DeltaWindow": policy.delta_window,
        "MaxAccesses": getattr(policy, "max_accesses", 0),
        "Asks": frozenset[str](),
        "Times": 0,
        "Crashes": len(writer.lines),
        "Crashable": frozenset({HOME, *writer.agents}),
        "Farewells": False,
        "Alarms": 0,
        "Restores": False,
        "InFlight": 0,
        "Early": early,
    }
    replaced = REPLACED | ({"LapsesFirst": "NeverFirst"} if early else {})
    return "\n".join(
        [
            "SPECIFICATION TraceSpec",
            "CONSTANTS",
            *(f"  {name} = {printed(value)}" for name, value in constants.items()),
            *(f"  {name} <- {other}" for name, other in replaced.items()),
            f"INVARIANTS TypeOK WellFormed {'' if early else 'TimersFit '}DraftIsCurrent\n",
        ]
    )
