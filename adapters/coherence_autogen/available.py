"""Says what to do where AutoGen is not there, or in a release that this adapter does not know."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

require("autogen-core", "'artifact-coherence[autogen]'", (0, 7), (0, 8))
