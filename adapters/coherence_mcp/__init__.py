"""Coherent artifacts for every client of the Model Context Protocol.

::

    coherence-mcp sqlite:///team.db --agent coder        # stdio: the client starts one for itself
    coherence-mcp sqlite:///team.db --http 8000          # HTTP: one process for many clients

Read `tools`, the calls of a model; `served`, whose claims are honoured; `feed`, which hears of
changes; then `server`, which joins them to the protocol, and `command`.  In Python::

    from coherence_mcp.server import artifact_server

Only `server` and `command` need the SDK: this package is imported without it, so that the command
can say how to install it.
"""

from coherence.context.frameworks import FrameworkMissing

__all__ = ["FrameworkMissing"]
