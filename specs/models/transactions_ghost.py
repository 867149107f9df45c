"""What has happened in `specs.models.transactions`, and the claims on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

from coherence.messages import Version
from message_passing.process import Address
from specs.checker.model import Property, always, reachable

Names: TypeAlias = tuple[str, ...]
#: The name and the version.
Read: TypeAlias = tuple[str, Version]
#: A transaction: its agent and its place among those of the agent.
Tid: TypeAlias = tuple[Address, int]


class Made(NamedTuple):
    """A transaction whose commit took effect, or a part of it."""

    tid: Tid
    reads: tuple[Read, ...]
    #: The versions that it makes, and the artifacts that have theirs.
    writes: tuple[Read, ...]
    stands: frozenset[str]
    #: The transactions that were made before it began.
    before: frozenset[Tid]


class Ghost(NamedTuple):
    """All that was made, and the versions that the store has had at one moment."""

    made: frozenset[Made]
    moments: frozenset[tuple[Version, ...]]

    def tids(self) -> frozenset[Tid]:
        """The transactions of which at least a part stands."""
        return frozenset(made.tid for made in self.made)


def noted(
    ghost: Ghost, made: Made, old: Sequence[Version], new: Sequence[Version], names: Names
) -> Ghost:
    """The ghost after a step of the homes for `made`; `stands` of `made` is not looked at."""
    wanted = dict(made.writes)
    stands = {n for n, a, b in zip(names, old, new, strict=True) if a != b and b == wanted.get(n)}
    if not stands:
        return ghost
    earlier = [other for other in ghost.made if other.tid == made.tid]
    stands = stands.union(*(other.stands for other in earlier))
    after = ghost.made.difference(earlier) | {made._replace(stands=frozenset(stands))}
    return Ghost(after, ghost.moments | {tuple(new)})


def precedences(made: frozenset[Made], real_time: bool) -> Iterator[tuple[Tid, Tid]]:
    """Pairs of transactions of which the first must take effect first.

    A version comes after the one that it replaces (ww), a reader after the writer of what it read
    (wr) and before the writer that replaced it (rw): Adya, Liskov and O'Neil, "Generalized
    Isolation Level Definitions" (2000), section 4.4.  With `real_time` whatever began later comes
    later.
    """
    writer = {write: each.tid for each in made for write in each.writes}
    for each in made:
        for n, version in each.writes:
            if (n, version - 1) in writer:
                yield writer[n, version - 1], each.tid
        for n, version in each.reads:
            if (n, version) in writer:
                yield writer[n, version], each.tid
            if (n, version + 1) in writer:
                yield each.tid, writer[n, version + 1]
        if real_time:
            yield from ((tid, each.tid) for tid in each.before)


@lru_cache(maxsize=1 << 16)
def in_one_order(made: frozenset[Made], real_time: bool) -> bool:
    """Whether the transactions could have taken effect one after another."""
    after: dict[Tid, set[Tid]] = {each.tid: set() for each in made}
    for first, second in precedences(made, real_time):
        if first != second:
            after[second].add(first)
    while free := [tid for tid, first in after.items() if not first & after.keys()]:
        for tid in free:
            del after[tid]
    return not after


def claims(names: Names, agents: Names, *, turns: bool, lease: bool) -> list[Property[Any]]:
    """The promise of docs/transactions.md, on a state of the model."""
    first, last = len(names), len(names) + len(agents)

    def ghost(s: Sequence[Any]) -> Ghost:
        found: Ghost = s[last]
        return found

    def each(s: Sequence[Any]) -> list[Any]:
        return [s[place] for place in range(first, last)]

    def ordered(real_time: bool, s: Sequence[Any]) -> bool:
        return in_one_order(ghost(s).made, real_time)

    def opaque(s: Sequence[Any]) -> bool:
        return all(
            any(_agrees(dict(zip(names, moment, strict=True)), t.reads) for moment in moments)
            for t in each(s)
            if (moments := ghost(s).moments)
        )

    def whole(s: Sequence[Any]) -> bool:
        return all(len(made.stands) == len(made.writes) for made in ghost(s).made)

    def told(s: Sequence[Any]) -> bool:
        made = ghost(s).tids()
        return all(
            ((agent, t.begun) in made) == (t.told == "made")
            for agent, t in zip(agents, each(s), strict=True)
            if t.told in ("made", "refused")
        )

    def true_refs(s: Sequence[Any]) -> bool:
        writer = {write: made.tid for made in ghost(s).made for write in made.writes}
        return all(
            writer.get(ref, (agent, t.begun)) == (agent, t.begun)
            for agent, t in zip(agents, each(s), strict=True)
            for ref in t.refs
        )

    def certain(s: Sequence[Any]) -> bool:
        return not any(t.in_turn and t.told == "refused" for t in each(s))

    found = [
        always("serializable", partial(ordered, False)),
        always("real_time", partial(ordered, True)),
        always("opaque", opaque),
        always("all_or_nothing", whole),
        always("told_truth", told),
        always("true_refs", true_refs),
        reachable("all made", lambda s: len(ghost(s).made) == len(agents)),
        reachable("refused", lambda s: any(t.told == "refused" or t.in_turn for t in each(s))),
    ]
    if turns and not lease:
        found.append(always("certain_in_turn", certain))
    return found


def _agrees(moment: Mapping[str, Version], reads: Sequence[Read]) -> bool:
    return all(moment[name] == version for name, version in reads)
