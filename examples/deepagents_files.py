"""Subagents of deepagents that share files: the losses of a stock backend, and ours beside them.

    pip install deepagents langchain langgraph
    python examples/deepagents_files.py

Each row is one way to lose work.  The stock backend keeps the last text that was written and says
"Updated file" to everybody.  Ours refuses the write that would lose something, and says what.  The
agents play scripts.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import needs

needs.packages("deepagents", "langchain", "langgraph")

from deepagents import create_deep_agent
from deepagents.backends import StoreBackend
from deepagents.backends.protocol import BackendProtocol
from langchain.agents.middleware import AgentMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph_scripted import model

from coherence_deepagents import CoherentBackend
from coherence_deepagents.middleware import CoherenceMiddleware

PATH, PLAN = "/plan.md", "title: open\n\nbody: open\n"
CHANGE = "title: open", "title: done by ann"
WAIT_S = 30
READ = ("read_file", {"file_path": PATH})


def write(text: str) -> tuple[str, dict[str, str]]:
    """The call that writes the whole plan."""
    return "write_file", {"file_path": PATH, "content": text}


def told(state: Any) -> list[str]:
    """What the tools have answered."""
    return [message.text for message in state["messages"] if message.type == "tool"]


def edited(text: str, name: str) -> str:
    """The plan with the change of `name`."""
    where = {"ann": "title", "bob": "body"}[name]
    return text.replace(f"{where}: open", f"{where}: done by {name}")


def two_subagents(backend: BackendProtocol) -> list[str]:
    """Two subagents read the plan, and then each writes it whole; what they were told last."""
    backend.write(PATH, PLAN)
    read, first_is_done, answers = threading.Barrier(2), threading.Event(), dict[str, str]()

    def subagent(name: str) -> Any:
        def change(_messages: Any) -> Any:
            read.wait(WAIT_S)
            if name == "bob":
                first_is_done.wait(WAIT_S)
            return write(edited(PLAN, name))

        def last(messages: Any) -> Any:
            answers[name] = messages[-1].text
            if name == "ann":
                first_is_done.set()
            return "ok"

        turns = [READ, change, last]
        return {
            "name": name,
            "description": "changes the plan",
            "system_prompt": "Change what you are told to.",
            "model": model(None, turns),
        }

    both = [("task", {"description": "go", "subagent_type": name}) for name in ("ann", "bob")]
    agent = create_deep_agent(
        model=model(None, [both, "done"]),
        subagents=[subagent("ann"), subagent("bob")],
        backend=backend,
    )
    agent.invoke({"messages": [("user", "go")]})
    return [answers["ann"], answers["bob"]]


def edits_of_threads(backend: BackendProtocol, threads: int = 4, edits: int = 50) -> int:
    """Threads that each edit lines of their own; how many edits they were told are made."""
    lines = [f"{thread} {number}: open" for thread in range(threads) for number in range(edits)]
    backend.write(PATH, "\n".join(lines))
    made: list[str] = []

    def work(thread: int) -> None:
        for number in range(edits):
            line = f"{thread} {number}: "
            if backend.edit(PATH, f"{line}open", f"{line}done").error is None:
                made.append(line)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    return len(made)


def after_a_restart(opened: Callable[[], BackendProtocol]) -> list[str]:
    """An agent reads the plan, is started again in its thread, and writes from what it has read."""
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    opened().write(PATH, PLAN)

    def turn(backend: BackendProtocol, *turns: Any) -> list[str]:
        scripted = model(None, [*turns, "ok"])
        agent = create_deep_agent(model=scripted, backend=backend, checkpointer=saver)
        return told(agent.invoke({"messages": [("user", "go")]}, config))

    turn(opened(), READ)
    opened().edit(PATH, *CHANGE)
    return turn(opened(), write(edited(PLAN, "bob")))[-1:]


class Compacting(AgentMiddleware[Any, Any, Any]):
    """Leaves the last two messages of a prompt, as a summary would."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(messages=request.messages[-2:]))


def after_a_compaction(backend: BackendProtocol) -> list[str]:
    """An agent has read the plan twice, and writes it from the text that a summary has left it."""
    backend.write(PATH, PLAN)

    def other(_messages: Any) -> Any:
        edit = threading.Thread(target=backend.edit, args=(PATH, *CHANGE))
        edit.start()  # outside the agent's run
        edit.join()
        return READ

    turns = [READ, other, ("ls", {"path": "/"}), write(edited(PLAN, "bob")), "ok"]
    ours = isinstance(backend, CoherentBackend)
    middleware = [Compacting(), *([CoherenceMiddleware(backend)] if ours else [])]
    agent = create_deep_agent(model=model(None, turns), backend=backend, middleware=middleware)
    return told(agent.invoke({"messages": [("user", "go")]}))[-1:]


def text(backend: BackendProtocol) -> str:
    """The whole plan."""
    found = backend.read(PATH, 0, 100_000).file_data
    return "" if found is None else found["content"]


@contextmanager
def stock() -> Iterator[Callable[[], BackendProtocol]]:
    """Opens the stock backend over one store, any number of times."""
    store = InMemoryStore()
    yield lambda: StoreBackend(store=store, namespace=lambda _: ("files",))


@contextmanager
def coherent() -> Iterator[Callable[[], BackendProtocol]]:
    """Opens ours on one file, any number of times."""
    opened: list[CoherentBackend] = []
    with tempfile.TemporaryDirectory() as folder:

        def make() -> BackendProtocol:
            opened.append(CoherentBackend(f"sqlite:///{Path(folder, 'team.db')}"))
            return opened[-1]

        try:
            yield make
        finally:
            for backend in opened:
                backend.close()


def main() -> None:
    """Play each story on both backends."""
    for name, backends in (("stock", stock), ("coherent", coherent)):
        for what, play in (
            ("two subagents", lambda opened: two_subagents(opened())),
            ("a restart", after_a_restart),
            ("a compaction", lambda opened: after_a_compaction(opened())),
        ):
            with backends() as opened:
                answers = play(opened)
                kept = [who for who in ("ann", "bob") if f"done by {who}" in text(opened())]
                print(f"{name:9}{what:14} kept: {', '.join(kept)}")
                print(f"{'':23} bob was told: {answers[-1].splitlines()[0]}")
        with backends() as opened:
            made = edits_of_threads(opened())
            lost = made - text(opened()).count("done")
            print(f"{name:9}{'4 x 50 edits':14} told done: {made}, lost in silence: {lost}")


if __name__ == "__main__":
    main()
