"""Says what to do where CrewAI is not there, or in a release that this adapter does not know."""

from importlib.metadata import PackageNotFoundError, version

from messaging.errors import EnvironmentFault


class FrameworkMissing(EnvironmentFault, ImportError):
    """CrewAI is not installed, or in a release that this adapter does not know."""

    remedy = "pip install 'artifact-coherence[crewai]'"


def require(distribution: str = "crewai") -> None:
    """Raises `FrameworkMissing`."""
    try:
        found = version(distribution)
    except PackageNotFoundError as error:
        raise FrameworkMissing(f"{distribution} is not installed") from error
    # The first release with typed tool failures and scoped hooks; the first that is not out yet.
    if not (1, 15, 10) <= tuple(int(n) for n in found.split(".") if n.isdecimal()) < (2,):
        raise FrameworkMissing(f"{distribution} from 1.15.10 to before 2 is needed, not {found}")


require()
