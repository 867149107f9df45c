"""The home side: the directory entry and the committed content of one artifact, as a table.

The shape comes from the Primer, section 8.3 (MESI directory protocol, directory controller).  The
source of each row says how it differs and why.  The four main differences:

* **Home is never stale.**  It holds the last committed content in every state, so a read is
  answered at once in every state, and the owner is never asked for data.
* **A commit is compared.**  Every PutM names the version that its content was derived from, by
  number and digest, and home makes it the next version only if that is still the current one.
* **A commit that changes nothing makes no version.** Its content equals its base, and its base is
  current: it is acknowledged as that version, even while another agent holds the grant, and no
  other cache gets a message.
* **Acknowledgements are collected here**, not at the writer: agents crash, this side is durable.

This module knows nothing of the kinds of content, stores, clocks, the network or other artifacts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coherence.entries import (
    any_other,
    including,
    joined,
    judged,
    known,
    merged,
    next_of,
    remaining,
    remembering,
    to_each,
    waiting,
    without,
)
from coherence.messages import (
    Check,
    Content,
    Current,
    Data,
    Digest,
    Epoch,
    FwdGetM,
    FwdGetS,
    GetM,
    GetS,
    Inv,
    InvAck,
    Leave,
    Message,
    Nack,
    Permission,
    PutAck,
    PutE,
    PutM,
    PutS,
    Refusal,
    Serial,
    Update,
    Version,
    digest_of,
)
from coherence.policy import Announce, Policy, Visibility, require_bounds
from coherence.states import HomeAt, HomeState, Sharer, Verdict, Waiter
from coherence.table import Automaton, Op, Row, Scratch, Table
from message_passing.process import (
    Address,
    CancelTimer,
    Event,
    Receive,
    Restart,
    Send,
    SetTimer,
    Time,
    Timeout,
)

GRANT = "grant"
ACKS = "acks"
PUSH = "push"

# Looked up once: before Python 3.12 a member of an enum costs as much as a call.
AT_I, AT_M, AT_S_A = HomeAt.I, HomeAt.M, HomeAt.S_A
LAZY = Visibility.LAZY
UPDATE, POINTER = Announce.UPDATE, Announce.POINTER
GRANT_S, GRANT_E, GRANT_M = Permission.S, Permission.E, Permission.M


class HomeScratch(Scratch[HomeState]):
    """A home's state being rewritten, with the message that came."""

    __slots__ = (
        "content",
        "epoch",
        "msg",
        "owner",
        "owner_serial",
        "policy",
        "queue",
        "sharers",
        "src",
        "unacked",
        "verdicts",
        "version",
        "writer",
        "writer_serial",
    )

    def __init__(self, home: Home, state: HomeState, now: Time) -> None:
        self.at = state.at
        self.version: Version = state.version
        self.content: Content = state.content
        self.sharers = state.sharers
        self.owner: Address = state.owner
        self.owner_serial: Serial = state.owner_serial
        self.epoch: Epoch = state.epoch
        self.queue = state.queue
        self.unacked = state.unacked
        self.writer: Address = state.writer
        self.writer_serial: Serial = state.writer_serial
        self.verdicts = state.verdicts
        self.policy = home.policy
        self.now = now
        self.src: Address = ""
        self.msg: Any = None
        self.out = []

    def freeze(self) -> HomeState:
        return HomeState(
            self.at,
            self.version,
            self.content,
            self.sharers,
            self.owner,
            self.owner_serial,
            self.epoch,
            self.queue,
            self.unacked,
            self.writer,
            self.writer_serial,
            self.verdicts,
        )


X = HomeScratch


def _heard(x: X) -> Serial:
    """The newest serial of `src` that home remembers in any list, or -1."""
    heard = max(known(x.sharers, x.src), known(x.unacked, x.src), waiting(x.queue, x.src))
    return max(heard, x.owner_serial) if x.owner == x.src else heard


# Operations.  Each does one thing; a row lists its operations in order.


def _add(x: X) -> None:
    x.sharers = including(x.sharers, x.src, x.msg.serial)


def _answer(x: X, dst: Address, ask: GetS | GetM | Waiter, grant: Permission, epoch: Epoch) -> None:
    have, version = ask.have, x.version
    if have == version and have and ask.digest == digest_of(x.content):
        x.out.append(Send(dst, Data(ask.serial, version, grant, epoch, have, None)))
        return
    base = have if have and 0 < version - have <= x.policy.delta_window else 0
    x.out.append(Send(dst, Data(ask.serial, version, grant, epoch, base, x.content)))


def _data_s(x: X) -> None:
    _answer(x, x.src, x.msg, GRANT_S, 0)


def _data_e(x: X) -> None:
    _answer(x, x.src, x.msg, GRANT_E, 0)


def _downgrade(x: X) -> None:
    x.out.extend(to_each(without(x.sharers, x.src), FwdGetS()))


def _give(x: X, cache: Address, ask: GetM | Waiter) -> None:
    x.sharers = including(x.sharers, cache, ask.serial)
    x.owner = cache
    x.owner_serial = ask.serial
    _answer(x, cache, ask, GRANT_M, x.epoch)
    _arm_grant(x)


def _grant(x: X) -> None:
    x.epoch += 1
    _give(x, x.src, x.msg)


def _renew(x: X) -> None:
    _give(x, x.src, x.msg)


def _grant_next(x: X) -> None:
    first, x.queue = next_of(x.queue)
    x.epoch += 1
    _give(x, first.cache, first)
    if x.queue:
        x.out.append(Send(first.cache, FwdGetM()))


def _enqueue(x: X) -> None:
    msg: GetM = x.msg
    x.queue = joined(x.queue, Waiter(x.src, msg.serial, msg.have, msg.digest))


def _dequeue(x: X) -> None:
    x.queue = without(x.queue, x.src)


def _ask_owner(x: X) -> None:
    x.out.append(Send(x.owner, FwdGetM()))


def _end_grant(x: X) -> None:
    x.owner = ""
    x.owner_serial = 0
    if x.policy.grant_lease is not None:
        x.out.append(CancelTimer(GRANT))


def _judge(x: X, refusal: Refusal | None) -> None:
    verdict = Verdict(x.src, x.msg.serial, x.version, refusal)
    x.verdicts = remembering(x.verdicts, verdict, x.policy.memory)


def _commit(x: X) -> None:
    x.version += 1
    x.content = x.msg.content
    _await(x)
    _judge(x, None)


def _await(x: X) -> None:
    x.writer = x.src
    x.writer_serial = x.msg.serial


def _announce(x: X) -> None:
    """Tell the other holders of the commit; await acknowledgements where they are needed."""
    others = without(x.sharers, x.src)
    if not others and not x.unacked:
        # Under any policy: no other cache has a copy.
        x.sharers = including((), x.src, x.msg.serial)
        return
    stay: tuple[Sharer, ...] = ()
    awaited = others
    if x.policy.push_every is not None:
        stay, awaited = x.sharers, ()  # the next periodic push tells them
    else:
        message: Inv | Update
        how = x.policy.announce(x.freeze())
        if how is UPDATE:
            message = Update(x.version, x.version - 1, x.content)
            stay = x.sharers
        elif how is POINTER:
            message = Update(x.version, 0, None)
        else:
            message = Inv(x.version - 1, x.policy.visibility is not LAZY)
        x.out.extend(to_each(others, message))
        if not stay and x.policy.visibility is LAZY:
            awaited = ()
    x.sharers = including(stay, x.src, x.msg.serial)
    if not stay and x.unacked and x.policy.visibility is LAZY:
        # Told of an earlier commit by Update, and of this one by a message without an answer.
        x.unacked = ()
        if x.policy.validity is not None:
            x.out.append(CancelTimer(ACKS))
    if awaited:
        if not x.unacked:
            x.unacked = awaited
            _arm_acks(x)
        else:
            x.unacked = merged(x.unacked, awaited)


def _finish(x: X, grant: Permission) -> None:
    if x.writer:
        x.out.append(Send(x.writer, PutAck(x.writer_serial, x.version, grant)))
    x.writer = ""
    x.writer_serial = 0


def _put_ack_s(x: X) -> None:
    _finish(x, GRANT_S)


def _put_ack_e(x: X) -> None:
    _finish(x, GRANT_E)


def _put_ack_same(x: X) -> None:
    x.out.append(Send(x.src, PutAck(x.msg.serial, x.version, GRANT_S)))
    _judge(x, None)


def _verdict_again(x: X) -> None:
    verdict = judged(x.verdicts, x.src)
    assert verdict is not None
    if verdict.refusal is None:
        x.out.append(Send(x.src, PutAck(x.msg.serial, verdict.version, GRANT_S)))
    else:
        x.out.append(Send(x.src, Nack(x.msg.serial, verdict.refusal, x.version)))


def _nack(x: X, reason: Refusal) -> None:
    x.out.append(Send(x.src, Nack(x.msg.serial, reason, x.version)))
    _judge(x, reason)


def _nack_stale(x: X) -> None:
    _nack(x, Refusal.STALE)


def _nack_fenced(x: X) -> None:
    _nack(x, Refusal.FENCED)


def _nack_busy(x: X) -> None:
    _nack(x, Refusal.BUSY)


def _nack_check(x: X) -> None:
    x.out.append(Send(x.src, Nack(x.msg.serial, Refusal.STALE, x.version)))


def _acked(x: X) -> None:
    if known(x.unacked, x.src) >= 0:
        x.unacked = without(x.unacked, x.src)
        if not x.unacked and x.policy.validity is not None:
            x.out.append(CancelTimer(ACKS))


def _forget_copy(x: X) -> None:
    x.sharers = without(x.sharers, x.src)
    _acked(x)


def _forget(x: X) -> None:
    _forget_copy(x)
    _dequeue(x)
    if x.writer == x.src:
        x.writer = ""
        x.writer_serial = 0


def _give_up_acks(x: X) -> None:
    # A cache that asked again since it was told has a newer, live copy under another serial.
    x.sharers = remaining(x.sharers, x.unacked)
    x.unacked = ()


def _push(x: X) -> None:
    for member in x.policy.members:
        if x.version:
            x.out.append(Send(member, Update(x.version, 0, x.content)))
        x.sharers = including(x.sharers, member, 0)
    _arm_push(x)


def _arm_push(x: X) -> None:
    if x.policy.push_every is not None:
        x.out.append(SetTimer(PUSH, x.now + x.policy.push_every))


def _arm_grant(x: X) -> None:
    if x.policy.grant_lease is not None:
        x.out.append(SetTimer(GRANT, x.now + x.policy.grant_lease))


def _arm_acks(x: X) -> None:
    if x.unacked and x.policy.validity is not None:
        x.out.append(SetTimer(ACKS, x.now + x.policy.validity))


add = Op("add sharer", _add)
data_s = Op("Data(S) to requester", _data_s, "answer")
data_e = Op("Data(E) to requester", _data_e, "answer")
downgrade = Op("FwdGetS to holder", _downgrade)
grant = Op("new epoch; Data(M) to requester", _grant, "answer")
grant_next = Op("new epoch; Data(M) to first waiter", _grant_next, "answer")
renew = Op("Data(M) to owner", _renew, "answer")
enqueue = Op("join queue", _enqueue)
requeue = Op("note newer ask", _enqueue)
dequeue = Op("leave queue", _dequeue)
ask_owner = Op("FwdGetM to owner", _ask_owner)
end_grant = Op("owner := none", _end_grant)
commit = Op("version + 1", _commit)
announce = Op("Inv or Update to other sharers", _announce, "signal, push or pointer")
put_ack_s = Op("PutAck(S) to writer", _put_ack_s)
put_ack_e = Op("PutAck(E) to writer", _put_ack_e)
put_ack_same = Op("PutAck(S, base) to writer", _put_ack_same)
await_acks = Op("owe writer the answer", _await)
verdict_again = Op("same PutAck or Nack", _verdict_again)
nack_stale = Op("Nack(stale)", _nack_stale)
nack_fenced = Op("Nack(fenced)", _nack_fenced)
nack_busy = Op("Nack(busy)", _nack_busy)
nack_check = Op("Nack(stale), not remembered", _nack_check)
acked = Op("note ack", _acked)
forget_copy = Op("drop sharer", _forget_copy)
forget = Op("drop sharer, place in queue, pending answer", _forget)
give_up_acks = Op("drop silent sharers", _give_up_acks)
push = Op("Update to every member", _push, "push")
arm_push = Op("arm push", _arm_push)
arm_grant = Op("arm grant lease", _arm_grant)
arm_acks = Op("arm acks", _arm_acks)

FREE = "I S E"
BUSY = "M S_A"
EVERY = f"{FREE} {BUSY}"
HELD = f"S E {BUSY}"

# Sources of rows.
PRIMER = "Primer 8.3"
LAST = "Primer 8.3, PutS-Last"
PAPER = "paper, strategies"
NOBODY = "ours: home has the committed content, no cache waits"
CAS = "ours: compare on version and digest"
NET = "ours: messages may be lost, repeated, late"
LEASE = "ours: grants are queued, leased, fenced"
SAME = "ours: a commit that changes nothing makes no version"
STRICT = "ours: acks are collected at home"
LAPSED = "ours: a copy that must have lapsed is as good as an ack"
GOODBYE = "ours: a leaving or crashed agent says so"
AGAIN = "ours: timers start over"

HOME: Table[HomeScratch] = Table(
    "home",
    HomeAt,
    [
        # Reads.
        Row(FREE, "GetS/sole", (add, data_e), "E", "GetSSole", PRIMER),
        Row("S", "GetS", (add, data_s), "S", "GetS", PRIMER),
        Row("E", "GetS", (downgrade, add, data_s), "S", "GetSOfE", NOBODY),
        Row(BUSY, "GetS GetS/sole", (add, data_s), "=", "GetSBeside", NOBODY),
        # Grants.
        Row("I S", "GetM", (grant,), "M", "GetM", PRIMER),
        Row("E", "GetM", (downgrade, grant), "M", "GetM", NOBODY),
        Row("M", "GetM", (enqueue, ask_owner), "=", "GetMWaits", LEASE),
        Row("S_A", "GetM", (enqueue,), "=", "GetMWaits", LEASE),
        Row(BUSY, "GetM/queued", (requeue,), "=", "GetMAgain", NET),
        Row("M", "GetM/owner", (renew,), "=", "GetMRenews", LEASE),
        Row("M", "PutE/owner", (end_grant,), "S", "PutEOwner", PRIMER),
        Row(BUSY, "PutE/queued", (dequeue,), "=", "PutEQueued", LEASE),
        Row("M", "grant", (end_grant,), "S", "GrantExpires", LEASE),
        Row(FREE, "Queued", (grant_next,), "M", "GrantNext", LEASE),
        # Commits.
        Row(FREE, "PutM", (commit, announce), "S_A", "PutM", CAS),
        Row("M", "PutM/owner", (end_grant, commit, announce), "S_A", "PutMOwner", PRIMER),
        Row(BUSY, "PutM", (nack_busy,), "=", "PutMBusy", LEASE),
        # The hint E may stay at its holder: it confers no right, and no other cache needs a
        # message.
        Row(FREE, "PutM/same", (add, put_ack_same), "S", "PutMSame", SAME),
        Row("M", "PutM/same", (add, put_ack_same), "=", "PutMSame", SAME),
        Row("M", "PutM/same-owner", (end_grant, add, put_ack_same), "S", "PutMSame", SAME),
        # Not visible to all yet: a reader told of the commit could still be served the old version.
        Row("S_A", "PutM/same", (nack_busy,), "=", "PutMBusy", STRICT),
        Row(EVERY, "PutM/stale", (nack_stale,), "=", "PutMStale", CAS),
        Row(EVERY, "PutM/fenced", (nack_fenced,), "=", "PutMFenced", LEASE),
        Row(EVERY, "PutM/again", (verdict_again,), "=", "PutMAgain", NET),
        Row("S_A", "PutM/pending", (), "=", "Late", NET),
        # Others sent its Leave by mistake.  An answer now would precede the acknowledgements.
        Row("S_A", "PutM/unseen", (add, await_acks), "=", "PutMAwaits", STRICT),
        # A grant of another agent has changed nothing yet; a commit that is not visible yet has.
        Row(EVERY, "Check", (), "=", "Check", CAS),
        Row(EVERY, "Check/stale", (nack_check,), "=", "CheckStale", CAS),
        # A commit becomes visible.
        Row("S_A", "LastAck", (put_ack_s,), "S", "Visible", STRICT),
        Row("S_A", "LastAck/sole", (put_ack_e,), "E", "VisibleSole", STRICT),
        Row("S_A", "Lazy", (put_ack_s,), "S", "VisibleLater", PAPER),
        Row(HELD, "InvAck", (acked,), "=", "InvAck", STRICT),
        Row(HELD, "acks", (give_up_acks,), "=", "AcksExpire", LAPSED),
        # Departures.
        Row(HELD, "PutS PutE", (forget_copy,), "=", "PutS", PRIMER),
        Row("S E", "Empty", (), "I", "Empty", LAST),
        Row("I", "Leave", (), "=", "Leave", GOODBYE),
        Row(HELD, "Leave", (forget,), "=", "Leave", GOODBYE),
        Row("M", "Leave/owner", (forget, end_grant), "S", "LeaveOwner", GOODBYE),
        # Late messages are ignored.
        Row(EVERY, "PutM/late PutS/late PutE/late InvAck/late", (), "=", "Late", NET),
        Row(HELD, "GetS/late GetM/late Leave/late", (), "=", "Late", NET),
        # Home's own timer and crash.
        Row(FREE, "push", (push,), "S", "Push", PAPER),
        Row(BUSY, "push", (push,), "=", "Push", PAPER),
        Row("I", "Restart", (arm_push,), "=", "HomeRestart", AGAIN),
        Row("S E S_A", "Restart", (arm_push, arm_acks), "=", "HomeRestart", AGAIN),
        Row("M", "Restart", (arm_push, arm_acks, arm_grant), "=", "HomeRestart", AGAIN),
    ],
)


def _get_s(x: X) -> str:
    if _heard(x) > x.msg.serial:
        return "GetS/late"
    return "GetS" if any_other(x.sharers, x.src) else "GetS/sole"


def _get_m(x: X) -> str:
    # An older request may claim a base that its cache has forgotten since.
    if _heard(x) > x.msg.serial:
        return "GetM/late"
    if x.at is AT_M and x.owner == x.src:
        return "GetM/owner"
    if waiting(x.queue, x.src) >= 0:
        return "GetM/queued"
    return "GetM"


def _put_m(x: X) -> str:
    msg: PutM = x.msg
    verdict = judged(x.verdicts, x.src)
    if verdict is not None and msg.serial <= verdict.serial:
        if msg.serial < verdict.serial:
            return "PutM/late"
        if x.writer == x.src and x.writer_serial == msg.serial:
            return "PutM/pending"
        made = verdict.refusal is None and verdict.version == x.version
        return "PutM/unseen" if made and x.at is AT_S_A else "PutM/again"
    if _heard(x) > msg.serial:
        # Its cache has forgotten it in a crash, awaits no answer, and may have a copy since, which
        # a commit now would leave stale: a writer is not told of its own commit.
        return "PutM/late"
    owns = x.at is AT_M and x.owner == x.src
    fenced = msg.epoch and not (owns and msg.epoch == x.epoch)
    current = digest_of(x.content)
    derived = msg.base == x.version and (msg.digest is None or msg.digest == current)
    if derived and _is_same(msg.content, current):
        # A message under an ended grant changes nothing either, and does not end a live grant.
        return "PutM/same-owner" if owns and not fenced else "PutM/same"
    if fenced:
        return "PutM/fenced"
    if not derived:
        return "PutM/stale"
    return "PutM/owner" if owns else "PutM"


def _is_same(content: Content, current: Digest) -> bool:
    # No digest, or an empty one, proves nothing.
    found = digest_of(content)
    return bool(found and found == current) or type(found) is Current


def _check(x: X) -> str:
    msg: Check = x.msg
    current = msg.digest is None or msg.digest == digest_of(x.content)
    return "Check" if msg.base == x.version and current else "Check/stale"


def _put_e(x: X) -> str:
    msg: PutE = x.msg
    if x.at is AT_M and x.owner == x.src:
        # A newer request has renewed the grant that an older message returns.
        returns = msg.epoch == x.epoch and msg.serial >= x.owner_serial
        if returns or (not msg.epoch and msg.serial == x.owner_serial):
            return "PutE/owner"
    if msg.epoch:
        return "PutE/late"
    if waiting(x.queue, x.src) == msg.serial:
        return "PutE/queued"
    return "PutE" if 0 <= _heard(x) <= msg.serial else "PutE/late"


def _put_s(x: X) -> str:
    return "PutS" if 0 <= _heard(x) <= x.msg.serial else "PutS/late"


def _leave(x: X) -> str:
    if _heard(x) > x.msg.serial:
        return "Leave/late"
    return "Leave/owner" if x.at is AT_M and x.owner == x.src else "Leave"


def _inv_ack(x: X) -> str:
    return (
        "InvAck" if known(x.unacked, x.src) >= 0 and x.msg.version >= x.version else "InvAck/late"
    )


#: The event of each kind of message, as in `coherence.cache`.
_GUARDED: dict[Any, Callable[[X], str]] = {
    GetS: _get_s,
    GetM: _get_m,
    PutM: _put_m,
    Check: _check,
    PutE: _put_e,
    PutS: _put_s,
    Leave: _leave,
    InvAck: _inv_ack,
}


class Home(Automaton[HomeState, HomeScratch]):
    """The process that holds one artifact's committed content and its directory of copies.

    `version` and `content` are its start values; version 0 means that nothing was ever written.
    Raises `InvalidPolicy` if `policy` leaves open a bound that a home needs.

    Promises: versions grow by one; a commit is derived from its predecessor; at most one grant
    lives; a commit under an ended grant is refused; waiters are served in order of asking.
    """

    table = HOME
    scratch = HomeScratch

    def __init__(self, policy: Policy, version: Version = 0, content: Content = None) -> None:
        self.policy = require_bounds(policy)
        self.version = version
        self.content = content

    def initial(self) -> HomeState:
        """No copies, no grant.  Step `Restart` once where the policy has a periodic push."""
        return HomeState(version=self.version, content=self.content)

    def durable(self, state: HomeState) -> HomeState:
        """The whole state: home must not forget."""
        return state

    def classify(self, x: HomeScratch, event: Event[Any, Message]) -> str:
        if type(event) is Receive:
            x.src = event.src
            x.msg = event.message
            kind = type(x.msg)
            guard = _GUARDED.get(kind)
            return guard(x) if guard is not None else kind.__name__
        if type(event) is Timeout:
            return event.name
        assert type(event) is Restart
        return "Restart"

    def follows(self, x: HomeScratch) -> str | None:
        at = x.at
        if at is AT_S_A:
            if not x.unacked:
                sole = x.sharers and not any_other(x.sharers, x.writer) and not x.queue
                return "LastAck/sole" if sole else "LastAck"
            return "Lazy" if x.policy.visibility is LAZY else None
        if at is AT_M:
            return None
        if x.queue:
            return "Queued"
        return "Empty" if not x.sharers and at is not AT_I else None
