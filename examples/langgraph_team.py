"""Two agents of LangGraph change one plan at the same time: with a plain store, then coherently.

    pip install langgraph langchain
    python examples/langgraph_team.py [--model openai:gpt-4o] [--store sqlite:///team.db]

With a plain store the later write takes the earlier one's work with it, and each look at the plan
puts the whole of it into the prompt again.  Without ``--model`` the agents play a script.  With
``--store`` the workspace outlives the run: ``coherence status`` and ``coherence stats`` show it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, Any, NamedTuple

import needs

needs.packages("langgraph", "langchain")

import typer
from heeding import heeding
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph_scripted import model as a_model

from coherence.tokens import installed
from coherence_langgraph import CoherentStore, artifact_tools
from coherence_langgraph.middleware import CoherenceMiddleware

PLAN = "# Plan\n" + "".join(
    f"{n}. step {n}, to be described in a line of text\n" for n in range(60)
)
CHANGES = {"coder": ("10. step", "10. fast step"), "reviewer": ("50. step", "50. tested step")}
LOOKS = 5
TASK = "Read the plan, change {0!r} to {1!r} in it, look at it {2} more times, and say done."


class Outcome(NamedTuple):
    """The plan in the end, and the tokens of all prompts, where the models count them."""

    plan: str
    prompt_tokens: int


def plain_tools(store: BaseStore) -> Sequence[Any]:
    """What a team writes for itself."""

    @tool
    def read_plan() -> str:
        """Read the plan."""
        item = store.get(("proj",), "plan.md")
        return str(item.value["text"]) if item else ""

    @tool
    def write_plan(text: str) -> str:
        """Write the plan."""
        store.put(("proj",), "plan.md", {"text": text})
        return "written"

    return [read_plan, write_plan]


def plain_script(old: str, new: str, met: Callable[[], Any]) -> list[Any]:
    """Reads, writes what follows from it once both have read, and looks again."""

    def write(messages: Sequence[Any]) -> Any:
        met()
        return ("write_plan", {"text": messages[-1].text.replace(old, new)})

    return [("read_plan", {}), write, *[("read_plan", {})] * LOOKS, "done"]


def coherent_script(old: str, new: str, met: Callable[[], Any]) -> list[Any]:
    """The same with our tools: names the version that it has, and edits one passage."""
    have = [""]

    def look(messages: Sequence[Any]) -> Any:
        for told in (getattr(message, "artifact", None) for message in messages):
            have[0] = told["ref"] if told else have[0]
        return ("read_artifact", {"name": "proj/plan.md", "have": have[0]})

    def edit(_messages: Sequence[Any]) -> Any:
        met()
        return ("edit_artifact", {"name": "proj/plan.md", "old": old, "new": new})

    return [look, edit, *[look] * LOOKS, "done"]


def run(name: str | None, url: str | None) -> Outcome:
    """The team's run, two agents as parallel nodes of a graph: plain, or on the workspace `url`."""
    with ExitStack() as stack:
        store: Any = stack.enter_context(CoherentStore(url)) if url else InMemoryStore()
        return team(name, store, coherent=url is not None)


def team(
    name: str | None,
    store: BaseStore,
    *,
    coherent: bool,
    heeds: bool = False,
    informing: Mapping[str, Any] | None = None,
) -> Outcome:
    """Both agents change the plan in `store`.

    Models that heed what they are told read only what they have not been shown; `informing` are
    arguments of the middleware.
    """
    store.put(("proj",), "plan.md", {"text": PLAN})
    met = threading.Barrier(len(CHANGES))
    graph = StateGraph(MessagesState)
    models = []
    for role, (old, new) in CHANGES.items():
        script = (coherent_script if coherent else plain_script)(old, new, met.wait)
        if heeds:
            script = heeding(script, "proj/plan.md", lambda prompt: [m.text for m in prompt])
        models.append(a_model(name, script))
        agent = create_agent(
            models[-1],
            tools=artifact_tools(store) if coherent else plain_tools(store),
            middleware=[CoherenceMiddleware(store, **informing or {})] if coherent else [],
            name=role,
        )
        task = {"messages": [("user", TASK.format(old, new, LOOKS))]}
        graph.add_node(role, lambda state, agent=agent, task=task: (agent.invoke(task), {})[1])
        graph.add_edge(START, role)
    graph.compile().invoke({"messages": []})
    counts = (m.prompt_tokens(installed()) for m in models if hasattr(m, "prompt_tokens"))
    return Outcome(store.get(("proj",), "plan.md").value["text"], sum(counts))


def main(
    model: Annotated[str | None, typer.Option(help="Such as openai:gpt-4o.")] = None,
    store: Annotated[str, typer.Option(help="Where the workspace is.")] = "memory://",
) -> None:
    """Run the team both ways, and say whose work is left and what the prompts came to."""
    before = 0
    for how, url in ("plain", None), ("coherent", store):
        outcome = run(model, url)
        kept = [role for role, (_, new) in CHANGES.items() if new in outcome.plan]
        tokens = f"prompt tokens ({installed().label}): {outcome.prompt_tokens:,}"
        saved = f", saved {100 * (1 - outcome.prompt_tokens / before):.0f} %" if before else ""
        print(f"{how:9} work kept: {', '.join(kept):16} {tokens}{saved}")
        before = outcome.prompt_tokens


if __name__ == "__main__":
    typer.run(main)
