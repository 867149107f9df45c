"""Files of Microsoft Agent Framework in a workspace: no agent loses a change that it has not seen.

::

    files = CoherentFileAccess("sqlite:///team.db")
    agent = Agent(client, name="coder", context_providers=[files])

The tools are those of ``FileAccessProvider``: same names, arguments and approvals.  A write of a
whole file is refused if another agent has changed the file since this conversation read it; the
refusal has both changes.  Replaced passages of several agents are all kept.

Read `provider`, the context provider; then `store`, a caller's files as a store of the framework.
"""

from coherence_agent_framework.framework import FrameworkMissing
from coherence_agent_framework.provider import CoherentFileAccess
from coherence_agent_framework.store import CoherentFileStore

__all__ = ["CoherentFileAccess", "CoherentFileStore", "FrameworkMissing"]
