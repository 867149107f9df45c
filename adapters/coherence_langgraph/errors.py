"""What can go wrong before anything starts."""

from __future__ import annotations

from messaging.errors import EnvironmentFault


class FrameworkMissing(EnvironmentFault, ImportError):
    """The framework that this adapter is for cannot be imported."""

    code = "framework_missing"
    remedy = "pip install 'artifact-coherence[langgraph]'"


class FrameworkUntried(EnvironmentFault, ImportError):
    """A version of the framework that this adapter was not made for."""

    code = "framework_untried"
    remedy = "pip install 'artifact-coherence[langgraph]' resolves one that it was made for"
