"""Checks that LangGraph is installed, in a release that this adapter knows."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

# The first release for the current langgraph-prebuilt; the first unreleased one.
require("langgraph", (1, 1, 5), (2,))
