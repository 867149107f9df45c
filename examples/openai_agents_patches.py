"""Two agents of the OpenAI Agents SDK patch the same files: with its own editor, then coherently.

    pip install 'openai-agents>=0.20,<0.25'
    python examples/openai_agents_patches.py

The patches are what two models would send, so there is neither a model nor a key.  With the editor
of the SDK's sandbox two works of the first agent are lost in silence: a line that it has indented,
since a patch also finds lines that differ in the spaces around them, and a file that it has made
under the name that the second one gives to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import needs

needs.packages("openai-agents")

from agents import ApplyPatchOperation, ApplyPatchResult
from agents.sandbox.apply_patch import WorkspaceEditor
from agents.sandbox.sandboxes.unix_local import UnixLocalSandboxClient

from coherence import Workspace
from coherence_openai_agents import CoherentEditor

Apply = Callable[[ApplyPatchOperation], Awaitable[ApplyPatchResult]]

BEGIN = ApplyPatchOperation("create_file", "config.yaml", "+server:\n+client:\n+retries: 3\n+\n")
FIRST = [
    ApplyPatchOperation("update_file", "config.yaml", "@@\n-retries: 3\n+  retries: 3\n"),
    ApplyPatchOperation("create_file", "client.yaml", "+# An hour of work\n+\n"),
]
#: From what the second agent has seen before.
SECOND = [
    ApplyPatchOperation("update_file", "config.yaml", "@@\n-retries: 3\n+retries: 5\n"),
    ApplyPatchOperation("update_file", "config.yaml", "@@\n-server:\n", move_to="client.yaml"),
]


async def send(apply: Apply) -> None:
    """Send the patches of the second agent, and print the answers."""
    for operation in SECOND:
        result = await apply(operation)
        print(f"-> {result.output or 'done'}")


async def stock() -> None:
    """The SDK's editor, in a sandbox that both agents share."""
    async with await UnixLocalSandboxClient().create() as session:
        editor = WorkspaceEditor(session)
        for operation in (BEGIN, *FIRST):
            await editor.apply_operation(operation)
        await send(editor.apply_operation)
        with await session.read(session.normalize_path("client.yaml")) as file:
            print(file.read().decode())


async def coherent() -> None:
    """The same patches, in a workspace."""
    with Workspace("memory://") as workspace:  # or "sqlite:///team.db", across processes
        first, second = CoherentEditor(workspace, "first"), CoherentEditor(workspace, "second")

        async def apply(editor: CoherentEditor, operation: ApplyPatchOperation) -> ApplyPatchResult:
            if operation.type == "create_file":
                return await editor.create_file(operation)
            return await editor.update_file(operation)

        await apply(first, BEGIN)
        second.files.read("config.yaml")  # as its tool read_file does
        for operation in FIRST:
            await apply(first, operation)
        await send(lambda operation: apply(second, operation))
        for name in workspace.names():
            print(f"{name}:\n{workspace.agent('reader').read(name).text}")


if __name__ == "__main__":
    print("The SDK's editor:")
    asyncio.run(stock())
    print("CoherentEditor:")
    asyncio.run(coherent())
