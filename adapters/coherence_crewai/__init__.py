"""Coherent artifacts for CrewAI teams.

::

    from coherence import Workspace
    from coherence_crewai import artifact_tools, coherence_hooks

    ws = Workspace("sqlite:///team.db")
    coder = Agent(role="coder", goal=goal, backstory="", tools=artifact_tools(ws, "coder"))
    crew = Crew(agents=[coder, reviewer], tasks=tasks)
    with coherence_hooks(crew, ws):
        crew.kickoff()

Read `tools`, the calls of a model; then `hooks`, which inform the model and check its claims;
`state` is for Flows.
"""

from coherence_crewai.framework import FrameworkMissing
from coherence_crewai.hooks import coherence_hooks
from coherence_crewai.state import CoherentState
from coherence_crewai.tools import artifact_tools

__all__ = ["CoherentState", "FrameworkMissing", "artifact_tools", "coherence_hooks"]
