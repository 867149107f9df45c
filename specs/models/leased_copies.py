"""The idea of the coherence protocol: ``specs/tla/LeasedCopies.tla`` as a plain model.

Each action has its name in the module, which says what the action means.  A content is named by its
writer, and no agent commits twice in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations
from typing import NamedTuple, TypeAlias

from specs.checker.model import Action, Model, always

Agent: TypeAlias = int
Version: TypeAlias = int
NO_COPY = -1


class Commit(NamedTuple):
    """A commit, the version that it was derived from, and the epoch of its grant or 0."""

    writer: Agent
    base: Version
    under: int


class Grant(NamedTuple):
    """A grant, and the version that was the newest when home gave it."""

    to: Agent
    base: Version


class Cached(NamedTuple):
    """An agent: its copy, the epoch that it drafts under, the versions that it knows of."""

    copy: Version = NO_COPY
    under: int = 0
    asked: Version = 0
    seen: Version = 0


class World(NamedTuple):
    """Home, every agent, and the newest version whose commit has returned."""

    agents: tuple[Cached, ...]
    log: tuple[Commit, ...] = ()
    grants: tuple[Grant, ...] = ()
    live: bool = False
    awaited: frozenset[Agent] = frozenset()
    done: Version = 0

    @property
    def newest(self) -> Version:
        """The newest version."""
        return len(self.log)

    def counted(self, c: Agent, v: Version) -> bool:
        """Whether `v` is the newest version, or the one before and home awaits `c`."""
        return v == self.newest or (v + 1 == self.newest and c in self.awaited)


def _subsets(whole: frozenset[Agent]) -> Iterator[frozenset[Agent]]:
    sizes = range(len(whole) + 1)
    return map(frozenset, chain.from_iterable(combinations(sorted(whole), n) for n in sizes))


def leased_copies(
    agents: int = 2,
    commits: int = 1,
    grants: int = 1,
    *,
    strict: bool = True,
    leases: bool = True,
    fenced: bool = True,
) -> Model[World, World]:
    """The idea for `agents`, up to a number of commits and grants.

    Without `leases` home ends no grant under which its agent drafts.  Without `fenced` home asks of
    a commit only that no other agent holds the grant, not that its epoch is that of the live one.
    """
    names = frozenset(range(agents))

    def passes(s: World) -> Iterator[World]:
        yield s._replace(live=False)
        if len(s.grants) < grants:
            for c in names:
                yield s._replace(live=True, grants=(*s.grants, Grant(c, s.newest)))

    def home(s: World) -> Iterator[World]:
        may_end = not s.live or leases or s.agents[s.grants[-1].to].under != len(s.grants)
        for still in _subsets(s.awaited):
            if all(s.agents[c].copy in (NO_COPY, s.newest) for c in s.awaited - still):
                heard = s._replace(awaited=still)
                yield heard
                if may_end:
                    yield from passes(heard)

    def made(s: World, c: Agent) -> Iterator[World]:
        if s.newest == commits or s.awaited or (s.log and s.log[-1].writer == c):
            return
        serving = frozenset(d for d in names if s.agents[d].copy != NO_COPY)
        waits = [cs for cs in _subsets(names) if serving <= cs] if strict else [frozenset[Agent]()]
        for epoch in range(len(s.grants) + 1):
            if epoch and s.grants[epoch - 1].to != c:
                continue
            free = not s.live or s.grants[-1].to == c
            if free and not (fenced and epoch and not (s.live and epoch == len(s.grants))):
                for awaited in waits:
                    log = (*s.log, Commit(c, s.newest, epoch))
                    yield from passes(s._replace(log=log, awaited=awaited))

    def actions(s: World) -> Iterator[tuple[Action, World]]:
        for after in home(s):
            yield Action("Manage", "home"), after
        for c in sorted(names):
            me = s.agents[c]

            def turned(new: Cached, c: Agent = c) -> World:
                return s._replace(agents=(*s.agents[:c], new, *s.agents[c + 1 :]))

            def keeps(v: Version, c: Agent = c, me: Cached = me) -> bool:
                return me.asked <= v and me.seen <= v and (not strict or s.counted(c, v))

            name = str(c)
            yield Action("Lose", name), turned(me._replace(copy=NO_COPY, under=0))
            yield Action("GiveBack", name), turned(me._replace(under=0))
            yield Action("Ask", name), turned(Cached(asked=s.newest, seen=me.seen))
            for v in range(max(me.asked, me.seen), s.newest + 1):
                for copy in (v, NO_COPY) if keeps(v) else (NO_COPY,):
                    yield Action("Take", name), turned(Cached(copy, 0, me.asked, v))
            for epoch, grant in enumerate(s.grants, 1):
                if grant.to == c and keeps(grant.base):
                    draft = Cached(grant.base, epoch, me.asked, grant.base)
                    yield Action("Draft", name), turned(draft)
            for v, commit in enumerate(s.log, 1):
                if commit.writer == c and not (v == s.newest and s.awaited):
                    for copy in (v, NO_COPY) if keeps(v) else (NO_COPY,):
                        told = turned(Cached(copy, 0, me.asked, max(me.seen, v)))
                        yield Action("Return", name), told._replace(done=max(s.done, v))
            for after in made(s, c):
                yield Action("Commit", name), after

    def fencing(s: World) -> bool:
        return all(
            commit.under == 0 or s.grants[commit.under - 1] == (commit.writer, v)
            for v, commit in enumerate(s.log)
        )

    def current(s: World) -> bool:
        drafts = {me.copy for me in s.agents if me.under == len(s.grants)}
        return not s.live or drafts | {s.grants[-1].base} == {s.newest}

    def copies(s: World) -> list[tuple[Agent, Cached]]:
        return [(c, me) for c, me in enumerate(s.agents) if me.copy != NO_COPY]

    return Model(
        "leased copies",
        [World((Cached(),) * agents)],
        actions,
        [
            always("no lost update", lambda s: all(x.base == v for v, x in enumerate(s.log))),
            always("single writer", current),
            always("fencing", fencing),
            always("bounded staleness", lambda s: all(m.copy >= m.asked for _, m in copies(s))),
            always(
                "strict visibility",
                lambda s: (
                    not strict
                    or all(m.copy >= s.done and s.counted(c, m.copy) for c, m in copies(s))
                ),
            ),
        ],
    )
