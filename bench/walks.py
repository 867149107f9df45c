"""How many files a call passes, and how often it comes back to one that it has left.

    python bench/walks.py [--between] [--json]

A *room* is a file of ours, a *move* is a step from one room into another (by a call or by a
return), and a *return* is a move into a room that the walk has left before.  Moves between a
protocol's table and its operations, which is the table at work, are counted apart.
`--between` lists the pairs of rooms by how many moves there are between them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

import causal
from coherence import Workspace

ROOT = Path(__file__).parents[1]
PACKAGES = ("message_passing", "coherence", "causal")
#: The table and its operations.
TABLE = {"coherence/table.py", "coherence/cache.py", "coherence/directory.py"}


class Walk:
    """The rooms that one call passes, in order."""

    def __init__(self) -> None:
        self.rooms: list[str] = []
        self.calls = 0

    def __call__(self, call: Callable[[], object]) -> Walk:
        sys.setprofile(self._profile)
        try:
            call()
        finally:
            sys.setprofile(None)
        return self

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in ("call", "return"):
            return
        entered: FrameType | None = frame
        if event == "return":
            entered = frame.f_back
        room = _room(entered)
        if room is None:
            return
        self.calls += event == "call"
        if not self.rooms or self.rooms[-1] != room:
            self.rooms.append(room)

    def figures(self) -> dict[str, int]:
        """What is counted of it."""
        moves = list(zip(self.rooms, self.rooms[1:], strict=False))
        seen = {self.rooms[0]} if self.rooms else set[str]()
        returns = at_table = 0
        for left, entered in moves:
            if entered in seen:
                within = left in TABLE and entered in TABLE
                at_table += within
                returns += not within
            seen.add(entered)
        return {
            "calls": self.calls,
            "rooms": len(seen),
            "moves": len(moves),
            "returns": returns,
            "at the table": at_table,
        }

    def between(self) -> Counter[tuple[str, str]]:
        """Moves by the two rooms, whichever way."""
        moves = zip(self.rooms, self.rooms[1:], strict=False)
        return Counter((min(move), max(move)) for move in moves)


def _room(frame: FrameType | None) -> str | None:
    if frame is None:
        return None
    try:
        room = Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()
    except ValueError:
        return None
    return room if room.startswith(PACKAGES) else None


def workspace_walks(url: str, kind: str) -> dict[str, Walk]:
    """Calls on one store, each after what makes it the case that it is named after."""
    with Workspace(url) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan", "one")
        bob.read("plan")
        found = {"read, hit": Walk()(lambda: bob.read("plan"))}
        ann.write("plan", "two")
        found["read, miss"] = Walk()(lambda: bob.read("plan"))
        found["write, one reader to tell"] = Walk()(lambda: ann.write("plan", "three"))

        def edit() -> None:
            with ann.edit("plan") as draft:
                draft.text += "."

        edit()  # the thread that renews leases is there from now on
        found["edit"] = Walk()(edit)
        found["rename"] = Walk()(lambda: ann.rename("plan", "design"))
    return {f"{name}, {kind}": walk for name, walk in found.items()}


def causal_walk() -> Walk:
    """A send and what it takes until the message is received, on one event loop."""
    walk = Walk()

    async def run() -> None:
        hub, team = causal.MemoryHub(), ("ann", "bob")
        async with (
            causal.AsyncEndpoint("ann", team, hub.transport()) as ann,
            causal.AsyncEndpoint("bob", team, hub.transport()) as bob,
        ):
            await ann.send("bob", b"first")
            await bob.receive()
            await ann.flush()
            sys.setprofile(walk._profile)
            try:
                await ann.send("bob", b"second")
                await bob.receive()
            finally:
                sys.setprofile(None)

    asyncio.run(run())
    return walk


def walks() -> dict[str, Walk]:
    """Every walk, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            **workspace_walks("memory://", "memory"),
            **workspace_walks(f"sqlite:///{folder}/team.db", "SQLite"),
            "causal send and receive": causal_walk(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--between", action="store_true", help="list the busiest pairs of rooms")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args()
    found = walks()
    figures: dict[str, Any] = {name: walk.figures() for name, walk in found.items()}
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(figures)).decode())
        return
    columns = list(next(iter(figures.values())))
    table = Table("walk", *columns)
    for name, row in figures.items():
        table.add_row(name, *(str(row[column]) for column in columns))
    console = Console(width=100)
    console.print(table)
    if options.between:
        for name, walk in found.items():
            console.print(name, style="bold")
            for (one, two), times in walk.between().most_common(8):
                console.print(f"  {times:4} {one} - {two}", highlight=False)


if __name__ == "__main__":
    main()
