"""Single-decree Paxos without leaders or learners (Lamport 1998; 2001), as a `Composite`.

A ballot asks for promises (1a), an acceptor promises and tells its last vote (1b), the ballot
proposes the value of the latest vote in a quorum of promises (2a), and acceptors vote (2b).
Messages are never lost by name: whatever was sent may be read at any time.

Each kind of message of each ballot and acceptor has a slot, so that a rule reads few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations, product
from typing import Any, NamedTuple, TypeAlias

from specs.checker.composite import Change, Composite, Rule
from specs.checker.model import Action, always, reachable
from specs.checker.refinement import refines
from specs.examples.voting import Votes, voting

#: The ballot and the value of a vote; ballot -1 stands for "has not voted".
Vote: TypeAlias = tuple[int, str | None]
NO_VOTE: Vote = (-1, None)


class AcceptorState(NamedTuple):
    """The highest ballot that it has heard of, and its last vote."""

    promised: int = -1
    vote: Vote = NO_VOTE


class Places:
    """The place of each acceptor and of each message in a state."""

    def __init__(self, acceptors: int, ballots: int) -> None:
        names: list[tuple[Any, ...]] = [("acceptor", a) for a in range(acceptors)]
        names += [(kind, b) for kind in ("1a", "2a") for b in range(ballots)]
        names += [(k, a, b) for k in ("1b", "2b") for a in range(acceptors) for b in range(ballots)]
        self.names = [" ".join(map(str, name)) for name in names]
        self._place = {name: place for place, name in enumerate(names)}

    def __call__(self, *name: Any) -> int:
        return self._place[name]


def paxos(
    acceptors: int = 3, values: int = 2, ballots: int = 2, quorum: int = 0
) -> Composite[Sequence[Any]]:
    """Paxos with quorums of `quorum` acceptors, by default a majority.

    Quorums that do not intersect choose two values.
    """
    everyone, words = range(acceptors), [f"v{i}" for i in range(1, values + 1)]
    quorums = list(combinations(everyone, quorum or acceptors // 2 + 1))
    at = Places(acceptors, ballots)

    def phase_1a(ballot: int, s: Sequence[Any]) -> Iterator[Change]:
        yield Change(Action("Phase1a", f"ballot {ballot}"), ((at("1a", ballot), True),))

    def phase_1b(me: int, ballot: int, s: Sequence[Any]) -> Iterator[Change]:
        state: AcceptorState = s[me]
        if state.promised < ballot and s[at("1a", ballot)]:
            promised = (me, state._replace(promised=ballot))
            told = (at("1b", me, ballot), state.vote)
            yield Change(Action("Phase1b", f"acceptor {me}"), (promised, told))

    def phase_2a(ballot: int, s: Sequence[Any]) -> Iterator[Change]:
        if s[at("2a", ballot)] is None:
            for among in quorums:
                for word in proposals([s[at("1b", a, ballot)] for a in among]):
                    proposed = (at("2a", ballot), word)
                    yield Change(Action("Phase2a", f"ballot {ballot}"), (proposed,))

    def proposals(told: Sequence[Vote | None]) -> Iterator[str]:
        """What a quorum of promises allows, once for each promise that shows it, as TLC counts."""
        promised = [vote for vote in told if vote is not None]
        if len(promised) == len(told):
            latest = max(ballot for ballot, _ in promised)
            for ballot, word in promised if latest >= 0 else [(latest, word) for word in words]:
                if ballot == latest and word is not None:
                    yield word

    def phase_2b(me: int, ballot: int, s: Sequence[Any]) -> Iterator[Change]:
        word = s[at("2a", ballot)]
        if word is not None and s[me].promised <= ballot:
            voted = (me, AcceptorState(ballot, (ballot, word)))
            told = (at("2b", me, ballot), word)
            yield Change(Action("Phase2b", f"acceptor {me}"), (voted, told))

    def chosen(s: Sequence[Any]) -> set[str]:
        return {
            word
            for ballot, among in product(range(ballots), quorums)
            if (word := s[at("2b", among[0], ballot)]) is not None
            and all(s[at("2b", a, ballot)] == word for a in among[1:])
        }

    def is_chosen(word: str, s: Sequence[Any]) -> bool:
        return word in chosen(s)

    def votes(s: Sequence[Any]) -> Votes:
        return Votes(
            tuple(
                frozenset((b, w) for b in range(ballots) if (w := s[at("2b", a, b)]) is not None)
                for a in everyone
            ),
            tuple(s[a].promised for a in everyone),
        )

    rules: list[Rule] = [partial(f, b) for b in range(ballots) for f in (phase_1a, phase_2a)]
    rules += [
        partial(f, a, b) for a in everyone for b in range(ballots) for f in (phase_1b, phase_2b)
    ]
    sent = [False] * ballots + [None] * (len(at.names) - acceptors - ballots)
    return Composite(
        "paxos",
        at.names,
        [(*[AcceptorState()] * acceptors, *sent)],
        rules,
        apply=lambda slot, value, operation: value,
        view=lambda s: s,
        properties=[
            always("one value is chosen", lambda s: len(chosen(s)) <= 1),
            refines("voting", voting(acceptors, words, ballots, quorums), votes),
            *(reachable(f"{word} is chosen", partial(is_chosen, word)) for word in words),
        ],
        terminal=lambda s: True,
    )
