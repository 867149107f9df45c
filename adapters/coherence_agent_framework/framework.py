"""Checks that Agent Framework is installed, in a release that this adapter knows."""

from coherence.context.events import to_log
from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing", "tell"]

# The first release that was tried; the first unreleased one.
require("agent-framework-core", (1, 23), (2,))

#: Where the events of files go.
tell = to_log("coherence.agent_framework")
