"""The measurements of one run as a record, and the protocols by name."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from causal.announcing import Announcing
from causal.csps import Csps
from causal.cykas import Cykas, CykasRefined
from causal.hybrid import Hybrid
from causal.kinds import HINT, kind_of
from causal.machine import Builder, Machine
from causal.messages import Data, MatrixData, NamedData, VectorData
from causal.mf95 import Mf95
from causal.named import Named
from causal.rst91 import Rst91
from causal.simulate.informed import Informed, KnownData
from message_passing.errors import CallerError

PROTOCOLS: Final[dict[str, Builder]] = {
    machine.name: machine
    for machine in (Mf95, Cykas, CykasRefined, Csps, Hybrid, Announcing, Named, Rst91)
}

#: Yardsticks for protocols; part of a comparison only on request.
YARDSTICKS: Final[dict[str, Builder]] = {Informed.name: Informed}


class UnknownProtocol(CallerError):
    """No delivery protocol has that name."""

    remedy = f"one of {', '.join((*PROTOCOLS, *YARDSTICKS))}, {HINT}"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol in one experiment.  Times are in round trips; None has no meaning there.

    `wait` is the time that a message spends in a buffer, the sender's or the receiver's, beyond its
    time on the wire.  Metadata takes ids and counts as 64-bit numbers, a flag as one byte.
    """

    experiment: str
    protocol: str
    parameters: dict[str, float | int | str]
    start_rtt: float | None = None
    report_rtt: float | None = None
    makespan_rtt: float | None = None
    latency_mean_rtt: float | None = None
    latency_p99_rtt: float | None = None
    wait_mean_rtt: float | None = None
    wait_max_rtt: float | None = None
    control_per_message: float | None = None
    metadata_bytes_mean: float | None = None
    violations: int = 0


def builder(protocol: str) -> Builder:
    """The protocol of that name, or the application's machine.  Raises `UnknownProtocol`."""
    build = PROTOCOLS.get(protocol) or YARDSTICKS.get(protocol) or kind_of(protocol)
    if build is None:
        raise UnknownProtocol(f"no protocol {protocol!r}")
    return build


def metadata_bytes(machine: Machine[Any], packet: Any) -> int:
    """Bytes of ordering metadata on one message."""
    chain = 8 if machine.chained else 0
    kind = type(packet)
    if kind is Data:
        # Stop and wait needs the id only to tell repetitions apart; it has no flag.
        return 8 if machine.name == "mf95" else 8 + chain + 1
    if kind is NamedData:
        return 8 + chain + 8 * len(packet.avoid)
    if kind is MatrixData:
        return 8 * len(packet.sent) ** 2
    if kind is KnownData:
        return 2 * 8 * len(packet.sent) ** 2
    if kind is VectorData:
        return 8 * len(packet.clock)
    return 0
