"""Guards at their edges, and operations under rare policies: what the plain examples do not show.

`EDGES` has cases of one step each.  A case says in words what the protocol does, and then which
event the guards name, which fields are as given afterwards, and which commands follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cells import LAZY, NOW, STRICT
from msgspec.structs import replace
from play import PushSmall

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import (
    CURRENT,
    Check,
    Content,
    FwdGetM,
    GetM,
    GetS,
    Inv,
    InvAck,
    Leave,
    Message,
    Nack,
    Permission,
    PutAck,
    PutE,
    PutM,
    PutS,
    Refusal,
)
from coherence.policy import Eager, Lazy, Policy
from coherence.states import CacheAt, CacheState, HomeAt, HomeState, Sharer, Verdict
from message_passing.process import CancelTimer, Deliver, Receive, Send, Timeout


class Unknown(NamedTuple):
    """Content without a digest."""

    digest: None = None


class Edge(NamedTuple):
    policy: Policy
    state: Any
    event: Any
    #: The event that the guards name.
    on: str
    #: Fields of the state after the step.
    after: Mapping[str, Any] = {}
    #: The commands, if the case is about them.
    commands: tuple[Any, ...] | None = None


BOB, CYD = Sharer("bob", 5), Sharer("cyd", 2)
SHARED = HomeState(HomeAt.S, 2, "two", (BOB, CYD), epoch=3)
PUSHED = HomeState(HomeAt.S, 2, "two", (Sharer("bob", 0), CYD))
OWNED = HomeState(HomeAt.M, 2, "two", (BOB, CYD), "bob", 5, 3)
#: The owner's PutS came before the message that returns its grant.
OWNER_DROPPED = HomeState(HomeAt.M, 2, "two", (CYD,), "bob", 5, 3)
#: ann's first commit becomes visible; she was refused another one meanwhile.
REFUSED = HomeState(
    HomeAt.S_A,
    2,
    "two",
    (Sharer("ann", 4),),
    unacked=(BOB,),
    writer="ann",
    writer_serial=4,
    verdicts=(Verdict("ann", 7, 2, Refusal.BUSY),),
)
#: ann alone holds a copy, and cyd has not confirmed an update.
SILENT = HomeState(HomeAt.S, 2, "two", (Sharer("ann", 4),), unacked=(CYD,))
NEVER = HomeState(HomeAt.I)
ASKED = GetS(3, 0)
LONG = "longer than what is pushed"


def home(
    state: HomeState, src: str, message: Message, on: str, *, policy: Policy = LAZY, **expected: Any
) -> Edge:
    """A message comes to home.  `expected` are fields of the state, and `commands`."""
    commands = expected.pop("commands", None)
    return Edge(policy, state, Receive(src, message), on, expected, commands)


def writes(content: Content, **of: Any) -> PutM:
    """A commit derived from version 2."""
    return PutM(**{"serial": 7, "base": 2, "epoch": 0, "content": content, "digest": "two", **of})


def acked(serial: int, version: int, grant: Permission = Permission.S) -> Send[Any]:
    """The answer to ann's commit."""
    return Send("ann", PutAck(serial, version, grant))


EDGES: dict[str, Edge] = {
    # Serials: a message counts from the newest serial on that home has heard.
    "a PutS under the serial of the copy counts": home(SHARED, "bob", PutS(5), "PutS"),
    "an older PutS is late": home(SHARED, "bob", PutS(4), "PutS/late"),
    "a PutS of a cache that home pushes to counts": home(PUSHED, "bob", PutS(1), "PutS"),
    "a PutE of a cache that home pushes to counts": home(PUSHED, "bob", PutE(1, 0), "PutE"),
    "a Leave under the serial of the copy counts": home(SHARED, "bob", Leave(5), "Leave"),
    "an owner without a copy is still heard": home(OWNER_DROPPED, "bob", GetS(4, 0), "GetS/late"),
    "the owner's own serial is not late": home(OWNER_DROPPED, "bob", GetS(5, 0), "GetS"),
    "a PutE under the serial of the copy counts": home(SHARED, "bob", PutE(5, 0), "PutE"),
    "an older PutE is late": home(SHARED, "bob", PutE(4, 0), "PutE/late"),
    "a PutE of a cache that home does not know is late": home(
        SHARED, "dan", PutE(7, 0), "PutE/late"
    ),
    # Grants: an owner returns the grant that it has.
    "epoch 0 returns the grant asked under that serial": home(
        OWNED, "bob", PutE(5, 0), "PutE/owner"
    ),
    "epoch 0 under a newer serial drops a copy": home(
        *(OWNED, "bob", PutE(9, 0), "PutE"), owner="bob", sharers=(CYD,)
    ),
    "an ended grant is not returned, whatever its serial": home(
        *(OWNED, "bob", PutE(5, 2), "PutE/late"), owner="bob"
    ),
    # Commits that change nothing.
    "equal content under an ended grant leaves the live grant": home(
        *(OWNED, "bob", writes("two", epoch=2), "PutM/same"), owner="bob", epoch=3
    ),
    "equal content under the live grant ends it": home(
        *(OWNED, "bob", writes("two", epoch=3), "PutM/same-owner"), owner=""
    ),
    "content that a driver found equal is equal": home(SHARED, "dan", writes(CURRENT), "PutM/same"),
    "no digest is no proof that contents are equal": home(
        NEVER, "dan", PutM(1, 0, 0, Unknown()), "PutM", version=1
    ),
    # Verdicts.
    "a repeated commit gets its own verdict while another is pending": home(
        *(REFUSED, "ann", writes("new"), "PutM/again"),
        policy=STRICT,
        commands=(Send("ann", Nack(7, Refusal.BUSY, 2)),),
    ),
    "the newest verdicts are remembered": home(
        *(replace(SHARED, verdicts=(Verdict("ann", 7, 2, None),)), "dan", writes("new"), "PutM"),
        policy=Lazy(memory=1),
        verdicts=(Verdict("dan", 7, 3, None),),
    ),
    # Checks.
    "a number alone is checked by itself": home(SHARED, "dan", Check(0, 2), "Check"),
    "a version of another history is not current": home(
        *(SHARED, "dan", Check(0, 2, "other"), "Check/stale"),
        commands=(Send("dan", Nack(0, Refusal.STALE, 2)),),
    ),
    "nothing is what was never written": home(NEVER, "dan", Check(0, 0), "Check", commands=()),
    # Who is awaited.
    "an acknowledgement of an earlier version is late": home(
        *(REFUSED, "bob", InvAck(1), "InvAck/late"), policy=STRICT, unacked=(BOB,)
    ),
    "a lone copy is exclusive only where its holder is the writer": home(
        *(replace(REFUSED, sharers=(BOB,)), "bob", InvAck(2), "InvAck"),
        policy=STRICT,
        at=HomeAt.S,
    ),
    "an invalidation of a lone writer's old readers awaits none": home(
        *(SILENT, "ann", writes(LONG), "PutM"),
        policy=PushSmall(),
        unacked=(),
        commands=(acked(7, 3, Permission.E),),
    ),
    "the end of a wait disarms a timer that runs": home(
        *(SILENT, "ann", writes(LONG), "PutM"),
        policy=PushSmall(validity=20),
        unacked=(),
        commands=(CancelTimer("acks"), acked(7, 3, Permission.E)),
    ),
    "who has not confirmed an update is awaited beside the next one": home(
        *(SILENT, "ann", writes("new"), "PutM"),
        policy=Eager(validity=20),
        unacked=(CYD,),
        commands=(acked(7, 3),),
    ),
    "the readers of each update are awaited": home(
        *(replace(SILENT, sharers=(Sharer("ann", 4), BOB)), "ann", writes("new"), "PutM"),
        policy=Eager(validity=20),
        unacked=(BOB, CYD),
    ),
    "a commit whose writer has left leaves no copy": home(
        *(replace(REFUSED, sharers=(), writer="", writer_serial=0), "bob", InvAck(2), "InvAck"),
        policy=STRICT,
        at=HomeAt.I,
        commands=(CancelTimer("acks"),),
    ),
    # Caches.
    "a driver's own repetition arms no timer": Edge(
        Lazy(),
        CacheState(CacheAt.IS_D, serial=3, asked=ASKED),
        Timeout("retry"),
        "retry",
        commands=(Send("home", ASKED),),
    ),
    "what is killed under a repeated request is dead again": Edge(
        LAZY,
        CacheState(CacheAt.IM_D, serial=3, asked=GetM(3, 0), again=True, dead_through=1),
        Receive("home", Inv(4, False)),
        "Inv",
        {"again": False, "dead_through": 4},
    ),
    "the application learns who asks it to finish": Edge(
        LAZY,
        CacheState(CacheAt.M, 2, "two", 1, 3, 4),
        Receive("home", FwdGetM()),
        "FwdGetM",
        commands=(Deliver("home", FwdGetM()),),
    ),
}


def failure(name: str) -> str:
    """What the code of this moment does otherwise than the case says, or ""."""
    policy, state, event, on, after, commands = EDGES[name]
    process: Any = Cache(policy) if isinstance(state, CacheState) else Home(policy)
    named = process.classify(process.scratch(process, state, NOW), event)
    if named != on:
        return f"named {named}, not {on}"
    step = process.step(state, event, NOW)
    for field, expected in after.items():
        if (found := getattr(step.state, field)) != expected:
            return f"{field} is {found}, not {expected}"
    if commands is not None and step.commands != commands:
        return f"commands {step.commands}, not {commands}"
    return ""
