"""Says what to do where LangGraph is not there, or in a release that this adapter does not know."""

from importlib.metadata import PackageNotFoundError, version

from messaging.errors import EnvironmentFault


class FrameworkMissing(EnvironmentFault, ImportError):
    """LangGraph is not installed, or in a release that this adapter does not know."""

    remedy = "pip install 'artifact-coherence[langgraph]'"


try:
    _found = version("langgraph")
except PackageNotFoundError as _error:
    raise FrameworkMissing("langgraph is not installed") from _error
# The first release that goes with the current langgraph-prebuilt; the first that is not out yet.
if not (1, 1, 5) <= tuple(int(n) for n in _found.split(".") if n.isdecimal()) < (2,):
    raise FrameworkMissing(f"langgraph from 1.1.5 to before 2 is needed, not {_found}")
