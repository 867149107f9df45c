"""Two-phase commit (Gray and Lamport 2006, section 3) as a `Composite` written by hand.

`specs.models.twophase` says the same with processes and a network; both have the graph of the
field's TLA+ module.  The network is what was ever sent, so that loss and repetition need no
actions.  Each rule looks at two or three slots: that is why tables gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from specs.checker.composite import Change, Composite, Rule
from specs.checker.model import Action, always, reachable


def two_phase(rms: int = 3, *, hasty: bool = False) -> Composite[Any]:
    """`rms` resource managers and a transaction manager.  A hasty one misses the last vote.

    Slots: a resource manager's state and whether its vote was sent, the votes that the transaction
    manager has, its state, which is its message to all at the same time.
    """
    names = [f"rm{i}" for i in range(1, rms + 1)]
    state, voted, known, tm = range(rms), range(rms, 2 * rms), range(2 * rms, 3 * rms), 3 * rms

    def resource(me: int, s: Sequence[Any]) -> Iterator[Change]:
        if s[state[me]] == "working":
            yield change("RMPrepare", me, (state[me], "prepared"), (voted[me], True))
            yield change("RMChooseToAbort", me, (state[me], "aborted"))
        if s[tm] == "committed":
            yield change("RMRcvCommitMsg", me, (state[me], "committed"))
        elif s[tm] == "aborted":
            yield change("RMRcvAbortMsg", me, (state[me], "aborted"))

    def vote(me: int, s: Sequence[Any]) -> Iterator[Change]:
        if s[tm] == "init" and s[voted[me]]:
            yield change("TMRcvPrepared", me, (known[me], True))

    def decide(s: Sequence[Any]) -> Iterator[Change]:
        if s[tm] == "init":
            yield change("TMAbort", None, (tm, "aborted"))
            if sum(s[each] for each in known) >= rms - hasty:
                yield change("TMCommit", None, (tm, "committed"))

    def change(name: str, me: int | None, *writes: tuple[int, Any]) -> Change:
        return Change(Action(name, "tm" if me is None else names[me]), writes)

    def consistent(s: Sequence[Any]) -> bool:
        return not {"committed", "aborted"} <= {s[each] for each in state}

    def all_commit(s: Sequence[Any]) -> bool:
        return all(s[each] == "committed" for each in state)

    rules: list[Rule] = [decide]
    rules += [partial(rule, me) for me in range(rms) for rule in (resource, vote)]
    slots = [f"{name} {part}" for part in ("state", "voted", "known") for name in names]
    return Composite(
        f"two-phase-{rms}",
        [*slots, "tm"],
        [(*["working"] * rms, *[False] * (2 * rms), "init")],
        rules,
        apply=lambda slot, value, operation: value,
        view=lambda s: s,
        properties=[always("consistent", consistent), reachable("all commit", all_commit)],
        terminal=lambda s: all(s[each] in ("committed", "aborted") for each in state),
    )
