"""Causal delivery: no process acts on a message before what caused it.

Layout, each line importing only from lines above it and from :mod:`message_passing`:

* `messages`, `machine`: requests, packets, refusals; the one interface of all protocols
* `kinds`: every machine that is loaded, those of an application included
* `views`: who is in the team, and how a change reaches every member
* `sender_side`, then `mf95`, `cykas`, `csps`, `hybrid_plain`, `named`: secrets, stated plainly
* `window`, `open_entries`, `hybrid_state`, then `hybrid`: the default, in constant work an event
* `announcing`: the hybrid for small teams, whose secrets end a one-way delay sooner
* `rst91`, `bss91`: the classical receiver-side baselines
* `member`: state that a driver of `bss91` needs; `handling`: such a driver for asyncio tasks
* `specimens`: variants that are wrong in one way each, for checks to catch
* `invariants`, `history`: what must hold, as a pure ghost and as a graph; both only observe

All of these but `history` and `handling` are pure.  `simulate` drives them: ``python -m
causal.simulate``.

To send and receive: `AsyncEndpoint` for tasks, `Endpoint` for programs without an event loop, over
`StreamTransport` between machines or `MemoryHub` within a process.  They are made of:

* `frames`, `requirements`: what goes over the wire, and what an endpoint needs of its machine
* `records`, `journal`, `recovery`: what an endpoint has promised, on disk and back
* `writer`: the journal first, then the wire; `alarm`: timers; `transports`
* `membership`: what a change of the team means for an endpoint
* `recorder`: writes down the steps, for people
* `endpoint`, `blocking`: the two endpoints
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from causal.announcing import Announcing
from causal.bss91 import Bss91
from causal.csps import Csps
from causal.cykas import Cykas, CykasRefined
from causal.hybrid import Hybrid
from causal.hybrid_plain import HybridPlain
from causal.machine import Machine
from causal.messages import (
    Admit,
    Broadcast,
    Context,
    DepartedPeer,
    ForgedPacket,
    Held,
    Leave,
    Message,
    NotAMember,
    PeerDown,
    Secret,
    Unicast,
    UnknownPeer,
    Unsupported,
)
from causal.mf95 import Mf95
from causal.named import Named
from causal.rst91 import Rst91
from message_passing.public import publish as _publish
from message_passing.public import published as _published

if _TYPE_CHECKING:
    from causal.blocking import Endpoint
    from causal.endpoint import AsyncEndpoint
    from causal.frames import Closed, Delivery, Excluded, Full, UnsuitableMachine
    from causal.journal import Journal, JournalFault, OutcomeUnknown
    from causal.membership import Undelivered
    from causal.recorder import Recorder
    from causal.records import DamagedJournal
    from causal.transports.memory import MemoryHub, MemoryTransport
    from causal.transports.stream import StreamTransport

__all__ = [
    "Admit",
    "Announcing",
    "AsyncEndpoint",
    "Broadcast",
    "Bss91",
    "Closed",
    "Context",
    "Csps",
    "Cykas",
    "CykasRefined",
    "DamagedJournal",
    "Delivery",
    "DepartedPeer",
    "Endpoint",
    "Excluded",
    "ForgedPacket",
    "Full",
    "Held",
    "Hybrid",
    "HybridPlain",
    "Journal",
    "JournalFault",
    "Leave",
    "Machine",
    "MemoryHub",
    "MemoryTransport",
    "Message",
    "Mf95",
    "Named",
    "NotAMember",
    "OutcomeUnknown",
    "PeerDown",
    "Recorder",
    "Rst91",
    "Secret",
    "StreamTransport",
    "Undelivered",
    "Unicast",
    "UnknownPeer",
    "UnsuitableMachine",
    "Unsupported",
]

# Programs that use no event loop and no sockets do not load them.
_LATE = {
    "AsyncEndpoint": "causal.endpoint",
    "Closed": "causal.frames",
    "DamagedJournal": "causal.records",
    "Delivery": "causal.frames",
    "Endpoint": "causal.blocking",
    "Excluded": "causal.frames",
    "Full": "causal.frames",
    "Journal": "causal.journal",
    "JournalFault": "causal.journal",
    "MemoryHub": "causal.transports.memory",
    "MemoryTransport": "causal.transports.memory",
    "OutcomeUnknown": "causal.journal",
    "Recorder": "causal.recorder",
    "StreamTransport": "causal.transports.stream",
    "Undelivered": "causal.membership",
    "UnsuitableMachine": "causal.frames",
}


_publish(__name__, __all__, globals())


def __getattr__(name: str) -> object:
    if name in _LATE:
        return _published(__name__, getattr(_import_module(_LATE[name]), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
