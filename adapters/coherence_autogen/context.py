"""An agent's model context: its messages without superseded texts, and with news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autogen_core import EVENT_LOGGER_NAME, memory
from autogen_core.model_context import ChatCompletionContext, UnboundedChatCompletionContext
from autogen_core.models import AssistantMessage, LLMMessage, UserMessage

from coherence import Ref, Served, View, Workspace
from coherence.context.answers import told
from coherence.context.before_call import called, inform_task, informer
from coherence.context.desk import AsyncDesk
from coherence.context.events import Event, to_log
from coherence.context.evidence import survey
from coherence.context.frameworks import expect
from coherence.context.informing import DEFAULT, LIST_RATES, OnChange, Prompt
from coherence.context.prompts import of_passages
from coherence.context.proven import Bases
from coherence.context.recording import record
from coherence.context.telling import Rates, Saying
from coherence_autogen.prompt import rewritten, said

_log = to_log(EVENT_LOGGER_NAME)


def tell(event: Event) -> None:
    """Tell AutoGen's log of events, and the recordings of this process."""
    record(event)
    _log(event)


class CoherentModelContext(ChatCompletionContext):
    """The model context of the workspace's agent `agent`.

    `inner` keeps the messages, and may trim them.  A trimmed text no longer counts as held: it is
    read in full again.  Before each model call a last message is about the artifacts that have
    changed since; `on_change` chooses what it says and whether it stays, and `rates` are those of
    ``adaptive``: see `coherence.context.informing`.  With `drop_superseded` one line replaces older
    copies of a text: each new copy then invalidates the tail of a prompt cache once.  Raises
    `BadArgument`, `InvalidName`, `WorkspaceClosed`.
    """

    def __init__(
        self,
        workspace: Workspace,
        agent: str,
        inner: ChatCompletionContext | None = None,
        *,
        drop_superseded: bool = True,
        on_change: OnChange = DEFAULT,
        rates: Rates = LIST_RATES,
    ) -> None:
        super().__init__()
        self._informer = informer(on_change, rates)
        self.desk, self._drop = AsyncDesk(workspace, agent), drop_superseded
        kind: Any = ChatCompletionContext
        kept = UnboundedChatCompletionContext() if inner is None else inner
        self.inner: ChatCompletionContext = expect(kept, kind, "a model context of AutoGen, inside")
        #: What the last prompt showed beside the context.
        self._seen: Mapping[str, Ref] = {}

    async def held(self) -> dict[str, Ref]:
        """Artifact -> the newest version that the context holds whole."""
        return survey(said(await self.inner.get_messages()), self.desk.identity)[0]

    async def bases(self) -> dict[str, Bases]:
        """Artifact -> what a model's text may derive from."""
        prompt = self._prompt(await self.inner.get_messages())
        asked = {each.ref.name: each.ref for each in prompt.heard if each.said is Saying.NOTHING}
        seen = {name: (ref, None) for name, ref in self._seen.items()}
        return {name: (ref, asked.get(name)) for name, ref in prompt.held.items()} | seen

    async def get_messages(self) -> list[LLMMessage]:
        messages = await self.inner.get_messages()
        prompt = self._prompt(messages)
        news = await inform_task(self.desk, self._informer, prompt, tell)
        last = [UserMessage(content=news.text, source="artifacts")] if news.text else []
        # An answer must follow its call: what is asked for in between is not a prompt.
        if last and news.stays and not _is_called(messages):
            await self.inner.add_message(last.pop())
            messages = await self.inner.get_messages()
            prompt = self._prompt(messages)
        self._seen = {} if news.stays else news.seen
        called(self.desk, prompt, self._informer, tell)
        notes = survey(said(messages), self.desk.identity, drop=self._drop)[1]
        return [*rewritten(messages, notes), *last]

    def _prompt(self, messages: Sequence[LLMMessage]) -> Prompt:
        return of_passages("", list(said(messages)), self.desk.identity)

    async def add_message(self, message: LLMMessage) -> None:
        await self.inner.add_message(message)

    async def clear(self) -> None:
        await self.inner.clear()

    async def save_state(self) -> Mapping[str, Any]:
        return await self.inner.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        await self.inner.load_state(state)


class ArtifactMemory(memory.Memory):
    """Brings missing artifacts under `prefix` into the context before each turn.

    For agents that are built around a memory.  It can only add messages, which stay, so prefer
    `CoherentModelContext`.
    """

    def __init__(self, workspace: Workspace, agent: str, prefix: str = "") -> None:
        self._desk, self._prefix = AsyncDesk(workspace, agent), prefix

    async def update_context(self, model_context: ChatCompletionContext) -> Any:
        held, _ = survey(said(await model_context.get_messages()), self._desk.identity)
        async with self._desk.agent() as agent:
            names = await agent.list(self._prefix)
            views = [await agent.read(name, held.get(name)) for name in names]
        news = [view for view in views if view.served is not Served.UNCHANGED]
        for text in [told(agent, view, tell) for view in news]:
            await model_context.add_message(UserMessage(content=text, source="artifacts"))
        return memory.UpdateContextResult(memories=_result(*news))

    async def query(self, query: Any, *_: Any, **__: Any) -> memory.MemoryQueryResult:
        """The artifact that `query` names.  Raises `UnknownArtifact`."""
        async with self._desk.agent() as agent:
            return _result(await agent.read(str(getattr(query, "content", query))))

    async def add(self, content: memory.MemoryContent, *_: Any, **__: Any) -> None:
        """Write the artifact ``metadata["name"]``, derived from ``metadata["base"]``.

        Without a base it derives from what this agent last read.  Raises as `Agent.write` does.
        """
        given, text = content.metadata or {}, content.content
        async with self._desk.agent() as agent:
            await agent.write(given.get("name", ""), text, expect=given.get("base"))  # type: ignore[arg-type]

    async def clear(self) -> None:
        """Do nothing: the artifacts belong to the team."""

    async def close(self) -> None:
        """The agent may leave; the owner closes the workspace."""
        self._desk.rest()


def _is_called(messages: Sequence[LLMMessage]) -> bool:
    """Whether the last message calls tools, and is not answered."""
    last = messages[-1] if messages else None
    return isinstance(last, AssistantMessage) and not isinstance(last.content, str)


def _result(*views: View) -> memory.MemoryQueryResult:
    kind, made = memory.MemoryMimeType.TEXT, memory.MemoryContent
    results = [
        made(content=view.for_prompt(), mime_type=kind, metadata={"ref": str(view.ref)})
        for view in views
    ]
    return memory.MemoryQueryResult(results=results)
