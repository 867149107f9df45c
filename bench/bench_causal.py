"""What a step of the hybrid costs, and that it does not grow with the team or the queue.

    python bench/bench_causal.py [--messages N] [--json]

Times are CPU microseconds, the best of three.  Steps are pure, so a step is timed by repeating it
from one state.  The ratios are what carries over between machines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from time import process_time
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from causal import Announcing, Hybrid, HybridPlain, Machine, Rst91, Unicast
from causal.messages import Ack, Data, Release
from message_passing.network import Guarantee
from message_passing.process import Event, Invoke, Receive, Send

Build = Callable[..., Machine[Any]]


def best(run: Callable[[], int], times: int = 3) -> float:
    """Microseconds for each of what `run` counts."""
    results = []
    for _ in range(times):
        start = process_time()
        count = run()
        results.append((process_time() - start) / count * 1e6)
    return min(results)


def names(n: int) -> tuple[str, ...]:
    return tuple(f"p{i}" for i in range(n))


def step_us(machine: Machine[Any], state: Any, event: Event[Any, Any]) -> float:
    """One step from `state`, repeated."""
    step = machine.step

    def run() -> int:
        for _ in range(20_000):
            step(state, event, 0.0)
        return 20_000

    return best(run)


def after(machine: Machine[Any], state: Any, *events: Event[Any, Any]) -> Any:
    """The state after these events."""
    for event in events:
        state = machine.step(state, event, 0.0).state
    return state


def single_steps(n: int) -> dict[str, float]:
    """The four steps of a message's life, each doing its work in full."""
    p, q, r = names(n)[0], names(n)[n // 2], names(n)[-1]
    machine = Hybrid(p, names(n))
    empty = machine.initial()
    sent = after(machine, empty, Invoke(Unicast(q, b"")), Invoke(Unicast(r, b"")))
    kept = after(machine, empty, Receive(q, Data(1, 0, True, b"")))
    held = after(machine, kept, Invoke(Unicast(r, b"")))
    return {
        "send": step_us(machine, sent, Invoke(Unicast(q, b""))),
        "send, held": step_us(machine, held, Invoke(Unicast(r, b""))),
        "data, a secret": step_us(machine, kept, Receive(r, Data(1, 0, True, b""))),
        "ack that releases": step_us(machine, sent, Receive(q, Ack(1))),
        "release that frees": step_us(machine, held, Receive(q, Release(1))),
    }


def traffic_us(build: Build, n: int, messages: int) -> float:
    """CPU time for each message of random traffic over FIFO links, all of its packets included.

    A hundred messages are in flight at any time, so that only the team grows.
    """
    team = names(n)
    machines = {a: build(a, team, links=Guarantee.ORDERED) for a in team}
    rng = Random(1)
    pairs = [tuple(rng.sample(team, 2)) for _ in range(messages)]

    def run() -> int:
        states = {a: m.initial() for a, m in machines.items()}
        flying: deque[tuple[str, Any, Any]] = deque()

        def do(address: str, event: Event[Any, Any]) -> None:
            step = machines[address].step(states[address], event, 0.0)
            states[address] = step.state
            flying.extend((c.dst, address, c.message) for c in step.commands if type(c) is Send)

        for src, dst in pairs:
            do(src, Invoke(Unicast(dst, b"")))
            while len(flying) > 100:
                to, by, packet = flying.popleft()
                do(to, Receive(by, packet))
        while flying:
            to, by, packet = flying.popleft()
            do(to, Receive(by, packet))
        assert all(machines[a].idle(states[a]) for a in team)
        return messages

    return best(run)


def queue_us(build: Build, queued: int, rounds: int) -> float:
    """CPU time for each message that is held, freed by one release, and acknowledged.

    `queued` messages to eight destinations wait for one secret before it is released.
    """
    team = names(10)
    machine = build(team[0], team, links=Guarantee.ORDERED)
    events: list[Event[Any, Any]] = [Receive(team[9], Data(1, 0, True, b""))]
    events += [Invoke(Unicast(team[1 + i % 8], b"")) for i in range(queued)]
    events.append(Receive(team[9], Release(1)))
    events += [Receive(team[1 + i % 8], Ack(i + 1)) for i in range(queued)]

    def run() -> int:
        for _ in range(rounds):
            assert machine.idle(after(machine, machine.initial(), *events))
        return queued * rounds

    return best(run)


def metadata_bytes(n: int) -> dict[str, int]:
    """Bytes of ordering information on a message, ids and counts taken as 64-bit numbers."""
    return {
        "hybrid, FIFO links": 8 + 1,
        "hybrid, other links": 8 + 8 + 1,
        "rst91": 8 * n * n,
        "bss91": 8 * n,
    }


def main(
    messages: Annotated[int, typer.Option(help="Messages of random traffic.", min=100)] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Records on standard output.")] = False,
) -> None:
    """Cost of the hybrid by step, team and queue."""
    steps = {f"{name}, n={n}": us for n in (10, 1_000) for name, us in single_steps(n).items()}
    teams = {n: traffic_us(Hybrid, n, messages) for n in (10, 100, 1_000)}
    queues = {q: queue_us(Hybrid, q, max(1, 10_000 // q)) for q in (10, 100, 1_000, 10_000)}
    beside = {
        "hybrid-plain, 300 queued": queue_us(HybridPlain, 300, 1),
        "announcing, n=10": traffic_us(Announcing, 10, min(messages, 5_000)),
        "announcing, n=100": traffic_us(Announcing, 100, min(messages, 1_000)),
        "rst91, n=10": traffic_us(Rst91, 10, min(messages, 5_000)),
    }
    records = [
        *({"what": f"step: {k}", "us": v} for k, v in steps.items()),
        *({"what": f"message, n={k}", "us": v, "ratio": v / teams[10]} for k, v in teams.items()),
        *(
            {"what": f"message, {k} queued", "us": v, "ratio": v / queues[10]}
            for k, v in queues.items()
        ),
        *({"what": f"message, {k}", "us": v} for k, v in beside.items()),
        *({"what": f"metadata at n=100: {k}", "bytes": v} for k, v in metadata_bytes(100).items()),
    ]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(records)).decode())
        return
    table = Table(title="The hybrid: cost of a step, and how it grows")
    table.add_column("what")
    table.add_column("µs", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("bytes", justify="right")
    for record in records:
        us, ratio, size = record.get("us"), record.get("ratio"), record.get("bytes")
        table.add_row(
            str(record["what"]),
            "" if us is None else f"{us:.2f}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if size is None else f"{size:,}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
