"""Checks that the SDK of the protocol is installed, in a release that this adapter knows."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

# The first release that serves the protocol of 2026-07-28; the first unreleased one.
require("mcp", (2, 0), (3,))
