"""Coherent artifacts for agents of the OpenAI Agents SDK that patch files.

::

    from coherence import Workspace
    from coherence_openai_agents import CoherentEditor

    ws = Workspace("sqlite:///team.db")
    coder = Agent("coder", tools=CoherentEditor(ws, "coder").tools())
"""

from coherence_openai_agents.available import FrameworkMissing
from coherence_openai_agents.editor import CoherentEditor

__all__ = ["CoherentEditor", "FrameworkMissing"]
