"""Checks that AutoGen is installed, in a release that this adapter knows."""

from coherence.beside import unhidden
from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

require("autogen-core", (0, 7), (0, 8), beside="autogen-agentchat")
unhidden("causal", "bss91")
