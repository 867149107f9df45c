"""Figures that are known from elsewhere, beside the simulated ones.

Two sources, told apart in each row: what a *paper* says in figures, and *closed forms*, which are
ours unless the row names another: derived by hand from the rules of the protocols.  Our own tables
have no expectation beside themselves; :mod:`causal.simulate.tables` measures them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from causal.bss91 import Bss91
from causal.messages import Broadcast
from causal.simulate import jobs, loads
from causal.simulate.record import PROTOCOLS, metadata_bytes
from message_passing.process import Invoke, Send

Source: TypeAlias = Literal["paper", "closed form"]
SOURCES: Final[tuple[Source, ...]] = ("paper", "closed form")

EXACT = 1e-9
JOBS_RTT = (0.1, 1.0, 10.0, 100.0)
K_MAX = 8
RATES = (0.5, 1.0, 2.0)
#: Here the hybrid's bound is compared too; announcements to 81 processes would take minutes.
BUSY_RATES = (3.0, 4.0, 5.0)
BOUND_RTT = 1_000.0
TEAMS = (3, 8, 20)

#: Control packets a message, counted by hand: 100 messages to one process, 120 to eight in turn.
#: With f the share of eager messages: 1 + f with releases, 0 at receivers, and one to each process
#: except the two if deliveries are announced.
CONTROL = {
    "mf95": (1.0, 1.0),
    "cykas": (1.0, 1 + 119 / 120),
    "cykas-refined": (1.0, 1 + 119 / 120),
    "csps": (1 + 99 / 100, 1 + 119 / 120),
    "hybrid": (1.0, 1 + 119 / 120),
    "announcing": (1.0, 8 + 119 / 120),
    "rst91": (0.0, 0.0),
}

#: Protocols whose papers say how many control packets a message takes.
OF_PAPERS = ("mf95", "rst91")

#: Makespan of MF95 over that of Cykas, fan-out of 8: (8·RTT + J) / (RTT + J).
SPEED_UP = {1.0: 4.5, 10.0: 18 / 11, 100.0: 108 / 101}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure.  It agrees within `tolerance`: relative if `relative`, else absolute."""

    source: Source
    what: str
    protocol: str
    expected: float
    found: float
    tolerance: float = EXACT
    relative: bool = False
    agrees: bool = False


def row(
    what: str,
    protocol: str,
    expected: float,
    found: float | None,
    tolerance: float = EXACT,
    *,
    relative: bool = False,
    source: Source = "closed form",
) -> Row:
    """A row, judged."""
    value = float("nan") if found is None else found
    scale = abs(expected) if relative else 1.0
    return Row(
        source=source,
        what=what,
        protocol=protocol,
        expected=expected,
        found=value,
        tolerance=tolerance,
        relative=relative,
        agrees=abs(value - expected) <= tolerance * scale,
    )


def rows(*, seeds: int = 6, duration: float = 4_000.0) -> Iterator[Row]:
    """Every figure: the papers', then the closed forms."""
    yield from paper_rows()
    for protocol in PROTOCOLS:
        yield from job_rows(protocol)
    for job_rtt, expected in SPEED_UP.items():
        slow, fast = (jobs.run(p, "fan-out", 8, job_rtt).makespan_rtt for p in ("mf95", "cykas"))
        assert slow is not None
        assert fast is not None
        yield row(f"speed-up, fan-out 8, J={job_rtt:g}", "cykas", expected, slow / fast)
    for protocol in (name for name in CONTROL if name not in OF_PAPERS):
        yield from control_rows(protocol, "closed form")
    for rate in (*RATES, *BUSY_RATES):
        runs = [
            loads.fan_in("cykas", rate=rate, duration=duration, seed=seed) for seed in range(seeds)
        ]
        mean = sum(run.wait_mean_rtt or 0.0 for run in runs) / len(runs)
        formula = loads.fan_in_formula(rate)
        yield row(f"mean wait, fan-in, λh={rate:g}", "cykas", formula, mean, 0.1, relative=True)
        # At most the residual secret, independent of later ones: 0 to one round trip, or half.
        halves = {"hybrid": 0.5, "announcing": 0.25}
        if rate in BUSY_RATES:
            del halves["announcing"]
        for protocol, half in halves.items():
            longest = loads.fan_in(protocol, rate=rate, duration=BOUND_RTT).wait_max_rtt
            what = f"longest wait, at most {2 * half:g}, fan-in, λh={rate:g}"
            yield row(what, protocol, half, longest, half + EXACT)
    starved = loads.starvation("cykas", rounds=200).wait_max_rtt
    yield row("wait in 200 rounds of secrets, from 2 on", "cykas", 198.0, starved)
    served = loads.starvation("hybrid", rounds=200).wait_max_rtt
    yield row("wait, at most 1, in 200 rounds of secrets, from 2 on", "hybrid", 0.5, served, 0.5)


def paper_rows() -> Iterator[Row]:
    """What the papers say in figures, as far as we have them.

    MF95: one acknowledgement a message, and the sender waits for it.  RST91: a matrix of counts on
    a message and no further packets.  BSS91: a vector of counts.  arXiv 2603.14690 and 2601.11487:
    metadata that does not grow with the team.
    """
    for protocol in OF_PAPERS:
        yield from control_rows(protocol, "paper")
    for n in TEAMS:
        matrix = loads.traffic("rst91", n=n, duration=3).metadata_bytes_mean
        yield row(
            f"counts on a message, n={n}", "rst91", n * n, matrix and matrix / 8, source="paper"
        )
        yield row(f"counts on a message, n={n}", "bss91", n, broadcast_bytes(n) / 8, source="paper")
    for protocol in ("cykas", "csps"):
        small, large = (
            loads.traffic(protocol, n=n, duration=3).metadata_bytes_mean
            for n in (TEAMS[0], TEAMS[-1])
        )
        assert small is not None
        assert large is not None
        what = f"metadata with n={TEAMS[-1]} over that with n={TEAMS[0]}"
        yield row(what, protocol, 1.0, large / small, source="paper")


def broadcast_bytes(n: int) -> float:
    """Bytes of metadata on a copy of a broadcast in BSS91, which has no other messages."""
    machine = Bss91("p0", [f"p{i}" for i in range(n)])
    step = machine.step(machine.initial(), Invoke(Broadcast(None)), 0.0)
    copies = [command.message for command in step.commands if type(command) is Send]
    return sum(metadata_bytes(machine, copy) for copy in copies) / len(copies)


def control_rows(protocol: str, source: Source) -> Iterator[Row]:
    """Control packets a message, of a stream to one process and of one to eight."""
    for (messages, peers), expected in zip(((100, 1), (120, 8)), CONTROL[protocol], strict=True):
        found = loads.stream(protocol, messages=messages, destinations=peers)
        what = f"control packets a message, {messages} to {peers}"
        yield row(what, protocol, expected, found.control_per_message, source=source)


def job_rows(protocol: str) -> Iterator[Row]:
    """Start and end of every shape of the job, against its closed form."""
    for shape in jobs.SHAPES:
        for k in range(0 if shape == "notices" else 1, K_MAX + 1):
            for job_rtt in JOBS_RTT:
                start, end = jobs.closed_form(protocol, shape, k, job_rtt)
                found = jobs.run(protocol, shape, k, job_rtt)
                what = f"{shape}, k={k}, J={job_rtt:g}"
                yield row(f"start: {what}", protocol, start, found.start_rtt)
                yield row(f"end: {what}", protocol, end, found.makespan_rtt)
