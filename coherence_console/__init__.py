"""A web application that shows a workspace, a model and results in a browser, and changes nothing.

::

    coherence console --store sqlite:///team.db

It is on top of all other packages, and needs the extra `console`.  `serve` starts it inside a
program, which is the only way to see a workspace on ``memory://``.
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from coherence_console.server import Served, serve

__all__ = ["Served", "serve"]


def __getattr__(name: str) -> typing.Any:
    # The command reports a missing extra, so importing this package must not need it.
    if name in __all__:
        from coherence_console import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
