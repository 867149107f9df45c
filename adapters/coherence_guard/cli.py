"""The commands `coherence guard ...`: put the hooks in, look at what is kept, bring it back."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from coherence.cli_options import Json, told
from coherence.cli_text import fitted, print_json, print_parts, when
from coherence.errors import BadArgument
from coherence_guard.keeping import restore, settled, url_of
from coherence_guard.settings import CLIENTS, has_hooks, installed, uninstalled
from file_guard.guard import overview
from file_guard.places import home, is_guarded, replace_file
from message_passing.commands import SETTINGS, Commands, examples
from message_passing.console import reported, say, write

#: Of the hook itself, which is a program of its own.
SCRIPT: Final = "coherence-guard"


Who = Annotated[Literal["claude", "codex"], typer.Argument(help="Claude Code or Codex.")]
Folder = Annotated[Path, typer.Option(help="The project; the current folder by default.")]
File = Annotated[str, typer.Option("--settings", help="Another file of settings.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Show the difference, and write nothing.")]

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    epilog=examples("coherence guard install claude --dry-run", "coherence guard status"),
)


@app.callback()
def _guard() -> None:
    """Guard files that several coding agents edit: nothing is lost, and you are told."""


@app.command(context_settings=SETTINGS)
def install(
    client: Who,
    folder: Folder = Path(),
    settings: File = "",
    mcp: Annotated[str, typer.Option(help="Call this MCP server, not a program.")] = "",
    dry_run: Dry = False,
) -> None:
    """Put the hooks into the settings of a client, beside those that are there."""
    command = SCRIPT if shutil.which(SCRIPT) else str(Path(sys.executable).with_name(SCRIPT))
    _change(client, folder, settings, lambda text: installed(text, client, command, mcp), dry_run)


@app.command(context_settings=SETTINGS)
def uninstall(
    client: Who, folder: Folder = Path(), settings: File = "", dry_run: Dry = False
) -> None:
    """Take the hooks out of the settings of a client; what is kept stays."""
    _change(client, folder, settings, uninstalled, dry_run)


def _change(
    client: str, folder: Path, settings: str, change: Callable[[str], str], dry_run: bool
) -> None:
    path = Path(settings or folder / CLIENTS[client][0])
    with reported(told):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        made = change(text)
        if made == text or (not text and not has_hooks(made)):
            say(f"{path} needs no change.")
        elif dry_run:
            lines = (text.splitlines(keepends=True), made.splitlines(keepends=True))
            write("".join(unified_diff(*lines, str(path), str(path))))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            backup = f"{path}.bak"
            if text:
                replace_file(backup, text.encode())
            replace_file(str(path), made.encode())
            say(f"{path} is changed{f'; {backup} is as it was' if text else ''}.")


@app.command(context_settings=SETTINGS)
def status(folder: Folder = Path(), json: Json = False) -> None:
    """Whose settings have the hooks, the agents that worked here, and the kept contents."""
    with reported(told):
        root = home(os.path.realpath(folder))
        hooks = {
            client: path.exists() and has_hooks(path.read_text(encoding="utf-8"))
            for client, (file, _) in CLIENTS.items()
            for path in [folder / file]
        }
        agents, kept = overview(root)
    if json:
        print_json(root=root, store=url_of(root), hooks=hooks, agents=agents, kept=kept)
        return
    there = [client for client, is_there in hooks.items() if is_there]
    say(f"Root {root}; hooks for {' and '.join(there) or 'no client'} in {folder.resolve()}.")
    for rows in (agents, kept):
        cells = [[_shown(*field) for field in row.items()] for row in rows]
        if cells:
            print_parts(fitted(tuple(rows[0]), cells, names=("file", "by"), right=("bytes",)))
    size = sum(row["bytes"] for row in kept if row["text"])
    say(f"{len(kept)} contents, {size:,} bytes of text; {len(agents)} agents.")


def _shown(name: str, value: Any) -> str:
    if name == "at":
        return when(value)
    if name == "text":
        return "yes" if value else "digest only"
    return "" if value is None else f"{value:,}" if name == "bytes" else str(value)


@app.command(context_settings=SETTINGS)
def store(folder: Folder = Path()) -> None:
    """Print the address of the store of kept versions, for log, show, diff and blame."""
    with reported(told):
        root = _guarded(folder)
        with settled(root):
            pass
    say(url_of(root))


@app.command("restore", context_settings=SETTINGS)
def restore_(
    ref: Annotated[str, typer.Argument(help="Such as src/plan.md@3.")], folder: Folder = Path()
) -> None:
    """Give a file a kept content again; what it holds now is kept."""
    with reported(told):
        before = restore(_guarded(folder), ref)
    say(f"The file has the content of {ref}{f'; before, {before}' if before else ''}.")


def _guarded(folder: Path) -> str:
    root = home(os.path.realpath(folder))
    if not is_guarded(root):
        remedy = "`install` puts hooks in, and the first call of an agent makes the journal"
        raise BadArgument(f"no agent was guarded in {root}", remedy=remedy)
    return root
