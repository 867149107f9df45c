"""One concrete example for each cell of both tables, and what the cell makes of it.

The states are the plainest in which every operation of every cell shows.  Events that follow by
themselves (`Queued`, `LastAck`, ...) and cells that no guard can name are put in by force.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fuzzing import Unmet, put_on
from msgspec.structs import replace
from play import show, show_event, told

from coherence.cache import CACHE, Cache
from coherence.directory import HOME, Home
from coherence.messages import (
    Abandon,
    Acquire,
    Check,
    Commit,
    Data,
    FwdGetM,
    FwdGetS,
    GetM,
    GetS,
    Inv,
    InvAck,
    Leave,
    Load,
    Nack,
    Permission,
    PutAck,
    PutE,
    PutM,
    PutS,
    Refusal,
    Replacement,
    Update,
)
from coherence.policy import AccessCount, Broadcast, Lazy, Policy, Visibility
from coherence.states import CacheAt, CacheState, HomeAt, HomeState, Sharer, Verdict, Waiter
from coherence.table import Stalled, Table
from message_passing.errors import Impossible
from message_passing.process import Invoke, Receive, Restart, Timeout

TABLES: dict[str, Table[Any]] = {"cache": CACHE, "home": HOME}
FILES = {name: Path(__file__).with_name("rows") / f"{name}.txt" for name in TABLES}

DURATIONS = {"validity": 20, "grant_lease": 10, "retry_after": 5}
LAZY = Lazy(**DURATIONS)
STRICT = Lazy(visibility=Visibility.STRICT, **DURATIONS)
PUSHED = Broadcast(period=4, everyone=("ann", "dan"), **DURATIONS)
NOW = 100.0
TIMERS = {"cache": {"validity", "retry", "deadline"}, "home": {"grant", "acks", "push"}}
INTERNAL = {"Queued", "LastAck", "LastAck/sole", "Lazy", "Empty"}


class Example(NamedTuple):
    policy: Policy
    state: Any
    event: Any


def example(name: str, at: str, on: str) -> Example:
    """The cell's example; of a cell that cannot happen, the nearest there is."""
    return _cache(CacheAt(at), on) if name == "cache" else _home(HomeAt(at), on)


# A cache that has version 2, after three requests.


def _cache(at: CacheAt, on: str) -> Example:
    asked = {"D": GetS(3, 2, "two"), "A": PutM(3, 2, 4, "draft", "two")}.get(
        at.removesuffix("_I")[-1]
    )
    if at in (CacheAt.IM_D, CacheAt.IM_D_I, CacheAt.SM_D):
        asked = GetM(3, 2, "two")
    live = at in (CacheAt.S, CacheAt.E, CacheAt.M, CacheAt.SM_D, CacheAt.MS_A)
    drafts = at is CacheAt.M or isinstance(asked, PutM)
    state = CacheState(at, 2, "two", 1 if live else 2, 3, 4 if drafts else 0, 1, asked)
    if on.endswith(("killed", "behind")):
        state = replace(state, dead_through=3, again=on == "Data/M-behind")
    policy = {"Load/counted": 6, "Load/refresh": 1}.get(on)
    requests = {
        "Acquire": Acquire(wait=7),
        "Commit": Commit("draft", 2, state.epoch, "two"),
        "Abandon": Abandon(state.epoch or 3),
        "Abandon/other": Abandon(3),
        "Replacement": Replacement(),
        "Leave": Leave(),
    }
    arrivals = {
        "Data/S": Data(3, 3, Permission.S, 0, 0, "three"),
        "Data/E": Data(3, 3, Permission.E, 0, 0, "three"),
        "Data/killed": Data(3, 3, Permission.S, 0, 0, "three"),
        "Data/M": Data(3, 3, Permission.M, 5, 0, "three"),
        "Data/M-killed": Data(3, 3, Permission.M, 5, 0, "three"),
        "Data/M-behind": Data(3, 3, Permission.M, 5, 0, "three"),
        "Data/late": Data(2, 3, Permission.S, 0, 0, "three"),
        "Data/M-late": Data(2, 3, Permission.M, 5, 0, "three"),
        "PutAck/S": PutAck(3, 3, Permission.S),
        "PutAck/E": PutAck(3, 3, Permission.E),
        "PutAck/killed": PutAck(3, 3, Permission.S),
        "PutAck/late": PutAck(2, 3, Permission.S),
        "Nack": Nack(3, Refusal.FENCED, 3),
        "Nack/late": Nack(2, Refusal.FENCED, 3),
        "Inv": Inv(5, True),
        "Inv/late": Inv(1, True),
        "Update": Update(6, 5, "six"),
        "Update/pointer": Update(6, 0, None),
        "Update/late": Update(2, 1, "two"),
        "FwdGetS": FwdGetS(),
        "FwdGetM": FwdGetM(),
    }
    event: Any
    if on.startswith("Load"):
        event = Invoke(Load())
    elif on in requests:
        event = Invoke(requests[on])
    elif on in arrivals:
        event = Receive("home", arrivals[on])
    else:
        event = _other("cache", on)
    return Example(AccessCount(max_accesses=policy, **DURATIONS) if policy else LAZY, state, event)


# A home at version 2.  ann wrote it under serial 4; bob is the holder or the owner, cyd waits.

ANN, BOB = Sharer("ann", 4), Sharer("bob", 5)
VERDICTS = (Verdict("dan", 1, 1, Refusal.STALE), Verdict("ann", 4, 2, None))
HOMES = {
    HomeAt.I: HomeState(HomeAt.I, 2, "two", epoch=3, verdicts=VERDICTS),
    HomeAt.S: HomeState(HomeAt.S, 2, "two", (ANN, BOB), epoch=3, verdicts=VERDICTS),
    HomeAt.E: HomeState(HomeAt.E, 2, "two", (BOB,), epoch=3, verdicts=VERDICTS),
    HomeAt.M: HomeState(
        HomeAt.M,
        2,
        "two",
        (ANN, BOB),
        "bob",
        5,
        3,
        (Waiter("cyd", 6, 2, "two"),),
        verdicts=VERDICTS,
    ),
    HomeAt.S_A: HomeState(
        HomeAt.S_A,
        2,
        "two",
        (ANN,),
        "",
        0,
        3,
        (Waiter("cyd", 6, 2, "two"),),
        (BOB,),
        "ann",
        4,
        VERDICTS,
    ),
}


def _home(at: HomeAt, on: str) -> Example:
    state, policy = HOMES[at], STRICT
    held = at in (HomeAt.S, HomeAt.E, HomeAt.M)
    who: dict[str, tuple[str, Any]] = {
        "GetS": ("dan", GetS(7, 0)),
        "GetS/sole": ("bob", GetS(7, 2, "two")),
        "GetS/late": ("bob", GetS(1, 0)),
        "GetM": ("dan", GetM(7, 0)),
        "GetM/owner": ("bob", GetM(7, 2, "two")),
        "GetM/queued": ("cyd", GetM(7, 0)),
        "GetM/late": ("bob", GetM(1, 0)),
        "PutM": ("dan", PutM(7, 2, 0, "three", "two")),
        "PutM/owner": ("bob", PutM(7, 2, 3, "three", "two")),
        "PutM/stale": ("dan", PutM(7, 1, 0, "three")),
        "PutM/fenced": ("dan", PutM(7, 2, 2, "three", "two")),
        "PutM/same": ("dan", PutM(7, 2, 0, "two", "two")),
        "PutM/same-owner": ("bob", PutM(7, 2, 3, "two", "two")),
        "PutM/again": ("dan" if at is HomeAt.S_A else "ann", PutM(4, 1, 0, "two")),
        "PutM/pending": ("ann", PutM(4, 1, 0, "two")),
        "PutM/unseen": ("ann", PutM(4, 1, 0, "two")),
        "PutM/late": ("ann", PutM(3, 1, 0, "old")),
        "Check": ("dan", Check(0, 2, "two")),
        "Check/stale": ("dan", Check(0, 1, "one")),
        "PutE": ("ann" if at is HomeAt.M else "bob", PutE(7, 0)),
        "PutE/owner": ("bob", PutE(5, 3)),
        "PutE/queued": ("cyd", PutE(6, 0)),
        "PutE/late": ("dan", PutE(7, 1)),
        "PutS": ("bob", PutS(7)),
        "PutS/late": ("dan", PutS(7)),
        "InvAck": ("bob", InvAck(2)),
        "InvAck/late": ("dan", InvAck(2)),
        "Leave": ({HomeAt.M: "cyd", HomeAt.S_A: "ann"}.get(at, "bob"), Leave(9)),
        "Leave/owner": ("bob", Leave(9)),
        "Leave/late": ("bob", Leave(1)),
    }
    if on in ("InvAck", "acks", "Restart") and held:
        state = replace(state, unacked=(BOB,))
    if on == "acks" and at is HomeAt.S_A:
        state = replace(state, sharers=(ANN, BOB))
    if on == "Restart" and at is HomeAt.S_A:
        state = replace(state, sharers=(ANN,))
    if on == "GetS/sole":
        state = replace(state, sharers=(BOB,) * (at is not HomeAt.I))
    if on == "PutM/again" and at is HomeAt.S_A:
        who[on] = ("dan", PutM(1, 1, 0, "refused"))
    if on == "PutM/unseen":
        state = replace(state, sharers=(), writer="", writer_serial=0)
    if on == "Queued":
        state = replace(state, queue=(Waiter("cyd", 6, 2, "two"), Waiter("dan", 7, 0)))
    elif on == "LastAck/sole":
        state = replace(state, unacked=(), queue=())
    elif on in ("LastAck", "Lazy"):
        state = replace(state, unacked=())
    elif on == "Empty":
        state = replace(state, sharers=())
    if on in ("push", "Restart"):
        policy = PUSHED
    if on in who:
        return Example(policy, state, Receive(*who[on]))
    return Example(policy, state, _other("home", on))


def _other(name: str, on: str) -> Timeout | Restart:
    """The event of `on`, which is neither a request nor a message."""
    if on in TIMERS[name]:
        return Timeout(on)
    missing = on != "Restart" and on not in INTERNAL
    assert not missing, f"{on} has no example: add one to `_{name}` in tests/coherence/cells.py"
    return Restart()


# What a cell makes of its example.


def automaton(name: str, table: Table[Any], policy: Policy, forced: str = "") -> Any:
    """A cache or home that runs `table`, and calls its next event `forced`, if that is given."""
    process = Cache(policy) if name == "cache" else Home(policy)
    put_on(process, {name: table})
    if forced:
        process.classify = lambda x, event: _named(process, x, event, forced)
    return process


def _follow(process: Any, path: list[str]) -> None:
    """Note in `path` what follows by itself, and from which state."""
    follows = process.follows

    def noted(x: Any) -> Any:
        on = follows(x)
        path.extend([f"    then {on} in {x.at}"] * (on is not None))
        return on

    process.follows = noted


def _named(process: Any, x: Any, event: Any, forced: str) -> str:
    type(process).classify(process, x, event)
    return forced


def outcome(name: str, at: str, on: str, table: Table[Any] | None = None) -> str:
    """What the cell does: the next state, what changed in it, the commands; as text."""
    policy, state, event = example(name, at, on)
    process = automaton(name, table or TABLES[name], policy, forced=on)
    path: list[str] = []
    _follow(process, path)
    head = f"{at}  {on}"
    shown = f"    on {show_event(event)}" if on not in INTERNAL else "    by itself"
    try:
        step = process.step(state, event, NOW)
    except Stalled:
        return f"{head}  waits"
    except Impossible:
        return f"{head}  cannot happen"
    except Unmet:
        return f"{head}  never ends"
    changes = [
        f"    {field}: {show(before)} -> {show(after)}"
        for field in state.__struct_fields__[1:]
        if (before := getattr(state, field)) != (after := getattr(step.state, field))
    ]
    commands = [f"    {told(command)}" for command in step.commands]
    moved = f"{head}  -> {step.state.at}  {step.action}"
    return "\n".join([moved, shown, *path, *changes, *commands])


def cells(name: str) -> Iterator[tuple[str, str]]:
    """Every cell that can happen, by state, events in the table's order."""
    table = TABLES[name]
    for at in table.states:
        for on in table.events:
            if (at, on) in table.cells:
                yield str(at), on


def pinned(name: str) -> dict[tuple[str, str], str]:
    """The outcomes as the file has them."""
    blocks = FILES[name].read_text(encoding="utf-8").strip().split("\n\n")
    return {tuple(block.split()[:2]): block for block in blocks}  # type: ignore[misc]


def write(name: str) -> None:
    """Write the file as the outcomes are now."""
    FILES[name].parent.mkdir(exist_ok=True)
    text = "\n\n".join(outcome(name, at, on) for at, on in cells(name))
    FILES[name].write_text(text + "\n", encoding="utf-8")
