"""Checks that the OpenAI Agents SDK is installed, in a release that this adapter knows."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

# The first release beside which mcp 2 can be installed; the first untested one.
require("openai-agents", (0, 20), (0, 25))
