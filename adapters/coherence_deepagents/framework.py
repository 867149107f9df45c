"""Checks that deepagents is installed, in a release that this adapter knows."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

# The first release with the searches of the newest one; the first unreleased one.
require("deepagents", (0, 7, 20), (0, 8))
