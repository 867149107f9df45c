"""Says what to do where AutoGen is not there, or in a release that this adapter does not know."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from messaging.errors import EnvironmentFault


class FrameworkMissing(EnvironmentFault, ImportError):
    """AutoGen is not installed, or in a release that this adapter does not know."""

    remedy = "pip install 'artifact-coherence[autogen]'"


def require(distribution: str = "autogen-core") -> None:
    """Raises `FrameworkMissing`."""
    try:
        found = version(distribution)
    except PackageNotFoundError as error:
        raise FrameworkMissing(f"{distribution} is not installed") from error
    if not found.startswith("0.7."):
        raise FrameworkMissing(f"{distribution} 0.7 is needed, not {found}")


require()
