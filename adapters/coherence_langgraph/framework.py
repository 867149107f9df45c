"""Says what to do where LangGraph is not there, or in a release that this adapter does not know."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

EXTRA = "'artifact-coherence[langgraph]'"

# The first release that goes with the current langgraph-prebuilt; the first that is not out yet.
require("langgraph", EXTRA, (1, 1, 5), (2,))
