"""Before each call of a model: reads what has changed, and tells the agent as its builder chose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from coherence.contents import Kind
from coherence.context import notices
from coherence.context.answers import beside
from coherence.context.desk import AsyncDesk, Desk
from coherence.context.events import Tell, was_called, was_signalled, was_told
from coherence.context.informing import Ask, Informer, News, OnChange, Prompt
from coherence.context.telling import Rates
from coherence.errors import UnknownArtifact, UnknownVersion
from coherence.refs import Ref
from coherence.runtime.token_counts import TokenCounts
from coherence.view import View
from coherence.workspace.agent import BaseAgent, account_of
from coherence.workspace.workspace import Workspace


class Closed(NamedTuple):
    """The messages of a prompt with its news at the end."""

    messages: list[Any]
    #: Those of them that stay in the conversation, before the answer.
    stays: list[Any]
    #: Artifact -> the version that the prompt holds whole, and that stays.
    held: Mapping[str, Ref]
    #: The same, with what is shown in this prompt alone.
    seen: Mapping[str, Ref]


def informer(on_change: OnChange, rates: Rates) -> Informer:
    """An informer that counts tokens as a workspace does.  Raises `BadArgument`."""
    counts, busy = TokenCounts(monotonic), threading.Lock()

    def tokens(text: str) -> int:
        with busy:
            counts.begin()
            return counts.repeated(text)[0]

    return Informer(tokens, on_change, rates)


def inform(desk: Desk, informer: Informer, prompt: Prompt, tell: Tell) -> News:
    """What the next prompt of the agent at `desk` gains; it is counted, and `tell` is told.

    Raises as `Agent.read` does, but not for an artifact that is deleted, or holds bytes.
    """
    informer.begin(prompt)
    lines = changed(desk.workspace, prompt.shown)
    views: dict[Ask, View] = {}
    news = News()
    if lines:
        asks = informer.asks(prompt, lines)
        if asks:
            with desk.agent() as agent:
                for name, have in asks:
                    try:
                        views[name, have] = agent.read(name, have)
                    except (UnknownArtifact, UnknownVersion):
                        continue
                news = _counted(agent, informer, prompt, lines, views)
        else:
            news = informer.news(prompt, lines, {})
    _told(desk, news, tell)
    return news


def closed(
    desk: Desk,
    informer: Informer,
    prompt_of: Callable[[Sequence[Any]], Prompt],
    messages: Sequence[Any],
    message: Callable[[str], Any],
    tell: Tell,
) -> Closed:
    """The messages of the next prompt of the agent at `desk`; `message` makes one of the news.

    Raises as `inform` does.
    """
    prompt = prompt_of(messages)
    news = inform(desk, informer, prompt, tell)
    last = [message(news.text)] if news.text else []
    whole, stays = [*messages, *last], last if news.stays else []
    if stays:
        prompt = prompt_of(whole)
    called(desk, prompt, informer, tell)
    return Closed(whole, stays, prompt.held, {**prompt.held, **news.seen})


async def inform_task(desk: AsyncDesk, informer: Informer, prompt: Prompt, tell: Tell) -> News:
    """As `inform`, for a task of an event loop."""
    informer.begin(prompt)
    lines = await desk.run(changed, prompt.shown)
    views: dict[Ask, View] = {}
    news = News()
    if lines:
        asks = informer.asks(prompt, lines)
        if asks:
            async with desk.agent() as agent:
                for name, have in asks:
                    try:
                        views[name, have] = await agent.read(name, have)
                    except (UnknownArtifact, UnknownVersion):
                        continue
                news = _counted(agent, informer, prompt, lines, views)
        else:
            news = informer.news(prompt, lines, {})
    _told(desk, news, tell)
    return news


def called(desk: Desk | AsyncDesk, prompt: Prompt, informer: Informer, tell: Tell) -> None:
    """Tell that the model is called with `prompt`."""
    tokens = sum(map(informer.tokens, prompt.texts))
    tell(was_called(prompt.held.values(), desk.name, tokens))


def changed(workspace: Workspace, shown: Mapping[str, Ref]) -> dict[str, str]:
    """Artifact -> the line that its version in `shown` is outdated, for each that is.

    Raises `WorkspaceClosed`, `StoreFault`.
    """
    return {name: line for name, ref in shown.items() if (line := _line(workspace, ref))}


def _line(workspace: Workspace, ref: Ref) -> str:
    there = workspace.row(ref.name)
    if there is None or there.row.state.version < ref.version:
        return ""
    version, handle = there.row.state.version, there.row.state.content
    # A store that went back in time counts versions a second time.
    if version == ref.version and not (handle and _differ(handle.digest, ref.digest)):
        return ""
    last = workspace.history(ref.name, version)[-1]
    return notices.outdated(ref, last.author, deleted=last.handle.kind is Kind.TOMBSTONE)


def _differ(there: bytes, here: bytes) -> bool:
    """Whether these are digests of two contents; an empty one proves nothing."""
    return bool(there and here) and there != here


def _counted(
    agent: BaseAgent,
    informer: Informer,
    prompt: Prompt,
    lines: Mapping[str, str],
    views: dict[Ask, View],
) -> News:
    """The news; of the reads for it, those count that a model sees."""
    account = account_of(agent)
    readable = {ask: view for ask, view in views.items() if isinstance(view.content, str)}
    news = informer.news(prompt, lines, readable)
    for view, text in news.told:
        account.told(view.ref.name, beside(view, text))
    seen = [view for view, _ in news.told]
    for view in views.values():
        if view not in seen:
            account.unseen(view)
    return news


def _told(desk: Desk | AsyncDesk, news: News, tell: Tell) -> None:
    if (account := desk.account) is not None:
        for ref, line in news.signals:
            account.told(ref.name, line)
    for ref, line in news.signals:
        tell(was_signalled(ref, desk.name, line))
    for view, _ in news.told:
        tell(was_told(view, desk.name, stays=news.stays))
