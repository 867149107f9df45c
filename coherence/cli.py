"""The script `coherence`: the commands of a workspace, and those of other packages.

An entry point of the group `coherence.commands` is a command.  It names a `typer.Typer`, or a
function of the arguments and the name of the program that returns an exit code or None, or raises
`SystemExit`.  `message_passing.commands` lists the exit codes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand
from typer.main import get_command

from coherence import cli_history, cli_stats, cli_upkeep
from coherence.cli_status import status
from coherence.cli_watch import watch
from message_passing.commands import SETTINGS, Commands, examples
from message_passing.console import reported, say
from message_passing.errors import EnvironmentFault

#: Of entry points that are commands.
GROUP: Final = "coherence.commands"
DISTRIBUTION: Final = "artifact-coherence"


class _All(Commands):
    """The commands of this module, then those of entry points, which are loaded when needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(dict.fromkeys([*self.commands, *sorted(others())]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in others():
            self.commands[cmd_name] = _command(others()[cmd_name])
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        if args[0] not in names:
            # typer suggests commands that are loaded.
            for name in names:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_All,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    epilog=examples(
        "coherence status --store sqlite:///team.db",
        "COHERENCE_STORE=sqlite:///team.db coherence log",
        "coherence simulate",
    ),
)


def main(prog: str = "coherence") -> None:
    """The script, which ends with `SystemExit`."""
    given = sys.argv[1:]
    # A function parses its arguments itself: typer must not look at them.
    if given and given[0] in others():
        with reported():
            loaded = _loaded(others()[given[0]])
        if not isinstance(loaded, typer.Typer):
            sys.exit(loaded(given[1:], f"{prog} {given[0]}"))
    app(prog_name=prog)


@cache
def others() -> dict[str, EntryPoint]:
    """The commands of entry points, by name, without those that this module has."""
    ours = {each.name for each in app.registered_commands}
    return {each.name: each for each in entry_points(group=GROUP) if each.name not in ours}


def _command(found: EntryPoint) -> Any:
    """The command of an entry point; for a function, one that has only its name and help."""
    try:
        loaded = _loaded(found)
    except EnvironmentFault as error:
        return TyperCommand(found.name, help=str(error), rich_help_panel=OTHERS)
    if isinstance(loaded, typer.Typer):
        command: Any = get_command(loaded)
        command.name = found.name
    else:
        command = TyperCommand(found.name, help=loaded.__doc__)
    command.rich_help_panel = OTHERS
    return command


def _loaded(found: EntryPoint) -> Any:
    """What an entry point names.  Raises `EnvironmentFault`."""
    try:
        return found.load()
    except (ImportError, AttributeError) as error:
        raise EnvironmentFault(
            f"the command {found.name!r} cannot be loaded from {found.value}: {error}",
            remedy="install the package that brings the command again",
        ) from error


def _version(asked: bool) -> None:
    if asked:
        say(f"coherence {installed()}")
        raise typer.Exit


def installed() -> str:
    """The version of the distribution, as its metadata has it."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of a checkout that is not installed"


@app.callback()
def _workspace(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Inspect a workspace and maintain it; simulate, check and trace the protocols."""


SEE: Final = "A workspace now"
HISTORY: Final = "Its history"
UPKEEP: Final = "Its store"
OTHERS: Final = "The protocols"


def _add(panel: str, name: str, function: Callable[..., None], *lines: str) -> None:
    app.command(name, rich_help_panel=panel, epilog=examples(*lines), context_settings=SETTINGS)(
        function
    )


_add(
    SEE,
    "status",
    status,
    "coherence status",
    "coherence status 'docs/*' --agent coder",
    "coherence status --watch",
)
_add(SEE, "watch", watch, "coherence watch 'notes/*'", "coherence watch --since 0 --json")
_add(SEE, "stats", cli_stats.stats, "coherence stats", "coherence stats --by day --since 7d")
_add(SEE, "show", cli_history.show, "coherence show plan.md", "coherence show plan.md@1")
_add(
    HISTORY,
    "log",
    cli_history.log,
    "coherence log plan.md --stat",
    "coherence log 'docs/*' --agent coder --since 2h -n 20",
    "coherence log --refused",
)
_add(
    HISTORY,
    "diff",
    cli_history.diff,
    "coherence diff plan.md@1",
    "coherence diff plan.md@1 plan.md@2 --stat",
)
_add(HISTORY, "blame", cli_history.blame, "coherence blame plan.md", "coherence blame plan.md@2")
_add(
    HISTORY,
    "restore",
    cli_history.restore,
    "coherence restore plan.md@1 --reason 'the second version lost a step'",
)
_add(UPKEEP, "check", cli_upkeep.check, "coherence check")
_add(
    UPKEEP,
    "backup",
    cli_upkeep.backup,
    "coherence backup team-backup.db",
    "coherence backup --restore team-backup.db --yes",
)
_add(UPKEEP, "export", cli_upkeep.export, "coherence export out --pattern 'docs/*'")
_add(UPKEEP, "import", cli_upkeep.import_, "coherence import out --agent editor")
_add(UPKEEP, "upgrade", cli_upkeep.upgrade, "coherence upgrade")
_add(UPKEEP, "gc", cli_upkeep.gc, "coherence gc --versions 10")
