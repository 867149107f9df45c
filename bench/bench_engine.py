"""How fast the engine is, next to the least that Python can do in the same run.

    python bench/bench_engine.py [--calls N] [--json]

CPU time a call, the best of five.  The ratio to a bare function call is what carries over between
machines; the targets are for the machine that the project was built on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Data, GetS, Inv, Load, Permission, PutM
from coherence.policy import Lazy
from coherence.states import CacheAt, CacheState, HomeAt, HomeState, Sharer
from message_passing.process import Invoke, Receive, Step

ROUNDS = 5
#: Microseconds a call.
TARGETS = {"hit": 0.3, "step": 3.0}


def bare(state: Any, event: Any, now: Any) -> Any:
    """What a call costs that does nothing."""
    return state


def built(state: Any, event: Any, now: Any) -> Any:
    """What a step costs that only makes its result."""
    return Step(state, (), "Nothing")


def cases() -> dict[str, tuple[str, Callable[[], Any]]]:
    """Name -> (the kind of target it has, the call)."""
    policy = Lazy()
    cache, home = Cache(policy), Home(policy)
    have = CacheState(CacheAt.S, 2, "two", 1, 3)
    asking = CacheState(CacheAt.IS_D, 2, "two", 2, 3, asked=GetS(3, 2, "two"))
    few = HomeState(HomeAt.S, 2, "two", (Sharer("ann", 4), Sharer("bob", 5)))
    names = [f"agent-{number:04}" for number in range(1000)]
    many = HomeState(HomeAt.S, 2, "two", tuple(Sharer(name, 1) for name in names))
    load = Invoke(Load())
    data = Receive("home", Data(3, 3, Permission.S, 0, 0, "three"))
    inv = Receive("home", Inv(2, False))
    read, write = Receive("cyd", GetS(1, 0)), Receive("ann", PutM(5, 2, 0, "three", "two"))
    again = Receive("agent-0500", GetS(2, 2, "two"))
    return {
        "a bare call": ("", partial(bare, have, load, 0.0)),
        "a call that makes a Step": ("", partial(built, have, load, 0.0)),
        "read hit, the short way": ("hit", partial(cache.hit, have)),
        "cache: Load, a hit by the table": ("step", partial(cache.step, have, load, 0.0)),
        "cache: Data arrives": ("step", partial(cache.step, asking, data, 0.0)),
        "cache: Inv arrives": ("step", partial(cache.step, have, inv, 0.0)),
        "home: GetS, 2 sharers": ("step", partial(home.step, few, read, 0.0)),
        "home: PutM, 2 sharers, two rows": ("", partial(home.step, few, write, 0.0)),
        "home: GetS, 1,000 sharers": ("", partial(home.step, many, again, 0.0)),
    }


def time_us(call: Callable[[], Any], calls: int) -> float:
    """Microseconds a call, the loop's own time taken off."""
    span = range(calls)
    started = process_time()
    for _ in span:
        pass
    loop = process_time() - started
    started = process_time()
    for _ in span:
        call()
    return (process_time() - started - loop) / calls * 1e6


def measure(calls: int) -> list[dict[str, Any]]:
    """One record a case."""
    named = cases()
    # Whole rounds, not case by case: a machine that slows down for a while then slows all alike.
    rounds = [
        {name: time_us(call, calls) for name, (_, call) in named.items()} for _ in range(ROUNDS)
    ]
    best = {name: min(times[name] for times in rounds) for name in named}
    floor = best["a bare call"]
    return [
        {
            "case": name,
            "time_us": round(best[name], 3),
            "ratio_to_bare_call": round(best[name] / floor, 1),
            "target_us": TARGETS.get(kind),
        }
        for name, (kind, _) in named.items()
    ]


def main(
    calls: Annotated[int, typer.Option(min=1000, help="Calls a case and round.")] = 50_000,
    json: Annotated[bool, typer.Option("--json", help="Print records, not a table.")] = False,
) -> None:
    """Measure one transition through the tables, and the short way to a read hit."""
    records = measure(calls)
    if json:
        print(msgspec.json.encode(records).decode())
        return
    table = Table("case", title=f"Engine, {calls:,} calls a case, CPU time, best of {ROUNDS}")
    for heading in ("us", "bare call = 1", "at most, us"):
        table.add_column(heading, justify="right")
    for record in records:
        target = record["target_us"]
        table.add_row(
            record["case"],
            f"{record['time_us']:.3f}",
            f"{record['ratio_to_bare_call']:.1f}",
            "" if target is None else f"{target:g}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
