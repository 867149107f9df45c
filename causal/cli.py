"""The commands of ``coherence causal``."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from causal import explain
from causal.simulate import cli as simulate
from message_passing.commands import SETTINGS, Commands, examples

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=SETTINGS,
    help="Causal delivery: compare protocols, explain a trace.",
    epilog=examples("coherence causal simulate", "coherence causal explain run.ndjson"),
)
app.add_typer(simulate.app, name="simulate")
app.command("explain", context_settings=SETTINGS, epilog=explain.EXAMPLES)(explain.main)


def main(arguments: Sequence[str], prog: str) -> None:
    """Run the commands; ends with `SystemExit`."""
    app(arguments, prog_name=prog)
