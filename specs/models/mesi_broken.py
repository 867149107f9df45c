"""One fault for each property of the mesi model: tables in which a cell is wrong.

A property that no fault can violate tests nothing.  Each fault here is caught by the property that
it is named after, with a counterexample of the length that the manifest pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from coherence import cache as c
from coherence import directory as h
from coherence.messages import Committed, Data, Permission
from coherence.table import Op, Table
from message_passing.process import CancelTimer, Respond, Send, SetTimer
from specs.checker.errors import UsageError

WRONG = "wrong on purpose"


@dataclass(frozen=True)
class Fault:
    """Cells of one table and the row that replaces them; None takes them away."""

    side: str
    at: str
    on: str
    do: Sequence[Op[Any]] | None
    to: str = "="

    def tables(self) -> dict[str, Table[Any]]:
        """The faulty table, by the name that `mesi.protocol` gives it."""
        table: Table[Any] = c.CACHE if self.side == "cache" else h.HOME
        for at in self.at.split():
            row = table.cells[at, self.on]
            if self.do is not None:
                row = replace(row, do=tuple(self.do), to=self.to, source=WRONG)
            table = table.changed(at, self.on, None if self.do is None else row)
        return {f"{self.side}_table": table}


def _grant_last(x: h.HomeScratch) -> None:
    x.queue = (x.queue[-1], *x.queue[:-1])
    h.grant_next.run(x)


def _take_version_only(x: c.CacheScratch) -> None:
    x.version = x.msg.version


def _committed_next(x: c.CacheScratch) -> None:
    x.out.append(Respond(Committed(x.msg.version + 1)))


def _unchanged(x: h.HomeScratch) -> None:
    have = x.msg.have
    content = None if have else x.content
    x.out.append(Send(x.src, Data(x.msg.serial, have or x.version, Permission.S, 0, have, content)))


def _lower_floor(x: c.CacheScratch) -> None:
    x.dead_through = min(x.dead_through, x.msg.version - 1)


def _await_nobody(x: h.HomeScratch) -> None:
    x.unacked = ()
    x.out.append(CancelTimer(h.ACKS))


def _await_half(x: h.HomeScratch) -> None:
    """Wait for the holders half as long as they may serve their copy."""
    h.announce.run(x)
    if x.unacked and x.policy.validity is not None:
        x.out.append(SetTimer(h.ACKS, x.now + x.policy.validity // 2))


def _count_from_the_answer(x: c.CacheScratch) -> None:
    if x.policy.validity is not None:
        x.out.append(SetTimer(c.VALIDITY, x.now + x.policy.validity))


grant_last = Op("grant to the last waiter", _grant_last)
take_version_only = Op("version := Data's, content as it was", _take_version_only)
committed_next = Op("answer Committed(version + 1)", _committed_next)
unchanged = Op("say that nothing has changed", _unchanged)
lower_floor = Op("dead_through := the older, lowered", _lower_floor)
await_nobody = Op("await no acknowledgement", _await_nobody)
await_half = Op("Inv to other sharers; await them half a validity", _await_half)
count_from_the_answer = Op("arm validity when the answer comes", _count_from_the_answer)


def _ack_what_is_there(x: h.HomeScratch) -> None:
    """Acknowledge a stale commit whose text is the current one, as if it had changed nothing."""
    if x.msg.content == x.content:
        h.put_ack_same.run(x)
    else:
        h.nack_stale.run(x)


ack_what_is_there = Op("PutAck where the text is there", _ack_what_is_there)


def _commit_overtaken(x: h.HomeScratch) -> None:
    """Commit without comparing the serial with that of the newest request of the same cache."""
    if x.msg.base == x.version:
        h.commit.run(x)
        h.announce.run(x)


commit_overtaken = Op("version + 1, although late", _commit_overtaken)


def _end_overtaken(x: h.HomeScratch) -> None:
    """End a grant that a newer request of its owner has renewed."""
    if x.msg.epoch == x.epoch:
        h.end_grant.run(x)


end_overtaken = Op("owner := none, although late", _end_overtaken)

#: By the property that catches it; a word after a colon tells several faults apart.
FAULTS: dict[str, Fault] = {
    "no step raises": Fault("cache", "S", "Inv", None),
    "well_formed": Fault("home", "E", "GetS", (h.downgrade, h.add, h.data_s)),
    "well_formed a": Fault("cache", "SM_D", "Inv", (c.kill, c.ack)),
    "timers_fit": Fault("home", "M", "Restart", (h.arm_push, h.arm_acks)),
    "timers_fit a": Fault("cache", "S E", "Replacement", (c.drop, c.done), "I"),
    "draft_is_current a": Fault(
        "cache", "IM_D", "Data/M", (c.answered, c.take_grant, c.granted), "M"
    ),
    "directory_agrees a": Fault("home", "S", "GetS", (h.data_s,)),
    "swmr": Fault("home", "M", "PutM", (h.end_grant, h.commit, h.announce), "S_A"),
    "fencing": Fault("home", "I S E", "PutM/fenced", (h.commit, h.announce), "S_A"),
    "fairness": Fault("home", "I S E", "Queued", (grant_last,), "M"),
    "version_order": Fault(
        "cache", "IS_A", "PutAck/E", (c.take_draft, c.answered, committed_next), "E"
    ),
    "no_lost_update": Fault("home", "I S E", "PutM/stale", (h.commit, h.announce), "S_A"),
    "data_value": Fault("cache", "IS_D", "Data/S", (c.answered, take_version_only, c.loaded), "S"),
    "bounded_staleness": Fault("home", "S", "GetS", (h.add, unchanged)),
    "strict_visibility": Fault(
        "home", "I S E", "PutM", (h.commit, h.announce, await_nobody), "S_A"
    ),
    "monotone_reads": Fault("cache", "S E", "Update/late", (lower_floor, c.take, c.ack), "S"),
    "version_order: same": Fault("home", "I S E", "PutM/same", (h.commit, h.announce), "S_A"),
    "no_lost_update: same": Fault("home", "I S E", "PutM/stale", (ack_what_is_there,)),
    "strict_visibility: same": Fault("home", "S_A", "PutM/same", (h.add, h.put_ack_same)),
    "strict_visibility: unseen": Fault("home", "S_A", "PutM/unseen", (h.verdict_again,)),
    "strict_visibility: half": Fault("home", "I S E", "PutM", (h.commit, await_half), "S_A"),
    "strict_visibility: answer": Fault(
        "cache", "IS_D", "Data/S", (*c.READ, count_from_the_answer), "S"
    ),
    "owner_agrees a": Fault("home", "M", "PutE/late", (end_overtaken,), "S"),
    "deadlock": Fault("home", "M", "GetM", (h.ask_owner,)),
    "a has a valid copy or none": Fault("cache", "S E", "Inv", (c.ack,)),
    "a has a valid copy or none: overtaken": Fault(
        "home", "S E", "PutM/late", (commit_overtaken,), "S_A"
    ),
}


def faulty(name: str) -> dict[str, Table[Any]]:
    """The tables with the fault that the property `name` catches."""
    if name not in FAULTS:
        raise UsageError(f"no fault for {name!r}", remedy="one of " + ", ".join(FAULTS))
    return FAULTS[name].tables()
