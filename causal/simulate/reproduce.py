"""Figures from theory and from the papers' models, beside the simulated ones."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from causal.simulate import jobs, loads
from causal.simulate.record import PROTOCOLS

EXACT = 1e-9
JOBS_RTT = (0.1, 1.0, 10.0, 100.0)
K_MAX = 8
RATES = (0.5, 1.0, 2.0)

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

#: Makespan of MF95 over that of Cykas, fan-out of 8: (8·RTT + J) / (RTT + J).
SPEED_UP = {1.0: 4.5, 10.0: 18 / 11, 100.0: 108 / 101}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure.  It agrees within `tolerance`: relative if `relative`, else absolute."""

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
) -> Row:
    """A row, judged."""
    value = float("nan") if found is None else found
    scale = abs(expected) if relative else 1.0
    return Row(
        what=what,
        protocol=protocol,
        expected=expected,
        found=value,
        tolerance=tolerance,
        relative=relative,
        agrees=abs(value - expected) <= tolerance * scale,
    )


def rows(*, seeds: int = 6, duration: float = 4_000.0) -> Iterator[Row]:
    """Every figure: closed forms of the job, control packets, waits under fan-in, starvation."""
    for protocol in PROTOCOLS:
        yield from job_rows(protocol)
    for job_rtt, expected in SPEED_UP.items():
        slow, fast = (jobs.run(p, "fan-out", 8, job_rtt).makespan_rtt for p in ("mf95", "cykas"))
        assert slow is not None
        assert fast is not None
        yield row(f"speed-up, fan-out 8, J={job_rtt:g}", "cykas", expected, slow / fast)
    for protocol, (one, eight) in CONTROL.items():
        for (messages, peers), expected in {(100, 1): one, (120, 8): eight}.items():
            found = loads.stream(protocol, messages=messages, destinations=peers)
            what = f"control packets a message, {messages} to {peers}"
            yield row(what, protocol, expected, found.control_per_message)
    for rate in RATES:
        runs = [
            loads.fan_in("cykas", rate=rate, duration=duration, seed=seed) for seed in range(seeds)
        ]
        mean = sum(run.wait_mean_rtt or 0.0 for run in runs) / len(runs)
        formula = loads.fan_in_formula(rate)
        yield row(f"mean wait, fan-in, λh={rate:g}", "cykas", formula, mean, 0.1, relative=True)
        # At most the residual secret, independent of later ones: 0 to one round trip, or half.
        for protocol, half in (("hybrid", 0.5), ("announcing", 0.25)):
            bound = loads.fan_in(protocol, rate=rate, duration=duration).wait_max_rtt
            yield row(f"longest wait, fan-in, λh={rate:g}", protocol, half, bound, half + EXACT)
    starved = loads.starvation("cykas", rounds=200).wait_max_rtt
    yield row("wait in 200 rounds of secrets, from 2 on", "cykas", 198.0, starved)
    served = loads.starvation("hybrid", rounds=200).wait_max_rtt
    yield row("wait in 200 rounds of secrets, from 2 on", "hybrid", 0.5, served, 0.5)


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
