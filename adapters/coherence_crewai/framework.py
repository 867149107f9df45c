"""Checks that CrewAI is installed, in a release that this adapter knows."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

# The first release with typed tool failures and scoped hooks; the first unreleased one.
require("crewai", (1, 15, 10), (2,))
