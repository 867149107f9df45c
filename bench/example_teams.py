"""The teams of ``examples/`` as runs that `team_bills` can price."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from framework_teams import Call, Run

from coherence import Workspace
from coherence.context.notices import NOTICE


@contextmanager
def _kept(module: Any, name: str, made: list[Any]) -> Iterator[None]:
    """Keep what the function `name` of `module` returns."""
    function = getattr(module, name)

    def keeping(*given: Any, **named: Any) -> Any:
        made.append(function(*given, **named))
        return made[-1]

    setattr(module, name, keeping)
    try:
        yield
    finally:
        setattr(module, name, function)


def langgraph(heeds: bool, way: str) -> Run:
    import langgraph_team

    from coherence_langgraph import CoherentStore

    models: list[Any] = []
    with CoherentStore("memory://") as store, _kept(langgraph_team, "a_model", models):
        informing = {"on_change": way}
        langgraph_team.team(None, store, coherent=True, heeds=heeds, informing=informing)
        transferred = store.workspace.stats().total.served_tokens
    prompts = [
        [[m.text + str(getattr(m, "tool_calls", None) or "") for m in p] for p in model.prompts]
        for model in models
    ]
    return _run(prompts, transferred)


def crewai(heeds: bool, way: str) -> Run:
    import crewai_team

    made: list[Any] = []
    with _kept(crewai_team, "Workspace", made):
        team, _ = crewai_team.coherent("", "memory://", heeds=heeds, informing={"on_change": way})
    prompts = [
        [[f"{m.get('content') or ''}{m.get('tool_calls') or ''}" for m in p] for p in a.llm.prompts]
        for a in team.agents
    ]
    return _run(prompts, 0)


def autogen(heeds: bool, way: str) -> Run:
    import autogen_team

    clients: list[Any] = []
    with Workspace("memory://") as workspace, _kept(autogen_team, "model", clients):
        informing = {"on_change": way}
        asyncio.run(autogen_team.run(None, workspace, heeds=heeds, informing=informing))
        transferred = workspace.stats().total.served_tokens
    prompts = [[autogen_team.said(p) for p in client.prompts] for client in clients]
    return _run(prompts, transferred)


EXAMPLES: dict[str, Callable[[bool, str], Run]] = {
    "langgraph_team": langgraph,
    "crewai_team": crewai,
    "autogen_team": autogen,
}


def _run(prompts: Sequence[Sequence[Sequence[str]]], transferred: int) -> Run:
    calls = {agent: list(_calls(each)) for agent, each in enumerate(prompts)}
    return Run(calls, [], transferred, 0, 0)


def _calls(prompts: Sequence[Sequence[str]]) -> Iterator[Call]:
    """The calls; what a model put out is what follows its prompt in the next one."""
    for prompt, after in zip(prompts, [*prompts[1:], None], strict=True):
        stayed = [text for text in prompt if after is None or text in after]
        new = [text for text in (after or ())[len(stayed) :] if not text.startswith(NOTICE)]
        output = new[0] if new else "done"
        is_trip = "read_artifact" in output and "edit_artifact" not in output
        yield Call(tuple(prompt), output, (), is_trip, 0)
