"""The packages that are installed beside this one, and that a folder of an application can hide."""

from __future__ import annotations

from importlib import import_module


def unhidden(package: str, part: str) -> None:
    """Check that `package`, of which `part` is a module, is the one of this distribution.

    Raises `ImportError`, which names the folder that is found instead.  It is not an error of the
    toolkit's tree: that may be what is hidden.
    """
    try:
        import_module(f"{package}.{part}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{part}":
            raise
        found = import_module(package)
        where = found.__file__ or next(iter(found.__path__))
        raise ImportError(
            f"{where} hides the package {package} of artifact-coherence "
            "(rename it, or start the program from another folder)"
        ) from error


unhidden("message_passing", "errors")
