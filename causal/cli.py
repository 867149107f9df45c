"""The commands of ``coherence causal``."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from causal import explain
from causal.simulate import cli as simulate


def main(arguments: Sequence[str], prog: str) -> None:
    """Causal delivery: `simulate` compares protocols, `explain` reads a trace."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        help=main.__doc__,
    )
    app.add_typer(simulate.app, name="simulate")
    app.command("explain")(explain.main)
    app(arguments, prog_name=prog)
