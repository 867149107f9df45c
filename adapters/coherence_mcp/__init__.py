"""Coherent artifacts for every client of the Model Context Protocol.

::

    coherence-mcp sqlite:///team.db --agent coder        # stdio: the client starts one for itself
    coherence-mcp sqlite:///team.db --http 8000          # HTTP: one process for many clients

Read `server`, which joins the calls of `coherence.context.served` to the protocol; `resources` and
`feed`, which hears of changes; then `command`.  In Python: ``coherence_mcp.server.ArtifactServer``.

Only `server` and `command` need the SDK: this package is imported without it, so that the command
can say how to install it.
"""

from coherence.context.frameworks import FrameworkMissing

__all__ = ["FrameworkMissing"]
