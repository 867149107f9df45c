"""How fast the simulator is, next to a bare heapq loop in the same run.

    python bench/bench_simulator.py [--events N] [--json]

Figures are events a second, the best of three.  The ratio is what carries over between machines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path
from time import process_time
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from message_passing.netmodel import Exponential, NetworkModel
from message_passing.network import Guarantee
from message_passing.process import Event, Send, SetTimer, Step, Time, Value
from message_passing.simulator import Simulator
from message_passing.trace import TraceWriter


class Ball(Value, frozen=True, gc=False, tag=True):
    """What is passed on."""


class Player:
    """Passes each ball on: the least that a process can do."""

    def __init__(self, to: str) -> None:
        self._thrown = Step(None, (Send(to, Ball()),), "Throw")

    def initial(self) -> None:
        """No state."""

    def step(self, state: None, event: Event[Any, Ball], now: Time) -> Step[None]:
        """Throw."""
        return self._thrown

    def durable(self, state: None) -> None:
        """Nothing."""


class Ticker:
    """Arms its timer again and again."""

    def initial(self) -> None:
        """No state."""

    def step(self, state: None, event: Event[Any, Any], now: Time) -> Step[None]:
        """Tick."""
        return Step(None, (SetTimer("tick", now + 1.0),), "Tick")

    def durable(self, state: None) -> None:
        """Nothing."""


def bare_loop(events: int) -> float:
    """The floor: a heap of 1,000 entries, one tuple pushed for each one popped."""
    queue: list[tuple[float, int, str]] = []
    for number in range(1000):
        heappush(queue, (float(number), number, "a"))
    started = process_time()
    for number in range(1000, 1000 + events):
        time, _, address = heappop(queue)
        heappush(queue, (time + 1000.0, number, address))
    return events / (process_time() - started)


def simulated(events: int, sim: Simulator) -> float:
    """Steps a second."""
    started = process_time()
    done = sim.run(max_events=events)
    assert done == events
    return events / (process_time() - started)


def players(network: NetworkModel | None = None, **options: Any) -> Simulator:
    """A hundred players, each with a ball."""
    names = [f"p{number}" for number in range(100)]
    ring = {name: Player(names[(i + 1) % len(names)]) for i, name in enumerate(names)}
    sim = Simulator(ring, network=network, seed=1, **options)
    for name in names:
        sim.invoke(name, "start")
    return sim


def tickers() -> Simulator:
    """A thousand timers."""
    sim = Simulator({f"t{number}": Ticker() for number in range(1000)})
    for address in sim.states:
        sim.invoke(address, "start")
    return sim


def measure(events: int) -> list[dict[str, Any]]:
    """One record a case."""
    lossy = NetworkModel(
        guarantee=Guarantee.UNORDERED_LOSSY_DUPLICATING,
        latency=Exponential(1.0),
        loss_probability=0.01,
        duplicate_probability=0.01,
    )
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "trace.ndjson"

    def traced() -> float:
        with path.open("wb") as file:
            return simulated(events // 10, players(trace=TraceWriter(file)))

    cases: dict[str, Callable[[], float]] = {
        "bare heapq loop": lambda: bare_loop(events),
        "messages, no latency": lambda: simulated(events, players()),
        "messages, constant latency": lambda: simulated(events, players(NetworkModel(latency=1.0))),
        "messages, exponential latency, FIFO": lambda: simulated(
            events, players(NetworkModel(latency=Exponential(1.0)))
        ),
        "messages, lossy and duplicating": lambda: simulated(events, players(lossy)),
        "timers": lambda: simulated(events, tickers()),
        "an oracle that looks at nothing": lambda: simulated(
            events, players(observers=[lambda view, address, event, step: None])
        ),
        "a trace to a file": traced,
    }
    # Whole rounds, not case by case: a machine that slows down for a while then slows all alike.
    rounds = [{name: case() for name, case in cases.items()} for _ in range(3)]
    best = {name: max(rates[name] for rates in rounds) for name in cases}
    floor = best["bare heapq loop"]
    folder.cleanup()
    return [
        {"case": name, "events_per_s": round(rate), "ratio_to_bare_loop": round(rate / floor, 3)}
        for name, rate in best.items()
    ]


def main(
    events: Annotated[int, typer.Option(min=1000, help="Events a case.")] = 300_000,
    json: Annotated[bool, typer.Option("--json", help="Print records, not a table.")] = False,
) -> None:
    """Measure the simulator."""
    records = measure(events)
    if json:
        print(msgspec.json.encode(records).decode())
        return
    table = Table("case", title=f"Simulator, {events:,} events a case, CPU time, best of 3")
    table.add_column("events/s", justify="right")
    table.add_column("bare loop = 1", justify="right")
    for record in records:
        rate, ratio = record["events_per_s"], record["ratio_to_bare_loop"]
        table.add_row(record["case"], f"{rate:,}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
