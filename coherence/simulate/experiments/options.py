"""The options that several commands over the same strategies share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from coherence.simulate.experiments.strategies import STRATEGIES

Strategies: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help=f"One of {', '.join(STRATEGIES)}; repeatable."),
]
Against: TypeAlias = Annotated[
    str, typer.Option("--against", metavar="STRATEGY", help="The savings' baseline.")
]
Html: TypeAlias = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page: pictures, tables, a timeline."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no explanations.")
]
