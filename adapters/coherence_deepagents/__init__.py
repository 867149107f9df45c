"""Coherent files for agents of deepagents: no subagent overwrites what it has not read.

::

    from coherence_deepagents import CoherentBackend

    backend = CoherentBackend("sqlite:///team.db")
    agent = create_deep_agent(model=..., backend=backend, subagents=[...])

`CoherentBackend` holds the files in a workspace, and compares a whole write with the version that
the running agent was shown.  `coherence_deepagents.middleware` puts differences in the place of
texts that a model reads again, and forgets what its prompt has lost.
"""

from coherence.context.reader import OnUnread

from coherence_deepagents.framework import FrameworkMissing  # isort: skip - it checks the release
from coherence_deepagents.backend import CoherentBackend

__all__ = ["CoherentBackend", "FrameworkMissing", "OnUnread"]
