"""Records the steps of a workspace, so that the checker can compare them with the protocol.

::

    with Recorder("runs") as recorder, Workspace("sqlite:///team.db", recorder=recorder) as ws:
        ...
    # coherence specs recorded runs/*.ndjson      is it a run of the protocol?
    # coherence trace runs/plan.md.ndjson         who sent what to whom

There is one file for each artifact, in the format of `message_passing.trace`: a header, then one
line for each step of its home and of its caches, each by its agent's name.  The header names the
artifact, the policy and the agents that had joined; later ones begin with a `Join`.  A line's
`time` is of the clock by which its process steps, the store's for a home and the workspace's for a
cache; `at` is of one clock for all.  Contents are named by their digest, never written.

Workspaces of this process that share a store share a recorder.  It serialises their transactions,
so that the file has the store's order, and disables the shortcut that serves cached reads without a
step.

A request that did not reach its home, and was taken back, is not in the file.  Nor are the steps of
other processes: if they take part, or the outcome of a transaction was never known, the checker
refuses the run from the first step that depends on them.

Two requests are not steps of either table: `Begin`, the state from which the recording follows the
home, and `Join`, with which an agent's cache starts again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any, NamedTuple
from urllib.parse import quote

import msgspec

from coherence.cache import Cache
from coherence.contents import Handle
from coherence.directory import Home
from coherence.messages import SERIAL_BITS, Request
from coherence.policy import InvalidPolicy, Policy, kind_of
from coherence.runtime.outcome import HOME
from coherence.runtime.trace import Taken
from coherence.states import CacheState, HomeState
from coherence.view import Gone, View
from message_passing.errors import CallerError
from message_passing.ports import Clock
from message_passing.process import Address, Event, Invoke, Send, SetTimer, Step, Time, Value
from message_passing.trace import BadTrace, Line, TraceWriter

NAME_CHARS_MAX = 200


class Unrecordable(CallerError):
    """The run could not be followed afterwards."""


class Begin(Value, frozen=True, gc=False, tag=True):
    """The home and its policy, as JSON, and the timers armed when the recording began."""

    policy: str
    home: str
    timers: tuple[tuple[str, Time], ...]


class Join(Value, frozen=True, gc=False, tag=True):
    """An empty cache, with serials larger than those of earlier sessions."""

    session: int


class RecordedHome(Home):
    """A home that continues from the start of a recording."""

    def step(self, state: HomeState, event: Event[Any, Any], now: Time) -> Step[HomeState]:
        if type(event) is Invoke and type(event.request) is Begin:
            armed = tuple(SetTimer(name, at) for name, at in event.request.timers)
            return Step(msgspec.json.decode(event.request.home, type=HomeState), armed, "Begin")
        return super().step(state, event, now)


class RecordedCache(Cache):
    """A cache whose agent joins."""

    def step(self, state: CacheState, event: Event[Any, Any], now: Time) -> Step[CacheState]:
        if type(event) is Invoke and type(event.request) is Join:
            return Step(CacheState(serial=event.request.session << SERIAL_BITS), (), "Join")
        return super().step(state, event, now)


REQUESTS: Any = Request | Begin | Join
"""The requests that a recorded process accepts."""


def processes(lines: Sequence[Line]) -> dict[Address, RecordedHome | RecordedCache]:
    """The processes of a run.

    Raises `BadTrace` if it does not start with `Begin`, or if no loaded module has its policy.
    """
    try:
        policy = _policy(msgspec.convert(lines[0].event["request"], Begin).policy)
    except InvalidPolicy as error:
        raise BadTrace(f"line 1: {error.args[0]}", remedy=error.remedy) from error
    except (LookupError, TypeError, msgspec.ValidationError) as error:
        raise BadTrace(f"line 1 does not say how the home began: {error}") from error
    agents = dict.fromkeys(line.process for line in lines if line.process != HOME)
    return {HOME: RecordedHome(policy), **{a: RecordedCache(policy, HOME) for a in agents}}


class _Taken(NamedTuple):
    session: int
    at: Time
    now: Time
    event: Event[Any, Any]
    step: Step[Any]


class _Run:
    """One artifact's file, and the steps of caches that have not reached a home yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None
        self.waiting: dict[Address, list[_Taken]] = {}
        self.sessions: dict[Address, int] = {}

    def write(
        self, address: Address, at: Time, now: Time, event: Event[Any, Any], step: Step[Any]
    ) -> None:
        assert self.file is not None
        TraceWriter(self.file)(now, address, named(event), named(step), at)

    def settle(self, address: Address) -> None:
        """Write the steps of `address`: they reach home now, or need not reach it."""
        for session, at, now, event, step in self.waiting.pop(address, ()):
            if self.sessions.get(address) != session:
                self.sessions[address] = session
                joined = CacheState(serial=session << SERIAL_BITS)
                self.write(address, at, now, Invoke(Join(session)), Step(joined, (), "Join"))
            self.write(address, at, now, event, step)


class Recorder:
    """Give it to a workspace as `recorder=`; each run is in `folder` when the recorder is closed.

    Files of earlier recordings there are replaced.  `clock` counts the seconds of `Line.at`.
    """

    def __init__(self, folder: str | Path, *, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._began = clock()
        #: What `Line.at` counts from on the store's clock: one moment for all files.
        self._start: Time | None = None
        self._agents: dict[Address, None] = {}
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        #: Held from before a transaction until its steps are written.
        self.order = threading.RLock()
        self._runs: dict[str, _Run] = {}
        self._closed = False

    def path(self, artifact: str) -> Path:
        """The file of that artifact's run."""
        name = quote(artifact, safe=" ")
        if len(name) > NAME_CHARS_MAX:
            tail = blake2b(artifact.encode(), digest_size=8).hexdigest()
            name = f"{name[:NAME_CHARS_MAX]}-{tail}"
        return self.folder / f"{name}.ndjson"

    def check_policy(self, policy: Policy) -> None:
        """Raises `Unrecordable` for a policy that a file cannot name."""
        name = type(policy).__name__
        try:
            same = _policy(policy_text(policy)) == policy
        except (InvalidPolicy, TypeError, msgspec.ValidationError) as error:
            raise Unrecordable(f"a file cannot name the policy {name}: {error}") from error
        if not same:
            raise Unrecordable(
                f"a file cannot name the policy {name}: JSON gives it back as another",
                remedy="give it fields of text, numbers and tuples",
            )

    def check_agent(self, name: Address) -> None:
        """Raises `Unrecordable` for the name that a file uses for homes."""
        if name == HOME:
            raise Unrecordable(f"an agent is named {name!r}", remedy="give it another name")
        self._agents.setdefault(name)

    def cache_step(
        self,
        artifact: str,
        address: Address,
        session: int,
        now: Time,
        event: Event[Any, Any],
        step: Step[CacheState],
    ) -> None:
        """A cache took a step; a step that sends is written when its message reaches home."""
        with self.order:
            if self._closed:
                return
            run = self._run(artifact)
            waiting = run.waiting.setdefault(address, [])
            waiting.append(_Taken(session, self._at(), now, event, step))
            silent = not any(type(command) is Send for command in step.commands)
            if len(waiting) == 1 and silent and run.file is not None:
                run.settle(address)

    def take_back(self, artifact: str, address: Address) -> None:
        """The last request of that cache was never sent."""
        with self.order:
            waiting = self._run(artifact).waiting.get(address, [])
            while waiting and type(waiting.pop().event) is not Invoke:
                pass

    def forget(self, artifact: str, address: Address) -> None:
        """That cache starts again: no home can know of it."""
        with self.order:
            run = self._run(artifact)
            run.waiting.pop(address, None)
            run.sessions.pop(address, None)

    def took_effect(
        self, inboxes: Mapping[str, Iterable[tuple[Address, object]]], taken: Sequence[Taken]
    ) -> None:
        """A transaction took effect: write the steps of its homes.  The caller holds `order`."""
        if self._closed:
            return
        at = self._at()
        for artifact, policy, before, timers, now, steps in taken:
            run = self._run(artifact)
            if run.file is None:
                run.file = run.path.open("wb")
                about = {
                    "artifact": artifact,
                    "policy": type(policy).__name__,
                    "agents": list(self._agents),
                }
                if self._start is None:
                    self._start = now - at
                TraceWriter(run.file).begin(self._start, about)
                run.write(HOME, at, now, *begun(policy, before, timers))
            for src, _ in inboxes[artifact]:
                run.settle(src)
            for event, step in steps:
                run.write(HOME, at, now, event, step)

    def close(self) -> None:
        """End the recording; later steps of the workspace are not recorded."""
        with self.order:
            self._closed = True
            for run in self._runs.values():
                if run.file is not None:
                    for address in list(run.waiting):
                        run.settle(address)
                    run.file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _at(self) -> Time:
        """The seconds since the recording began."""
        return self._clock() - self._began

    def _run(self, artifact: str) -> _Run:
        run = self._runs.get(artifact)
        if run is None:
            run = self._runs[artifact] = _Run(self.path(artifact))
        return run


def begun(
    policy: Policy, home: HomeState, timers: tuple[tuple[str, Time], ...]
) -> tuple[Invoke[Begin], Step[HomeState]]:
    """The first step of a file: the home from which the recording follows the run."""
    begin = Begin(policy_text(policy), msgspec.json.encode(named(home)).decode(), timers)
    armed = tuple(SetTimer(name, at) for name, at in timers)
    return Invoke(begin), Step(named(home), armed, "Begin")


def named(value: Any) -> Any:
    """`value` with each content and each digest replaced by a name made from the digest.

    A cache holds a content and a home only its handle; to the protocol they are equal.
    """
    if isinstance(value, View | Gone | Handle):
        value = value.digest
    if type(value) is bytes:
        return value.hex()
    if isinstance(value, msgspec.Struct):
        old = {name: getattr(value, name) for name in value.__struct_fields__}
        new = {name: named(field) for name, field in old.items()}
        changed = {name: field for name, field in new.items() if field is not old[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    if type(value) is tuple:
        parts = tuple(map(named, value))
        return parts if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    return value


def policy_text(policy: Policy) -> str:
    """The policy as JSON, by which `processes` finds it again."""
    settings = msgspec.structs.asdict(policy)
    return msgspec.json.encode({"kind": type(policy).__name__, **settings}).decode()


def _policy(text: str) -> Policy:
    settings = msgspec.json.decode(text)
    return msgspec.convert(settings, kind_of(settings.pop("kind")))
