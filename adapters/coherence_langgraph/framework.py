"""Says what to do where LangGraph is not there, or in a release that this adapter does not know."""

from importlib.metadata import PackageNotFoundError, version

from messaging.errors import EnvironmentFault


class FrameworkMissing(EnvironmentFault, ImportError):
    """LangGraph is not installed, or in a release that this adapter does not know."""

    code = "framework_missing"
    remedy = "pip install 'artifact-coherence[langgraph]'"


try:
    _found = version("langgraph")
except PackageNotFoundError as _error:
    raise FrameworkMissing("langgraph is not installed") from _error
if not _found.startswith("1."):
    raise FrameworkMissing(f"langgraph 1.x is needed, not {_found}")
