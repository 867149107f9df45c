"""The files of one caller as a store of Agent Framework."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from agent_framework import AgentFileStore, FileStoreEntry

from coherence.conflict import Conflict
from coherence.context.files import Files
from coherence.context.values import item_of, name_of_path, prefix_of_path
from coherence.errors import UnknownArtifact
from coherence.view import View
from coherence.workspace.threads import TaskThreads
from message_passing.errors import ToolkitError

T = TypeVar("T")


class Draft:
    """The text that the running tool changes."""

    def __init__(self, text: str) -> None:
        self.before, self.after = text, text


#: What the running tool has read for the model, or changes; None for a tool that searches.
RUNNING: ContextVar[list[View] | Draft | None] = ContextVar("coherence-running", default=None)


class CoherentFileStore(AgentFileStore):
    """What the caller of `files` may read and write, below the artifacts' folder `folder`.

    A read shows nothing to the caller, since a search reads too: `CoherentFileAccess` knows which
    tool has read for the model.  A write of a file that the caller has not seen whole is refused.
    Refusals are `ValueError`, whose text the tools pass on to the model.
    """

    def __init__(self, files: Files, folder: str, threads: TaskThreads) -> None:
        self.files, self._folder, self._threads = files, prefix_of_path(folder), threads

    async def run(self, work: Callable[..., T], *given: object) -> T:
        """Call `work`, which may wait for a disk or for another agent."""
        return await self._threads.in_thread(work, *given)

    async def call(self, path: str, work: Callable[..., T], *given: object) -> T:
        """Call `work` for the artifact of `path`.

        Raises `FileNotFoundError`, and `ValueError` for other refusals.
        """
        try:
            name = self._folder + name_of_path(path.strip().replace("\\", "/"))
            return await self.run(work, name, *given)
        except UnknownArtifact as error:
            raise FileNotFoundError(path) from error
        except ToolkitError as error:
            raise ValueError(await self.run(self.files.refusal, error, path)) from error

    async def write(self, path: str, content: str, *, overwrite: bool = True) -> None:
        """Write the whole file; without `overwrite` it must be new."""
        if isinstance(draft := RUNNING.get(), Draft):
            draft.after = content
            return
        try:
            await self.call(path, self.files.write if overwrite else self.files.create, content)
        except ValueError as error:
            if not overwrite and isinstance(error.__cause__, Conflict):
                raise FileExistsError(path) from error
            raise

    async def read(self, path: str) -> str | None:
        """The current text, or None if the file does not exist."""
        running = RUNNING.get()
        if isinstance(running, Draft):
            return running.before
        try:
            view = await self.call(path, self.files.look)
        except FileNotFoundError:
            if running is not None:
                await self.call(path, self.files.absent)
            return None
        if not isinstance(view.content, str):
            raise ValueError(f"{path} holds bytes")
        if running is not None:
            running.append(view)
        return view.content

    async def delete(self, path: str) -> bool:
        """Delete the file; if the caller has seen it, only the version that it has seen."""
        try:
            await self.call(path, self.files.delete)
        except FileNotFoundError:
            return False
        return True

    async def list_children(self, directory: str = "") -> list[FileStoreEntry]:
        """The folders below `directory`, then its files."""
        try:
            at = self._folder + prefix_of_path(directory.strip().replace("\\", "/"))
            rest = [item_of(name[len(at) :]) for name in await self.run(self.files.names, at)]
        except ToolkitError as error:
            raise ValueError(str(error)) from error
        folders = sorted({labels[0] for labels, _ in rest if labels})
        return [FileStoreEntry(each, FileStoreEntry.DIRECTORY) for each in folders] + [
            FileStoreEntry(key, FileStoreEntry.FILE) for labels, key in rest if not labels
        ]

    async def file_exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return await self.call(path, lambda name: name in self.files.names(name))

    async def create_directory(self, path: str) -> None:
        """Nothing to do: folders are what names begin with."""
