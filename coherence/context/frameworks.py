"""The error for an agent framework that is missing, or of an untested release."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from coherence.errors import BadArgument
from message_passing.errors import EnvironmentFault

T = TypeVar("T")

Release = tuple[int, ...]


class FrameworkMissing(EnvironmentFault, ImportError):
    """A framework is not installed, or its release is unknown to the adapter."""

    remedy = "docs/adapters names the releases that were tested"


def require(distribution: str, oldest: Release, below: Release, *, beside: str = "") -> None:
    """Check that `distribution` is installed, in a release from `oldest` to before `below`.

    Reads the installed metadata and imports nothing.  Raises `FrameworkMissing`, whose remedy
    installs such a release of `distribution`, and of the package `beside` it.
    """
    span = f">={_shown(oldest)},<{_shown(below)}"
    remedy = " ".join(f"'{each}{span}'" for each in (distribution, beside) if each)
    remedy = f"pip install {remedy}"
    try:
        found = version(distribution)
    except PackageNotFoundError as error:
        raise FrameworkMissing(f"{distribution} is not installed", remedy=remedy) from error
    if not oldest <= tuple(int(n) for n in found.split(".") if n.isdecimal()) < below:
        wanted = f"from {_shown(oldest)} to before {_shown(below)}"
        raise FrameworkMissing(f"{distribution} {wanted} is needed, not {found}", remedy=remedy)


def expect(given: object, kind: type[T], what: str) -> T:
    """`given`, if it is a `kind`.  Raises `BadArgument`, whose remedy is to give `what`."""
    if not isinstance(given, kind):
        raise BadArgument(f"{given!r} is not a {kind.__name__}", remedy=f"give {what}")
    return given


def _shown(release: Release) -> str:
    return ".".join(map(str, release))
