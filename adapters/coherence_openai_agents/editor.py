"""The editor behind `ApplyPatchTool`, and tools to list and read what it patches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import agents
from agents import ApplyPatchOperation, ApplyPatchResult, RunContextWrapper

from coherence import BadArgument, Conflict, Workspace
from coherence.context.desk import Desk
from coherence.context.files import Files
from coherence.context.values import name_of_path, path_of
from coherence.workspace.threads import TaskThreads
from coherence.workspace.workspace import site_of
from message_passing.errors import ToolkitError

Work = Callable[[str, ApplyPatchOperation], object]


class Misfit(BadArgument):
    """A patch has lines that are not in the text."""

    remedy = "read the file, and make the patch again"


class CoherentEditor:
    """Patches files of a workspace as one agent, in one conversation: an `ApplyPatchEditor`.

    A patch is made on the current text, whatever others change elsewhere in it.  If others have
    changed its lines since the agent saw them, it is refused with the changes of both sides.  A
    failure is a result for the model.  The constructor raises `BadArgument`, `InvalidName`,
    `WorkspaceClosed`.
    """

    def __init__(self, workspace: Workspace, agent: str) -> None:
        #: What the agent has seen: ``files.forget()`` when its conversation is compacted.
        self.files = Files(Desk(workspace, agent))
        self._threads = TaskThreads(blocks=site_of(workspace).store.shared)

    def tools(self) -> list[agents.Tool]:
        """For ``Agent(tools=...)``: list files, read a file, patch files."""
        files = self.files

        async def list_files(run: RunContextWrapper[Any]) -> str:
            """List the shared files."""
            return (await self._call(run, "/", lambda: "\n".join(map(path_of, files.names()))))[1]

        async def read_file(run: RunContextWrapper[Any], path: str) -> str:
            """Read a shared file."""
            return (await self._call(run, path, lambda: files.read(name_of_path(path)).text))[1]

        tool = agents.function_tool
        return [tool(list_files), tool(read_file), agents.ApplyPatchTool(self)]

    async def create_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        return await self._edit(operation, self._create)

    async def update_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        return await self._edit(operation, self._update)

    async def delete_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        return await self._edit(operation, lambda name, _: self.files.delete(name))

    def _create(self, name: str, operation: ApplyPatchOperation) -> object:
        return self.files.create(name, _applied("", operation.diff or "", mode="create"))

    def _update(self, name: str, operation: ApplyPatchOperation) -> object:
        diff, seen = operation.diff or "", self.files.seen(name)
        to = name_of_path(operation.move_to) if operation.move_to else None

        def change(text: str) -> str:
            made = _applied(text, diff)
            # The SDK also finds lines that differ in the spaces around them.
            named = Counter(line[1:] for line in _lines(diff) if line.startswith("-"))
            if text != seen and Counter(_lines(text)) - Counter(_lines(made)) - named:
                raise Misfit("the patch fits only if spaces are ignored")
            return made

        try:
            return self.files.move(name, to, change) if to else self.files.replace(name, change)
        except Misfit:
            if not isinstance(seen, str):
                raise
            # It fits what its author has seen: this is refused with the changes of both sides.
            ref = self.files.write(name, change(seen))
            return self.files.move(name, to) if to else ref

    async def _edit(self, operation: ApplyPatchOperation, work: Work) -> ApplyPatchResult:
        context, path = operation.ctx_wrapper, operation.path
        done, said = await self._call(context, path, lambda: work(name_of_path(path), operation))
        return ApplyPatchResult("completed" if done else "failed", "done" if done else said)

    async def _call(self, context: Any, path: str, work: Callable[[], object]) -> tuple[bool, str]:
        turn = context and context.usage.requests and (id(context.usage), context.usage.requests)

        def call() -> tuple[bool, str]:
            with self.files.desk.busy:
                self.files.turn(turn or None)
                try:
                    return True, str(work())
                except ToolkitError as error:
                    of = path_of(error.current.name) if isinstance(error, Conflict) else path
                    return False, self.files.refusal(error, of)

        return await self._threads.run(call)


def _applied(text: str, diff: str, **mode: Any) -> str:
    try:
        return str(agents.apply_diff(text, diff, **mode))
    except ValueError as error:
        raise Misfit(f"the patch does not fit: {error}") from error


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")
