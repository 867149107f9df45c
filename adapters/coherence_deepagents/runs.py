"""The caller of a backend: the run of an agent, as LangGraph describes the running task.

A conversation of the main agent is one run, and each task that a subagent is given is another.
"""

from collections.abc import Mapping
from typing import Any

from langgraph.config import get_config

from coherence.context.callers import Callers
from coherence.context.rereads import Rereads

#: Names of callers for which LangGraph has none: no graph runs, or the agent has no name.
OUTSIDE, UNNAMED = "outside", "main"


def running(callers: Callers[Rereads], agent: str) -> Rereads:
    """The run that calls; `agent` names one without a name.  Raises as `Desk` does."""
    try:
        config: Mapping[str, Any] = get_config()
    except RuntimeError:
        config = {}
    given, said = config.get("configurable", {}), config.get("metadata", {})
    name = said.get("lc_agent_name") or agent or (UNNAMED if config else OUTSIDE)
    # The last part of the namespace is the call of a tool or of a model.
    path = str(said.get("langgraph_checkpoint_ns", "")).split("|")[:-1]
    # LangGraph makes this object for each invocation.  It tells apart runs without a thread, by its
    # address, which no other object gets as long as it is kept.
    control = getattr(given.get("__pregel_runtime"), "control", None)
    thread = str(given.get("thread_id") or "")
    known = [part for part in (thread, *path) if part]
    key = thread or id(control), *path
    run = callers.of(key, name, known if known or name == agent else None, control)
    # The calls of one answer of a model are one step of the graph.
    run.files.turn(said.get("langgraph_step"))
    return run
