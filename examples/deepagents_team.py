"""Two subagents of deepagents edit one file at once: with a plain store, then coherently.

    pip install deepagents langchain langgraph
    python examples/deepagents_team.py

Both read the file before either writes it.  With a plain store one edit is lost in silence; with
ours it is refused, and made again on the text that is current.  The agents play a script.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import needs

needs.packages("deepagents", "langchain", "langgraph")

from deepagents import create_deep_agent
from deepagents.backends import StoreBackend
from langchain.agents.middleware import ToolRetryMiddleware
from langgraph.store.base import BaseStore, Item
from langgraph.store.memory import InMemoryStore
from langgraph_scripted import model

from coherence import Conflict
from coherence_langgraph import CoherentStore

PATH, FILES = "/plan.md", ("files",)
PLAN = "title: open\n\nbody: open\n"
CHANGES = {"ann": ("title: open", "title: done"), "bob": ("body: open", "body: done")}
WAIT_S = 30


def meeting(kind: type[Any], *arguments: Any) -> Any:
    """A store whose first two gets after `start` wait for each other: for the show."""

    class Met(kind):  # type: ignore[misc]
        started, here = False, threading.local()
        barrier = threading.Barrier(len(CHANGES))

        def start(self) -> None:
            self.started = True

        def get(self, *place: Any, **given: Any) -> Item | None:
            item: Item | None = super().get(*place, **given)
            if self.started and not hasattr(self.here, "met"):
                self.here.met = True
                self.barrier.wait(WAIT_S)
            return item

    return Met(*arguments)


def subagent(name: str, old: str, new: str) -> Any:
    """One that makes one change; where it is refused, the call is made again."""
    edit = ("edit_file", {"file_path": PATH, "old_string": old, "new_string": new})
    return {
        "name": name,
        "description": "changes the plan",
        "system_prompt": "Change what you are told to.",
        "model": model(None, [edit, "ok"]),
        "middleware": [ToolRetryMiddleware(retry_on=(Conflict,), initial_delay=0.01)],
    }


def run(store: BaseStore, start: Callable[[], None]) -> str:
    """The team's run; the plan in the end."""

    def both(_messages: Any) -> Any:
        start()
        return [("task", {"description": "go", "subagent_type": name}) for name in CHANGES]

    agent = create_deep_agent(
        model=model(None, [("write_file", {"file_path": PATH, "content": PLAN}), both, "done"]),
        subagents=[subagent(name, *change) for name, change in CHANGES.items()],
        backend=StoreBackend(namespace=lambda _: FILES),
        store=store,
    )
    agent.invoke({"messages": [("user", "go")]})
    return str(store.search(FILES)[0].value["content"])


def main() -> None:
    """Run the team both ways, and say whose edit is left."""
    plain, coherent = meeting(InMemoryStore), meeting(CoherentStore, InMemoryStore())
    for how, store in (("plain", plain), ("coherent", coherent)):
        text = run(store, store.start)
        kept = [name for name, (_, new) in CHANGES.items() if new in text]
        print(f"{how:9} edits kept: {', '.join(kept)}")


if __name__ == "__main__":
    main()
