"""Says what to do where CrewAI is not there, or in a release that this adapter does not know."""

from coherence.context.frameworks import FrameworkMissing, require

__all__ = ["FrameworkMissing"]

# The first release with typed tool failures and scoped hooks; the first that is not out yet.
require("crewai", "'artifact-coherence[crewai]'", (1, 15, 10), (2,))
