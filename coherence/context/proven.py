"""The calls of a model whose context proves the version that it has: read, write, edit, publish.

The calls are those of `calls`, for tasks, but without claims of the model about its version or its
base: its messages prove them, see `evidence`.  Signatures and docstrings are the prompt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Annotated, TypeAlias

from coherence.conflict import Conflict
from coherence.context.answers import replacing, told
from coherence.context.desk import AsyncDesk
from coherence.context.events import Tell, was_published, was_refused
from coherence.context.evidence import shown, written
from coherence.context.many import Outdated, Piece, Publication, publish_task
from coherence.context.reader import harmless
from coherence.delta import keeps
from coherence.errors import BadArgument, UnknownArtifact, UnknownVersion
from coherence.refs import Ref
from coherence.view import View
from coherence.workspace.agent import account_of
from coherence.workspace.aio import AsyncAgent
from message_passing.errors import CallerError

Name = Annotated[str, "The artifact's name, such as plan.md"]
Whole = Annotated[bool, "All of it, even if you have it"]
Text = Annotated[str, "The whole new text"]
Anew = Annotated[bool, "There is no such artifact, or not any more"]
Old = Annotated[str, "A passage that occurs exactly once"]
New = Annotated[str, "What replaces it"]
Pieces = Annotated[list[Piece], "The artifacts, each with its whole text"]
Rests = Annotated[list[str] | None, "Names of what they rest on; if left out, all that you have"]
Prefix = Annotated[str, "How names begin"]


Bases: TypeAlias = tuple[Ref, Ref | None]
"""The version that a prompt shows, and the one that the agent last asked for or wrote."""


class ProvenCalls:
    """The calls of a model.  `held` returns the versions in its context: artifact -> version.

    `bases` returns what a text may derive from: the version that the prompt showed, which need not
    stay in the context, and the one that the agent last asked for or wrote.  A text that was told
    of a version unasked derives from it only if it keeps what was told: else a model that does not
    heed its prompt would undo the change.  `tell` is called with the events.  Every call raises as
    `Agent` does, with texts that a model can act on.
    """

    def __init__(
        self,
        desk: AsyncDesk,
        held: Callable[[], Awaitable[Mapping[str, Ref]]],
        bases: Callable[[], Awaitable[Mapping[str, Bases]]],
        tell: Tell = lambda event: None,
    ) -> None:
        self._desk, self._held, self._bases, self._tell = desk, held, bases, tell

    def __iter__(self) -> Iterator[Callable[..., Awaitable[str]]]:
        yield from (self.read_artifact, self.write_artifact, self.edit_artifact)
        yield from (self.publish_many, self.list_artifacts)

    async def read_artifact(self, name: Name, whole: Whole = False) -> str:
        """Read a shared artifact: its text, or what has changed since the text you have."""
        async with self._desk.agent() as agent:
            having = None if whole else await self._having(name)
            return told(agent, await _read(agent, name, having), self._tell)

    async def write_artifact(self, name: Name, text: Text, new: Anew = False) -> str:
        """Write a shared artifact. Refused if others have changed it since the text you have."""
        async with self._desk.agent() as agent:
            having = await self._having(name)
            seen, asked = (await self._bases()).get(name, (None, None))
            if seen and asked and not new and not await _keeps(agent, asked, seen, text):
                having = seen = asked
            base = seen if seen is not None and not new else 0
            try:
                ref = await agent.write(name, text, expect=base, merge=harmless)
            except Conflict as conflict:
                self._tell(was_refused(conflict, agent.name))
                late, unread = f"{conflict.author} was faster", "you had not read what is there"
                why = f"Nothing was written: {late if seen else unread}. Write both as one."
                account_of(agent).told(name, why)
                now = told(agent, await _read(agent, name, having), self._tell)
                raise CallerError(f"{why}\n{now}") from conflict
            self._tell(was_published(ref, text, agent.name))
            account_of(agent).told(name, said := written(ref, text))
            return said

    async def edit_artifact(self, name: Name, old: Old, new: New) -> str:
        """Replace one passage of a shared artifact, whatever others change elsewhere in it."""
        async with self._desk.agent() as agent:
            having = await self._having(name)
            unseen = await _read(agent, name, having)
            shown(unseen)  # refuses an unanswerable call; no model sees the answer
            account_of(agent).unseen(unseen)
            made = await agent.update(name, replacing(name, old, new))
            self._tell(was_published(made.ref, made.content, agent.name))
            if having:
                return told(agent, await _read(agent, name, having), self._tell)
            account_of(agent).told(name, said := f"{made.ref} is written")
            return said

    async def publish_many(self, artifacts: Pieces, reads: Rests = None) -> str:
        """Write several artifacts as one: all or none. Refused if others changed what you have."""
        async with self._desk.agent() as agent:
            known = await self._bases()
            bases = {}
            for piece in artifacts:
                seen, asked = known.get(piece.name, (None, None))
                if seen and asked and not await _keeps(agent, asked, seen, piece.text):
                    seen = asked
                if seen:
                    bases[piece.name] = seen
            if reads is not None and (unread := [name for name in reads if name not in known]):
                raise BadArgument(f"you have not read {', '.join(unread)}", remedy="read it first")
            rests = [known[name][0] for name in (known if reads is None else reads)]
            work = Publication(artifacts, bases, rests)
            try:
                refs = await publish_task(agent, work)
            except Outdated as error:
                for unwritten in error.moved:
                    self._tell(was_refused(unwritten, agent.name))
                why = error.text(lambda view: told(agent, view, self._tell))
                error.args = (why,)
                raise
            for name, ref in refs.items():
                self._tell(was_published(ref, work.texts[name], agent.name))
            said = [written(ref, work.texts[name]) for name, ref in refs.items()]
            for name, passage in zip(refs, said, strict=True):
                account_of(agent).told(name, passage)
            return "\n".join(said)

    async def list_artifacts(self, prefix: Prefix = "") -> str:
        """List the names of the shared artifacts."""
        async with self._desk.agent() as agent:
            return "\n".join(await agent.list(prefix)) or "There are no artifacts."

    async def _having(self, name: str) -> Ref | None:
        return (await self._held()).get(name)


async def _keeps(agent: AsyncAgent, asked: Ref, seen: Ref, text: str) -> bool:
    """Whether `text` keeps what was told between the two versions."""
    if asked.version >= seen.version:
        return True
    try:
        views = [await agent.read(ref.name, version=ref.version) for ref in (asked, seen)]
    except (UnknownArtifact, UnknownVersion):
        return False
    for view in views:
        account_of(agent).unseen(view)
    return keeps(views[0].text, views[1].text, text)


async def _read(agent: AsyncAgent, name: str, having: Ref | None) -> View:
    try:
        return await agent.read(name, having)
    except UnknownArtifact as error:
        error.remedy = "list_artifacts has all names; to create it (again), write it with new=true"
        raise
