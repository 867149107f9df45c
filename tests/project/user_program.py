"""What a user writes, for type checkers to read against the wheel, and for Python to run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from causal import AsyncEndpoint, Delivery
from causal.transports.memory import MemoryHub
from coherence import (
    AsyncWorkspace,
    Conflict,
    Eager,
    Entry,
    Lazy,
    Policy,
    Ref,
    View,
    Visibility,
    Workspace,
)
from coherence.stores.memory import MemoryStore
from specs.checker import Action, Model, Result, always, check


class Careful(Lazy, frozen=True, kw_only=True):
    """A policy of the user's own."""

    reviewers: int = 2


def by_hand(url: str) -> list[Entry]:
    policies: dict[str, Policy] = {"notes/*": Eager(), "plans/*": Careful(reviewers=3)}
    with Workspace(url, policy=Lazy(visibility=Visibility.LAZY), policies=policies) as workspace:
        planner, coder = workspace.agent("planner"), workspace.agent("coder")
        first: Ref = planner.write("plan.md", "# Plan\n")
        view: View = coder.read("plan.md")
        text: str = view.text
        assert coder.read("plan.md", have=view.ref).ref == first
        with coder.edit("plan.md") as draft:
            draft.text += "- step 1\n"
        planner.update("plan.md", lambda old: old + text)
        try:
            coder.write("plan.md", "late")
        except Conflict as conflict:
            merged: str | bytes | None = conflict.merge()
            workspace.agent("judge").write("note.md", merged or conflict.summary)
        names: Sequence[str] = planner.list("plan")
        return [entry for name in names for entry in workspace.history(name)]


async def with_tasks() -> int:
    async with AsyncWorkspace(MemoryStore()) as workspace:
        agent = await workspace.agent("planner")
        await agent.write("plan.md", "# Plan\n")
        async with agent.edit("plan.md") as draft:
            draft.text += "- step 1\n"
        return len((await agent.read("plan.md")).text)


async def with_messages() -> bytes:
    hub, team = MemoryHub(), ("planner", "coder")
    async with (
        AsyncEndpoint("planner", team, hub.transport()) as planner,
        AsyncEndpoint("coder", team, hub.transport()) as coder,
    ):
        await planner.send("coder", b"use plan B")
        delivery: Delivery = await coder.receive()
        return delivery.payload


class Counter(NamedTuple):
    at: int


def counting() -> Result:
    def steps(counter: Counter) -> Iterator[tuple[Action, Counter]]:
        yield Action("Count", "user"), Counter((counter.at + 1) % 4)

    def small(counter: Counter) -> bool:
        return counter.at <= 3

    return check(Model("counting", [Counter(0)], steps, [always("small", small)]))


if __name__ == "__main__":
    print(len(by_hand("memory://")), asyncio.run(with_tasks()), asyncio.run(with_messages()))
    print(counting().verdict.value)
