"""Causal delivery: no process acts on a message before what caused it.

Layout, each line importing only from lines above it and from :mod:`message_passing`:

* `messages`, `machine`: requests, packets, refusals; the one interface of all protocols
* `sender_side`, then `mf95`, `cykas`, `csps`, `hybrid_plain`, `named`: secrets, stated plainly
* `window`, `front`, `hybrid_state`, then `hybrid`: the default, in constant work an event
* `announcing`: the hybrid for small teams, whose secrets end a one-way delay sooner
* `rst91`, `bss91`: the classical receiver-side baselines
* `member`: what a driver of `bss91` needs beside it; `handling` is one, for tasks of an event loop
* `specimens`: variants that are wrong in one way each, for checks to catch
* `invariants`, `history`: what must hold, as a pure ghost and as a graph; neither takes part

All of these but `history` and `handling` are pure.  `simulate` drives them: ``python -m
causal.simulate``.
"""

from causal.announcing import Announcing
from causal.bss91 import Bss91
from causal.csps import Csps
from causal.cykas import Cykas, CykasRefined
from causal.hybrid import Hybrid
from causal.hybrid_plain import HybridPlain
from causal.machine import Machine
from causal.messages import (
    Broadcast,
    Context,
    DepartedPeer,
    ForgedPacket,
    Held,
    Message,
    PeerDown,
    Secret,
    Unicast,
    UnknownPeer,
    Unsupported,
)
from causal.mf95 import Mf95
from causal.named import Named
from causal.rst91 import Rst91

__all__ = [
    "Announcing",
    "Broadcast",
    "Bss91",
    "Context",
    "Csps",
    "Cykas",
    "CykasRefined",
    "DepartedPeer",
    "ForgedPacket",
    "Held",
    "Hybrid",
    "HybridPlain",
    "Machine",
    "Message",
    "Mf95",
    "Named",
    "PeerDown",
    "Rst91",
    "Secret",
    "Unicast",
    "UnknownPeer",
    "Unsupported",
]
