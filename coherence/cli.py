"""The command line of ``python -m coherence``: inspect a workspace and maintain it.

Commands that only read open the store to read and never block a writer.  Exit codes: 0 success; 1
`check` found damage; 2 the request was wrong; 3 the store failed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from coherence.cli_folder import read_files, write_files
from coherence.cli_watch import Style, changes, console, shown, when
from coherence.contents import Content, Kind
from coherence.delta import diff as difference
from coherence.errors import (
    BadArgument,
    BadRef,
    BadUrl,
    StoreCorrupt,
    StoreMissing,
    UnknownArtifact,
    UnknownVersion,
)
from coherence.refs import Ref, check_name
from coherence.runtime.farewells import present
from coherence.stores.archive import archive_of
from coherence.stores.backup import back_up, unpacked
from coherence.stores.opening import open_store, put_back
from coherence.stores.port import Entry, HomeRow, Place, Retention, Store
from coherence.workspace.workspace import Workspace
from message_passing.console import reported
from message_passing.errors import EnvironmentFault, ToolkitError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Inspect a workspace and maintain it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Of entry points that are commands of the script.
GROUP = "coherence.commands"

Url = Annotated[
    str,
    typer.Option("--store", "-s", envvar="COHERENCE_STORE", help="sqlite:///... or postgresql://"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
TEAM = "sqlite:///team.db"


#: Remedies that name commands, for errors whose own remedy names calls.
_REMEDIES: dict[type[ToolkitError], str] = {
    UnknownArtifact: "`status` lists those that exist, `log` also those that were deleted",
    UnknownVersion: "`log NAME` lists the versions that are kept",
    BadUrl: "--store or COHERENCE_STORE names it, such as sqlite:///folder/team.db",
}


def main() -> None:
    """The script `coherence`: the commands of this module and those of other packages.

    An entry point of the group `coherence.commands` is a function of the arguments and the name of
    the program.  It returns an exit code, or None, or raises `SystemExit`.
    """
    given = sys.argv[1:]
    ours = {
        str(each.name or getattr(each.callback, "__name__", "")) for each in app.registered_commands
    }
    others = {each.name: each for each in entry_points(group=GROUP) if each.name not in ours}
    if given and given[0] in others:
        sys.exit(others[given[0]].load()(given[1:], f"coherence {given[0]}"))
    app.info.epilog = f"More commands, each with --help: {', '.join(sorted(others))}."
    app(prog_name="coherence")


def _told(error: ToolkitError | OSError) -> tuple[str, int]:
    """`error` as one line that says what to do, and the exit code."""
    if isinstance(error, OSError):
        return f"error: {error}", 3
    if "remedy" not in vars(error):
        error.remedy = _REMEDIES.get(type(error), error.remedy)
    if isinstance(error, StoreMissing):
        error.remedy += "; --store or COHERENCE_STORE names the store"
    return f"{error.code}: {error}", 3 if isinstance(error, EnvironmentFault) else 2


@contextmanager
def _opened(url: str) -> Iterator[Store]:
    """The store of that address, for commands that only read."""
    store = open_store(url, create=False, readonly=True)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _looking(url: str) -> Iterator[Store]:
    with reported(_told), _opened(url) as store:
        yield store


@app.command()
def status(url: Url = TEAM, json: Json = False) -> None:
    """Agents, artifacts, copies and grants, waiting agents, and the ends of leases.

    An agent whose process has ended is not shown, even if its grants are still recorded.
    """
    with _looking(url) as store:
        found = {name: stored.row for name in store.names() if (stored := store.row(name))}
        members = store.members()
    there = {(member.agent, member.session) for member in members}
    rows = {name: HomeRow(present(row.state, there), row.timers) for name, row in found.items()}
    if json:
        homes = {name: _shown(row) for name, row in rows.items()}
        _print_json({"agents": members, "artifacts": homes})
        return
    agents = Table("agent", "session", "since", title="Agents")
    for member in members:
        agents.add_row(member.agent, str(member.session), when(member.since))
    artifacts = Table("artifact", "bytes", "state", "copies at", "grant", "waiting")
    artifacts.title = "Artifacts"
    for name, row in rows.items():
        home, shown = row.state, _shown(row)
        grant = f"{home.owner} until {when(row.timers[0][1])}" if home.owner and row.timers else ""
        artifacts.add_row(
            f"{name}@{home.version}",
            str(len(home.content)),
            str(home.at),
            " ".join(shown["sharers"]),
            grant or home.owner,
            " ".join(shown["queue"]),
        )
    console().print(agents, artifacts)


@app.command("log")
def log_(
    name: Annotated[str, typer.Argument(help="One artifact; all of them by default.")] = "",
    url: Url = TEAM,
    json: Json = False,
) -> None:
    """The versions that are kept, with author and time."""
    with _looking(url) as store:
        names = [check_name(name)] if name else store.names(deleted=True)
        found = [(each, entry) for each in names for entry in store.history(each)]
        if name and not found:
            raise UnknownArtifact(f"there is no artifact {name!r}")
    found.sort(key=lambda pair: (pair[1].at, pair[0], pair[1].version))
    if json:
        _print_json([{"ref": f"{each}@{entry.version}", "entry": entry} for each, entry in found])
        return
    for each, entry in found:
        what = "deleted" if entry.handle.kind is Kind.TOMBSTONE else f"{len(entry.handle)} bytes"
        pinned = "  pinned" if entry.pinned else ""
        ref = f"{each}@{entry.version}"
        typer.echo(f"{when(entry.at)}  {ref:30} {entry.author:16} {what}{pinned}")


@app.command()
def show(
    ref: Annotated[str, typer.Argument(help="plan.md, or plan.md@3.")], url: Url = TEAM
) -> None:
    """The content of an artifact, unchanged."""
    with _looking(url) as store:
        content = _read(store, ref)[1]
    sys.stdout.buffer.write(content.encode() if isinstance(content, str) else content)
    sys.stdout.flush()


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="Such as plan.md@3.")],
    new: Annotated[str, typer.Argument(help="The current version by default.")] = "",
    url: Url = TEAM,
) -> None:
    """The difference between two versions."""
    with _looking(url) as store:
        if not new and "@" not in old:
            raise BadRef(
                f"{old!r} names no version to begin with",
                remedy=f"diff {old}@1 compares version 1 with the current one, "
                f"diff {old}@1 {old}@2 two versions; `log {old}` lists them",
            )
        before, after = _read(store, old)[1], _read(store, new or old.rpartition("@")[0])[1]
        if not (isinstance(before, str) and isinstance(after, str)):
            raise BadRef("one of the two is not text")
    typer.echo(difference(before, after).render(before), nl=False)


@app.command()
def watch(
    pattern: Annotated[str, typer.Argument(help="Such as 'notes/*'.")] = "*",
    url: Url = TEAM,
    since: Annotated[int, typer.Option(help="From that line of the log on; -1: from now.")] = -1,
    count: Annotated[int, typer.Option(help="End after so many changes; 0: never.")] = 0,
    plain: Annotated[bool, typer.Option("--plain", help="Lines, on a terminal too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object on each line.")] = False,
) -> None:
    """Versions as they are published, until interrupted, in a live table.

    If the output is not a terminal, one line each.
    """
    style = Style.JSON if json else Style.PLAIN
    if not (json or plain) and console().is_terminal:
        style = Style.LIVE
    with reported(_told):
        # Not read-only: a process that wants notifications must register its port.  It blocks no
        # other.
        store = open_store(url, create=False)
        try:
            place = store.head() if since < 0 else Place(since)
            with shown(style, pattern) as show:
                for number, seen in enumerate(changes(store, place, pattern), 1):
                    show(seen)
                    if number == count:
                        return
        except KeyboardInterrupt:
            return
        finally:
            store.close()


@app.command()
def check(url: Url = TEAM) -> None:
    """Check every row against its invariants and every version against its hash."""
    names: list[str] = []
    with reported(_told):
        try:
            with _opened(url) as store:
                damage = list(archive_of(store).check())
                names = [] if damage else store.names(deleted=True)
        except StoreCorrupt as error:
            damage = [str(error)]
    for line in damage:
        typer.echo(line)
    if damage:
        raise typer.Exit(1)
    typer.echo(f"{len(names)} artifacts are in order.")


@app.command()
def export(
    folder: Path,
    url: Url = TEAM,
    pattern: Annotated[str, typer.Option(help="Only artifacts that match.")] = "*",
) -> None:
    """Write every artifact's current content to a file of its name.  Follows no symbolic link."""
    with _looking(url) as store:
        names = [name for name in store.names() if fnmatchcase(name, pattern)]
        written = write_files(folder, names, lambda name: _read(store, name)[1])
    typer.echo(f"{written} artifacts written to {folder}.")


@app.command("import")
def import_(
    folder: Path,
    url: Url = TEAM,
    agent: Annotated[str, typer.Option(help="The author of the versions.")] = "import",
) -> None:
    """Publish every file of a folder as an artifact of its name, where it differs."""
    with reported(_told):
        files = read_files(folder)
        published = 0
        with Workspace(url) as workspace, workspace.agent(agent) as author:
            for name, content in files.items():
                try:
                    if author.read(name).content == content:
                        continue
                except UnknownArtifact:
                    pass
                author.write(name, content)
                published += 1
    typer.echo(f"{published} of {len(files)} files published.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file of the backup, which is a store.")],
    url: Url = TEAM,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put FILE back into the store.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a FILE that is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before putting back.")] = False,
) -> None:
    """Write everything in the store to FILE, while others continue; or restore such a file.

    With --restore the store gets the content of the backup, and later versions are lost.  Running
    agents meet another history: they drop what they hold, join again, and their drafts are refused.
    No process has to be stopped.
    """
    with reported(_told):
        if restore:
            _put_back(file, url, yes)
            return
        with _opened(url) as store, _progress() as progress:
            back_up(store, file, force=force, progress=progress)
    typer.echo(f"Written to {file}: sqlite:///{file}")


def _put_back(file: Path, url: str, yes: bool) -> None:
    with unpacked(file) as found:
        made = f", made {when(found.made)}" if found.made else ""
        typer.echo(f"{file}: {found.artifacts} artifacts in {found.versions} versions{made}.")
        typer.echo(f"Everything else in {url} is lost, and running agents start again.")
        if not yes and not (console().is_terminal and typer.confirm("Put it back?")):
            raise BadArgument("nothing was restored", remedy="confirm with --yes")
        put_back(found, url)
    typer.echo(f"{url} is what it was.")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Shows the progress on a terminal."""
    shown = Console(stderr=True)
    if not shown.is_terminal:
        yield None
        return
    with Progress(console=shown, transient=True) as bar:
        task = bar.add_task("copying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@app.command()
def upgrade(url: Url = TEAM) -> None:
    """Upgrade a store of an older release, which older releases then can no longer open."""
    with reported(_told):
        open_store(url, create=False).close()
    typer.echo("The store is up to date.")


@app.command()
def gc(
    url: Url = TEAM,
    versions: Annotated[int, typer.Option(help="Keep so many of each artifact.", min=1)] = 64,
    age_s: Annotated[float, typer.Option(help="And none older than this; 0: any age.")] = 0.0,
) -> None:
    """Remove old versions and free their space.  Current and pinned versions are kept."""
    with reported(_told):
        store = open_store(url, Retention(versions, age_s or None), create=False)
        try:
            gone = archive_of(store).tidy()
        finally:
            store.close()
    typer.echo(f"{gone} versions removed.")


def _read(store: Store, ref: str) -> tuple[Entry, Content]:
    """The version that a ref of `show` or `diff` names, or the current one."""
    if "@" in ref:
        wanted = Ref.parse(ref)
        name, version = wanted.name, wanted.version
    else:
        name = check_name(ref)
        stored = store.row(name)
        if stored is None or not stored.row.exists:
            raise UnknownArtifact(f"there is no artifact {name!r}")
        version = stored.row.state.version
    found = store.read(name, version)
    if found is None:
        raise UnknownVersion(f"{name}@{version} is not kept")
    return found


def _shown(row: HomeRow) -> dict[str, list[str]]:
    home = row.state
    return {
        "version": [str(home.version)],
        "state": [str(home.at)],
        "sharers": [sharer.cache for sharer in home.sharers],
        "owner": [home.owner] if home.owner else [],
        "queue": [waiter.cache for waiter in home.queue],
    }


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
