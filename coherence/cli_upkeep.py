"""The commands that maintain a store: check, export, import, backup, upgrade, gc."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from coherence.cli_folder import read_files, write_files
from coherence.cli_options import TEAM, Url, looking, opened, read, told
from coherence.cli_text import console, when
from coherence.errors import BadArgument, StoreCorrupt, UnknownArtifact
from coherence.stores.archive import archive_of
from coherence.stores.backup import back_up, unpacked
from coherence.stores.opening import open_store, put_back
from coherence.stores.port import Retention
from coherence.workspace.workspace import Workspace
from message_passing.console import reported, say


def check(url: Url = TEAM) -> None:
    """Check every row and the hash of every version."""
    names: list[str] = []
    with reported(told):
        try:
            with opened(url) as store:
                damage = list(archive_of(store).check())
                names = [] if damage else store.names(deleted=True)
        except StoreCorrupt as error:
            damage = [str(error)]
    for line in damage:
        say(line)
    if damage:
        raise typer.Exit(1)
    say(f"{len(names)} artifacts are in order.")


def export(
    folder: Path,
    url: Url = TEAM,
    pattern: Annotated[str, typer.Option(help="Only artifacts that match.")] = "*",
) -> None:
    """Write each artifact to a file of its name.

    No symbolic link is followed.
    """
    with looking(url) as store:
        names = [name for name in store.names() if fnmatchcase(name, pattern)]
        written = write_files(folder, names, lambda name: read(store, name)[2])
    say(f"{written} artifacts written to {folder}.")


def import_(
    folder: Path,
    url: Url = TEAM,
    agent: Annotated[str, typer.Option(help="The author of the versions.")] = "import",
) -> None:
    """Publish each file of a folder as an artifact, where it differs."""
    with reported(told):
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
    say(f"{published} of {len(files)} files published.")


def backup(
    file: Annotated[Path, typer.Argument(help="The file of the backup, which is a store.")],
    url: Url = TEAM,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put FILE back into the store.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a FILE that is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before putting back.")] = False,
) -> None:
    """Copy the store to FILE while others continue, or put FILE back.

    With --restore the store gets the content of the backup, and later versions are lost.  Running
    agents meet another history: they drop what they hold, join again, and their drafts are refused.
    No process has to be stopped.
    """
    with reported(told):
        if restore:
            _put_back(file, url, yes)
            return
        with opened(url) as store, _progress() as progress:
            back_up(store, file, force=force, progress=progress)
    say(f"Written to {file}: sqlite:///{file}")


def _put_back(file: Path, url: str, yes: bool) -> None:
    with unpacked(file) as found:
        made = f", made {when(found.made)}" if found.made else ""
        say(f"{file}: {found.artifacts} artifacts in {found.versions} versions{made}.")
        say("Everything else in the store is lost, and running agents start again.")
        if not yes and not (console().is_terminal and typer.confirm("Put it back?")):
            raise BadArgument("nothing was restored", remedy="confirm with --yes")
        put_back(found, url)
    say("The store is what it was.")


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


def upgrade(url: Url = TEAM) -> None:
    """Upgrade a store of an older release.

    Older releases can then no longer open it.
    """
    with reported(told):
        open_store(url, create=False).close()
    say("The store is up to date.")


def gc(
    url: Url = TEAM,
    versions: Annotated[int, typer.Option(help="Keep so many of each artifact.", min=1)] = 64,
    age_s: Annotated[float, typer.Option(help="And none older than this; 0: any age.")] = 0.0,
) -> None:
    """Remove old versions and free their space.

    Current and pinned versions are kept.
    """
    with reported(told):
        store = open_store(url, Retention(versions, age_s or None), create=False)
        try:
            gone = archive_of(store).tidy()
        finally:
            store.close()
    say(f"{gone} versions removed.")
