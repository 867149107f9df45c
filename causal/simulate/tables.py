"""The tables of docs/causal.md, measured again and as Markdown.

No paper and no closed form says what is in them: they are our own measurements.  Every run has a
seed, so a table comes out equal each time, and a test compares it with the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Any, Final

from causal.simulate import loads
from causal.simulate.record import PROTOCOLS
from message_passing.errors import CallerError

#: Sends a process and round trip.
RATES: Final = (1.0, 3.0, 5.0, 10.0, 20.0)
PROCESSES: Final = 8
MESSAGES: Final = 4_000
#: Delays and links, as `loads.traffic` takes them.
NETWORKS: Final[dict[str, dict[str, Any]]] = {
    "constant delays": {"latency": "constant"},
    "exponential delays, links without order": {"latency": "exponential", "ordered": False},
    "exponential delays, links in order": {"latency": "exponential"},
}
NOTICES, TURN_RTT, TURN_RUNS = 4, 600.0, 20
FAN_IN_RATES: Final = (0.5, 1.0, 2.0, 3.0)


class UnknownTable(CallerError):
    """The page has no table of that name."""


def traffic(rates: Sequence[float] = RATES) -> list[list[str]]:
    """Mean latencies under random traffic, as multiples of RST91's."""
    rows = [["sends a process and round trip", *(f"{rate:g}" for rate in rates)]]
    for network, options in NETWORKS.items():
        best = [_latency_rtt("rst91", rate, options) for rate in rates]
        # On links that keep order, the announcements of `informed` would delay its messages.
        is_meant = network != "exponential delays, links in order"
        for protocol in ("hybrid", "announcing", *["informed"] * is_meant):
            found = [_latency_rtt(protocol, rate, options) for rate in rates]
            name = protocol if protocol != "hybrid" else f"{network}: {protocol}"
            rows.append([name, *(f"{a / b:.1f}" for a, b in zip(found, best, strict=True))])
    return rows


def turns() -> list[list[str]]:
    """When the job after four notices starts and is reported: a sidecar, and agents in turns."""
    rows = [["", "sidecar: job starts", "reported", "between turns: job starts", "reported"]]
    for protocol in ("mf95", "cykas", "hybrid", "rst91"):
        row = [protocol]
        for policy in ("sidecar", "turns"):
            runs = [
                loads.acks(protocol, policy, k=NOTICES, turn_rtt=TURN_RTT, seed=seed)
                for seed in range(TURN_RUNS)
            ]
            row += [
                f"{mean(run.start_rtt or 0.0 for run in runs):,.1f}",
                f"{mean(run.report_rtt or 0.0 for run in runs):,.1f}",
            ]
        rows.append(row)
    return rows


def fan_in() -> list[list[str]]:
    """How long the messages of a popular agent wait for the secrets that it keeps."""
    rows = [["secrets a round trip", *(f"{rate:g}" for rate in FAN_IN_RATES)]]
    formula = [loads.fan_in_formula(rate) for rate in FAN_IN_RATES]
    rows.append(["(e^λ − 1 − λ) / λ", *(f"{wait:.2f}" for wait in formula)])
    for protocol in ("cykas", "hybrid"):
        runs = [loads.fan_in(protocol, rate=rate, duration=1_000.0) for rate in FAN_IN_RATES]
        means = [f"{run.wait_mean_rtt or 0.0:.2f}" for run in runs]
        longest = [f"{run.wait_max_rtt or 0.0:.2f}" for run in runs]
        rows += [[f"{protocol}, mean", *means], [f"{protocol}, longest", *longest]]
    return rows


def packets() -> list[list[str]]:
    """Control packets and bytes of ordering metadata a message, under random traffic."""
    rows = [["", "control packets", "bytes, links in order", "bytes, links without order"]]
    for protocol in PROTOCOLS:
        in_order, without = (
            loads.traffic(protocol, n=PROCESSES, ordered=ordered, duration=30.0)
            for ordered in (True, False)
        )
        control = in_order.control_per_message or 0.0
        sizes = [f"{run.metadata_bytes_mean or 0.0:.0f}" for run in (in_order, without)]
        rows.append([protocol, f"{control:.1f}", *sizes])
    return rows


TABLES: Final[dict[str, Callable[[], list[list[str]]]]] = {
    "traffic": traffic,
    "turns": turns,
    "fan-in": fan_in,
    "packets": packets,
}


def chosen(names: Iterable[str]) -> list[str]:
    """These tables, all of them if none is named.  Raises `UnknownTable`."""
    picked = list(dict.fromkeys(names)) or list(TABLES)
    for name in picked:
        if name not in TABLES:
            raise UnknownTable(f"no table {name!r}", remedy=f"one of {', '.join(TABLES)}")
    return picked


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows, the first of them as headings."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "".join(f"{line}\n" for line in lines).replace("|  |", "| |")


def _latency_rtt(protocol: str, rate: float, options: dict[str, Any]) -> float:
    duration = MESSAGES / (PROCESSES * rate)
    run = loads.traffic(protocol, n=PROCESSES, rate=rate, duration=duration, **options)
    return run.latency_mean_rtt or 0.0
