"""Coherent artifacts for LangGraph teams: no silent lost update, no false "unchanged".

::

    from coherence_langgraph import ArtifactRefs, CoherentStore, artifact_tools

    store = CoherentStore(InMemoryStore())            # or "sqlite:///team.db", or any other store
    app = graph.compile(store=store)                  # nodes stay unchanged

`CoherentStore` compares a put with the version that the task has read.  `ArtifactRefs` keeps
references in the state in place of texts.  `artifact_tools` are for ``ToolNode`` and
``create_agent``; `coherence_langgraph.middleware`, which needs the package langchain, tells a model
of changes.
"""

from coherence.context.reader import Unread
from coherence.context.references import ArtifactRefs, RefsClash, newest_refs
from coherence_langgraph.framework import FrameworkMissing
from coherence_langgraph.store import CoherentItem, CoherentStore
from coherence_langgraph.tools import artifact_tools

__all__ = [
    "ArtifactRefs",
    "CoherentItem",
    "CoherentStore",
    "FrameworkMissing",
    "RefsClash",
    "Unread",
    "artifact_tools",
    "newest_refs",
]
