"""What the commands of a workspace share: options, opening a store, and the report of errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from coherence.contents import Content
from coherence.errors import BadUrl, StoreMissing, UnknownArtifact, UnknownVersion
from coherence.refs import Ref, check_name
from coherence.stores.opening import open_store
from coherence.stores.port import Entry, Store
from message_passing import console
from message_passing.console import reported
from message_passing.errors import ToolkitError

Url = Annotated[
    str,
    typer.Option(
        "--store", "-s", envvar="COHERENCE_STORE", help="sqlite:///FILE or postgresql://..."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, by names.")]
TEAM: Final = "sqlite:///team.db"

#: Remedies that name commands, for errors whose own remedy names calls.
_REMEDIES: Final[dict[type[ToolkitError], str]] = {
    UnknownArtifact: "`status` lists those that exist, `log` also those that were deleted",
    UnknownVersion: "`log NAME` lists the versions that are kept",
    BadUrl: "--store or COHERENCE_STORE names it, such as sqlite:///folder/team.db",
}


def told(error: ToolkitError | OSError) -> tuple[str, int]:
    """`error` as one line that names commands, and the exit code."""
    if isinstance(error, ToolkitError) and "remedy" not in vars(error):
        error.remedy = _REMEDIES.get(type(error), error.remedy)
    if isinstance(error, StoreMissing):
        error.remedy += "; --store or COHERENCE_STORE names the store"
    return console.told(error)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The store of that address, for commands that only read."""
    store = open_store(url, create=False, readonly=True)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def looking(url: str) -> Iterator[Store]:
    """As `opened`, and errors end the command."""
    with reported(told), opened(url) as store:
        yield store


def read(store: Store, ref: str) -> tuple[str, Entry, Content]:
    """The artifact and the version that a ref names, or the current version.

    Raises `UnknownArtifact`, `UnknownVersion`, `BadRef`.
    """
    if "@" in ref:
        wanted = Ref.parse(ref)
        name, version = wanted.name, wanted.version
    else:
        name = check_name(ref)
        stored = store.row(name)
        if stored is None or not stored.row.exists:
            raise UnknownArtifact.named(name)
        version = stored.row.state.version
    found = store.read(name, version)
    if found is None:
        raise UnknownVersion(f"{name}@{version} is not kept")
    return name, *found
