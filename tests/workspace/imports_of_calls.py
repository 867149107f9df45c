"""Every kind of call on one store: ``imports_of_calls.py URL``.

Prints the thread and the module of each import within a call.
"""

import asyncio
import sys
import threading
from contextlib import suppress

from coherence import AsyncWorkspace, Conflict, Workspace

URL = sys.argv[1]
TEXT = "1\n\n\n4\n"


def note(event: str, given: tuple) -> None:
    if event == "import" and calling:
        sys.stdout.write(f"{threading.current_thread().name} {given[0]}\n")


def calls(here: Workspace, there: Workspace) -> None:
    ann, bob = here.agent("ann"), there.agent("bob")
    have = ann.write("a/doc", TEXT)
    bob.read("a/doc")
    with ann.edit("a/doc") as draft:
        draft.text += "5\n"
    bob.read("a/doc", have)
    bob.update("a/doc", lambda text: "0\n" + text)
    with suppress(Conflict):
        ann.write("a/doc", TEXT)
    ann.write("a/doc", TEXT.replace("1\n\n\n", "1\n\n3\n"), expect=have, merge=True)
    ann.write("b", b"\xff")
    ann.rename("b", "c")
    ann.delete("c")
    bob.snapshot(prefix="a/")
    with ann.transaction() as tx:
        tx.read("a/doc")
        tx.write("d", "1")
    bob.transact(lambda tx: tx.write("d", "2", overwrite=True))
    bob.check(have)
    bob.list(), bob.history("a/doc"), bob.read("a/doc", version=1)
    for _ in bob.watch(since=0, timeout_s=0.01):
        pass
    here.stats()
    here.check()
    there.agent("ann").write("a/doc", TEXT, overwrite=True)  # another process supersedes her
    ann.leave()
    bob.leave()


async def tasks(here: AsyncWorkspace) -> None:
    ann, bob = await here.agent("ann"), await here.agent("bob")
    await ann.read("a/doc")
    async with bob.edit("a/doc") as draft:
        draft.text += "."
    await ann.update("a/doc", lambda text: text + "!")
    await ann.leave()
    await bob.leave()


async def main() -> None:
    global calling
    with Workspace(URL) as here, Workspace(URL) as there:
        calling = True
        calls(here, there)
        calling = False
    async with AsyncWorkspace(URL) as opened:
        await asyncio.to_thread(int)
        calling = True
        await tasks(opened)
        calling = False


calling = False
sys.addaudithook(note)
asyncio.run(main())
