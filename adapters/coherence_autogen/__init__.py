"""Coherent artifacts, and causal delivery, for AutoGen teams.

::

    from coherence import Workspace
    from coherence_autogen import ArtifactWorkbench, CoherentModelContext

    ws = Workspace("sqlite:///team.db")
    context = CoherentModelContext(ws, "coder")
    coder = AssistantAgent("coder", client, model_context=context,
                           workbench=ArtifactWorkbench(context), max_tool_iterations=8)

Read in this order: `prompt`, what messages prove; `context`, what a model sees; `workbench`, its
tools; `causal`, for agents of autogen-core.
"""

from __future__ import annotations

from coherence_autogen.available import FrameworkMissing
from coherence_autogen.causal import CausalRoutedAgent
from coherence_autogen.context import ArtifactMemory, CoherentModelContext
from coherence_autogen.workbench import ArtifactWorkbench, citation

__all__ = [
    "ArtifactMemory",
    "ArtifactWorkbench",
    "CausalRoutedAgent",
    "CoherentModelContext",
    "FrameworkMissing",
    "citation",
]
