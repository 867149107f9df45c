"""Voting, the algorithm that Paxos carries out with messages (Lamport 2001).

An acceptor votes for a value in a ballot only if a quorum shows that in no earlier ballot another
value was chosen, or can still be.  `paxos` refines it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from specs.checker.model import Action, Model
from specs.examples.tuples import put


class Votes(NamedTuple):
    """By acceptor: its votes as (ballot, value), and the ballot below which it votes no more."""

    cast: tuple[frozenset[tuple[int, str]], ...]
    promised: tuple[int, ...]


def voting(
    acceptors: int, words: Sequence[str], ballots: int, quorums: Sequence[Sequence[int]]
) -> Model[Votes, Votes]:
    """The acceptors, and the ballots from 0 on."""

    def actions(s: Votes) -> Iterator[tuple[Action, Votes]]:
        for me in range(acceptors):
            name = f"acceptor {me}"
            for ballot in range(ballots):
                promised = put(s.promised, me, ballot)
                if ballot > s.promised[me]:
                    yield Action("IncreaseMaxBal", name), s._replace(promised=promised)
                for word in words if s.promised[me] <= ballot else ():
                    if may_vote(s, me, ballot, word):
                        cast = put(s.cast, me, s.cast[me] | {(ballot, word)})
                        yield Action("VoteFor", name), Votes(cast, promised)

    def may_vote(s: Votes, me: int, ballot: int, word: str) -> bool:
        rivals = {(b, w) for votes in s.cast for b, w in votes if b == ballot and w != word}
        has_voted = any(b == ballot for b, _ in s.cast[me])
        return not rivals and not has_voted and any(is_safe(s, q, ballot, word) for q in quorums)

    def is_safe(s: Votes, quorum: Sequence[int], ballot: int, word: str) -> bool:
        earlier = [(b, w) for a in quorum for b, w in s.cast[a] if b < ballot]
        latest = max((b for b, _ in earlier), default=-1)
        return all(s.promised[a] >= ballot for a in quorum) and (
            latest < 0 or (latest, word) in earlier
        )

    return Model("voting", [Votes((frozenset(),) * acceptors, (-1,) * acceptors)], actions)
