"""The requester side: one agent's cache of one artifact, as a table.

The shape comes from the Primer, section 8.3 (MESI directory protocol, cache controller).  The
source of each row says how it differs and why.  The three main differences:

* **M holds a draft.**  It is private until committed, so a cache in M disturbs no reader, and
  `Data` that arrives in M carries the version that the draft starts from.
* **A copy lapses.**  Every readable copy has a timer, counted from before it was asked for.  When
  it is due, or the driver saw a gap in what home sent, home must confirm the copy before it is
  served again.
* **Home waits for a cache** no longer than that timer.  E is a hint, and home takes it back with
  one message.

This module knows nothing of content, tokens, clocks, the network or other artifacts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coherence.messages import (
    Abandon,
    Commit,
    Committed,
    Content,
    Data,
    Done,
    Epoch,
    GetM,
    GetS,
    Granted,
    Inv,
    InvAck,
    Leave,
    Load,
    Loaded,
    Message,
    Nack,
    Permission,
    PutAck,
    PutE,
    PutM,
    PutS,
    Refusal,
    Refused,
    Request,
    Serial,
    Update,
    Version,
    digest_of,
)
from coherence.policy import Policy, Use
from coherence.states import READABLE, CacheAt, CacheState
from coherence.table import Automaton, Op, Row, Scratch, Stall, Table
from message_passing.process import (
    Address,
    CancelTimer,
    Deliver,
    Event,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Time,
    Timeout,
)

VALIDITY = "validity"
RETRY = "retry"
DEADLINE = "deadline"


class CacheScratch(Scratch[CacheState]):
    """A cache's state being rewritten, with the request or message that came."""

    __slots__ = (
        "again",
        "asked",
        "before",
        "content",
        "dead_through",
        "epoch",
        "home",
        "msg",
        "policy",
        "serial",
        "src",
        "uses",
        "version",
    )

    def __init__(self, cache: Cache, state: CacheState, now: Time) -> None:
        self.before = state
        self.at = state.at
        self.version: Version = state.version
        self.content: Content = state.content
        self.dead_through: int = state.dead_through
        self.serial: Serial = state.serial
        self.epoch: Epoch = state.epoch
        self.uses = state.uses
        self.asked: GetS | GetM | PutM | None = state.asked
        self.again = state.again
        self.policy = cache.policy
        self.home = cache.home
        self.now = now
        self.src: Address = ""
        self.msg: Any = None
        self.out = []

    def freeze(self) -> CacheState:
        return CacheState(
            self.at,
            self.version,
            self.content,
            self.dead_through,
            self.serial,
            self.epoch,
            self.uses,
            self.asked,
            self.again,
        )


X = CacheScratch

# Operations.  Each does one thing; a row lists its operations in order.


def _ask(x: X, message: GetS | GetM | PutM) -> None:
    x.asked = message
    x.out.append(Send(x.home, message))
    if x.policy.retry_after is not None:
        x.out.append(SetTimer(RETRY, x.now + x.policy.retry_after))
    if x.policy.validity is not None:
        x.out.append(SetTimer(VALIDITY, x.now + x.policy.validity))
    x.serial = message.serial


def _ask_gets(x: X) -> None:
    _ask(x, GetS(x.serial + 1, x.version, digest_of(x.content)))


def _ask_getm(x: X) -> None:
    _ask(x, GetM(x.serial + 1, x.version, digest_of(x.content)))


def _insist(x: X) -> None:
    x.again = True


def _go_back(x: X) -> None:
    x.dead_through = x.msg.version - 1


def _ask_putm(x: X) -> None:
    msg: Commit = x.msg
    _ask(x, PutM(x.serial + 1, msg.base, msg.epoch, msg.content, msg.digest))


def _set_deadline(x: X) -> None:
    if x.msg.wait is not None:
        x.out.append(SetTimer(DEADLINE, x.now + x.msg.wait))


def _ask_again(x: X) -> None:
    x.out.append(Send(x.home, x.asked))
    # A driver may repeat a request itself on a network that is not expected to lose messages.
    if x.policy.retry_after is not None:
        x.out.append(SetTimer(RETRY, x.now + x.policy.retry_after))


def _answered(x: X) -> None:
    x.asked = None
    x.again = False
    if x.policy.retry_after is not None:
        x.out.append(CancelTimer(RETRY))


def _cancel_deadline(x: X) -> None:
    x.out.append(CancelTimer(DEADLINE))


def _lapse(x: X) -> None:
    if x.policy.validity is not None:
        x.out.append(CancelTimer(VALIDITY))


def _take(x: X) -> None:
    if x.msg.base != x.msg.version or not x.msg.version:
        x.content = x.msg.content
    x.version = x.msg.version
    x.uses = 0


def _take_grant(x: X) -> None:
    x.epoch = x.msg.epoch


def _take_draft(x: X) -> None:
    assert isinstance(x.asked, PutM)
    x.version = x.msg.version
    x.content = x.asked.content
    x.uses = 0
    x.epoch = 0


def _count(x: X) -> None:
    x.uses += 1


def _kill(x: X) -> None:
    stale = x.msg.stale if type(x.msg) is Inv else x.msg.version - 1
    x.dead_through = max(x.dead_through, stale)
    x.again = False


def _ack(x: X) -> None:
    if type(x.msg) is Inv:
        if x.msg.ack:
            x.out.append(Send(x.home, InvAck(x.msg.stale + 1)))
    else:
        x.out.append(Send(x.home, InvAck(x.msg.version)))


def _drop(x: X) -> None:
    x.version = 0
    x.content = None
    x.uses = 0


def _put_s(x: X) -> None:
    x.serial += 1
    x.out.append(Send(x.home, PutS(x.serial)))


def _put_e(x: X) -> None:
    x.serial += 1
    x.out.append(Send(x.home, PutE(x.serial, 0)))


def _return_grant(x: X) -> None:
    epoch = x.msg.epoch if type(x.msg) in (Abandon, Data) else x.epoch
    x.out.append(Send(x.home, PutE(x.serial, epoch)))
    if epoch == x.epoch:
        x.epoch = 0


def _give_up(x: X) -> None:
    x.out.append(Send(x.home, PutE(x.serial, 0)))
    x.out.append(Respond(Refused(Refusal.DEADLINE, x.version)))


def _farewell(x: X) -> None:
    x.serial += 1
    x.epoch = 0
    x.out.append(Send(x.home, Leave(x.serial)))


def _forward(x: X) -> None:
    x.out.append(Deliver(x.src, x.msg))


def _loaded(x: X) -> None:
    x.out.append(Respond(Loaded(x.version, x.content)))


def _granted(x: X) -> None:
    x.out.append(Respond(Granted(x.version, x.content, x.epoch)))


def _committed(x: X) -> None:
    x.out.append(Respond(Committed(x.msg.version)))


def _refused(x: X) -> None:
    if x.msg.reason is Refusal.FENCED:
        x.epoch = 0
    x.out.append(Respond(Refused(x.msg.reason, x.msg.version)))


def _done(x: X) -> None:
    x.out.append(Respond(Done()))


ask_gets = Op("GetS(have, digest) to home", _ask_gets)
ask_getm = Op("GetM(have, digest) to home", _ask_getm)
insist = Op("note that it asks again", _insist)
go_back = Op("dead_through := before Data's version", _go_back)
ask_putm = Op("PutM(base, epoch, digest) to home", _ask_putm)
ask_again = Op("same request to home", _ask_again)
set_deadline = Op("arm deadline", _set_deadline)
answered = Op("request done", _answered)
cancel_deadline = Op("disarm deadline", _cancel_deadline)
lapse = Op("disarm validity", _lapse)
take = Op("copy := Data", _take)
take_grant = Op("epoch := Data's", _take_grant)
take_draft = Op("copy := own draft", _take_draft)
count = Op("count the use", _count)
kill = Op("dead_through := the older", _kill)
ack = Op("InvAck to home, if asked", _ack)
drop = Op("forget content", _drop)
put_s = Op("PutS to home", _put_s)
put_e = Op("PutE to home", _put_e)
return_grant = Op("PutE(epoch) to home", _return_grant)
give_up = Op("PutE(serial) to home; answer Refused(deadline)", _give_up)
farewell = Op("Leave to home", _farewell)
forward = Op("hand to application", _forward)
loaded = Op("answer Loaded", _loaded)
granted = Op("answer Granted", _granted)
committed = Op("answer Committed", _committed)
refused = Op("answer Refused", _refused)
done = Op("answer Done", _done)

STABLE = "I S E M"
LIVE = "S E M"
READING = "IS_D IS_D_I"
ASKING = "IM_D IM_D_I SM_D"
WRITING = "IS_A IS_A_I MS_A"
TRANSIENT = f"{READING} {ASKING} {WRITING}"
EVERY = f"{STABLE} {TRANSIENT}"
#: No readable copy and a request under way: an announcement only raises `dead_through`.
BARE = f"{READING} IM_D IM_D_I IS_A IS_A_I"

READ = (answered, take, loaded)
GRANTED = (answered, cancel_deadline, take, take_grant, granted)
WROTE = (take_draft, answered, committed)

# Sources of rows.
PRIMER = "Primer 8.3"
ONCE = "Primer 8.3, IS_D_I: use once"
PAPER = "paper, strategies"
BACK = "ours: a home may go back to an earlier state"
BOUND = "ours: a copy lives T from when it was asked for"
DRAFT = "ours: a draft is private until its commit"
CAS = "ours: a write names the version it was derived from"
NET = "ours: messages may be lost, repeated, late"
LEASE = "ours: grants are queued, leased, fenced"
GOODBYE = "ours: a leaving or crashed agent says so"
ONE = "ours: one request at a time"

CACHE: Table[CacheScratch] = Table(
    "cache",
    CacheAt,
    [
        # The application asks.
        Row("I", "Load", (ask_gets,), "IS_D", "LoadMiss", PRIMER),
        Row(LIVE, "Load", (loaded,), "=", "LoadHit", PRIMER),
        Row(LIVE, "Load/counted", (count, loaded), "=", "LoadHit", PAPER),
        Row("S E", "Load/refresh", (ask_gets,), "IS_D", "LoadRefresh", PAPER),
        Row("M", "Load/refresh", (loaded,), "=", "LoadHit", DRAFT),
        Row("I", "Acquire", (ask_getm, set_deadline), "IM_D", "AcquireMiss", PRIMER),
        Row("S E", "Acquire", (ask_getm, set_deadline), "SM_D", "AcquireUpgrade", PRIMER),
        Row("M", "Acquire", (ask_getm, set_deadline), "SM_D", "AcquireRenew", LEASE),
        Row("I", "Commit", (ask_putm,), "IS_A", "CommitBare", CAS),
        Row(LIVE, "Commit", (ask_putm,), "MS_A", "CommitLive", CAS),
        Row("I S E", "Abandon", (return_grant, done), "=", "Abandon", LEASE),
        Row("M", "Abandon", (return_grant, done), "S", "AbandonDraft", LEASE),
        # Home ended that grant before it gave the live one, so it needs no message.
        Row("M", "Abandon/other", (done,), "=", "AbandonOther", LEASE),
        Row("I", "Replacement", (drop, done), "=", "Replace", PRIMER),
        Row("S", "Replacement", (put_s, lapse, drop, done), "I", "Replace", PRIMER),
        Row("E", "Replacement", (put_e, lapse, drop, done), "I", "Replace", PRIMER),
        Row("M", "Replacement", (return_grant, put_s, lapse, drop, done), "I", "Replace", DRAFT),
        Row(STABLE, "Leave", (farewell, lapse, drop, done), "I", "CacheLeave", GOODBYE),
        Stall(TRANSIENT, "Load Acquire Commit Abandon Replacement Leave", ONE),
        # Timers, and the crash of this side.
        Row(STABLE, "validity", (), "I", "Lapse", BOUND),
        Row(READING, "validity", (), "IS_D_I", "Lapse", BOUND),
        Row(ASKING, "validity", (), "IM_D_I", "Lapse", BOUND),
        Row(WRITING, "validity", (), "IS_A_I", "Lapse", BOUND),
        Row(TRANSIENT, "retry", (ask_again,), "=", "Retry", NET),
        Row(ASKING, "deadline", (answered, lapse, give_up), "I", "GiveUp", LEASE),
        Row("I", "Restart", (farewell,), "=", "CacheRestart", GOODBYE),
        # Home answers a GetS.
        Row("IS_D", "Data/S", READ, "S", "DataS", PRIMER),
        Row("IS_D", "Data/E", READ, "E", "DataE", PRIMER),
        Row("IS_D", "Data/killed", (*READ, lapse), "I", "DataOnce", ONCE),
        Row("IS_D_I", "Data/S Data/E Data/killed", READ, "I", "DataOnce", ONCE),
        # Home answers a GetM.
        Row("IM_D SM_D", "Data/M", GRANTED, "M", "DataM", PRIMER),
        Row("IM_D_I", "Data/M", GRANTED, "I", "DataM", BOUND),
        Row("IM_D IM_D_I SM_D", "Data/M-killed", (ask_getm, insist), "IM_D", "DataMDead", NET),
        # Home gives the version although the request came after it was killed: home has gone back.
        Row("IM_D", "Data/M-behind", (go_back, *GRANTED), "M", "DataMBehind", BACK),
        Row("IM_D_I", "Data/M-behind", (go_back, *GRANTED), "I", "DataMBehind", BACK),
        # Home answers a PutM.
        Row("IS_A MS_A", "PutAck/S", WROTE, "S", "PutAckS", DRAFT),
        Row("IS_A MS_A", "PutAck/E", WROTE, "E", "PutAckE", DRAFT),
        Row("IS_A MS_A", "PutAck/killed", (*WROTE, lapse), "I", "PutAckDead", NET),
        Row("IS_A_I", "PutAck/S PutAck/E PutAck/killed", WROTE, "I", "PutAckDead", BOUND),
        # The timer was armed again, and home lists no copy after a refusal: the old copy is only a
        # base.
        Row("IS_A MS_A", "Nack", (answered, refused, lapse), "I", "Nacked", CAS),
        Row("IS_A_I", "Nack", (answered, refused), "I", "Nacked", CAS),
        # An unexpected answer.  A newer request for the grant renews a grant that came late.
        Row(EVERY, "Data/late PutAck/late Nack/late", (), "=", "Late", NET),
        Row(f"{STABLE} {READING} {WRITING}", "Data/M-late", (return_grant,), "=", "Return", NET),
        Row(ASKING, "Data/M-late", (), "=", "Late", LEASE),
        # Home announces a commit.
        Row(STABLE, "Inv Update/pointer", (kill, lapse, ack), "I", "InvStable", PRIMER),
        Row(BARE, "Inv Update/pointer", (kill, ack), "=", "InvBare", PRIMER),
        Row("SM_D", "Inv Update/pointer", (kill, ack), "IM_D", "InvUnder", PRIMER),
        Row("MS_A", "Inv Update/pointer", (kill, ack), "IS_A", "InvUnder", DRAFT),
        Row(LIVE, "Update", (kill, take, ack), "S", "UpdateLive", PAPER),
        Row("I", "Update", (kill, take, ack), "=", "UpdateBare", BOUND),
        Row(BARE, "Update", (kill, ack), "=", "UpdateBare", BOUND),
        Row("SM_D", "Update", (kill, ack), "IM_D", "UpdateUnder", PRIMER),
        Row("MS_A", "Update", (kill, ack), "IS_A", "UpdateUnder", DRAFT),
        Row(EVERY, "Inv/late Update/late", (ack,), "=", "Late", NET),
        # Home forwards requests of other agents.
        Row("E", "FwdGetS", (), "S", "Downgrade", PRIMER),
        Row(f"I S M {TRANSIENT}", "FwdGetS", (), "=", "Late", NET),
        Row(EVERY, "FwdGetM", (forward,), "=", "AskedToFinish", LEASE),
    ],
)

_USE = {Use.FREE: "Load", Use.COUNTED: "Load/counted", Use.REFRESH: "Load/refresh"}
_DATA = {grant: f"Data/{grant}" for grant in Permission}
_PUT_ACK = {grant: f"PutAck/{grant}" for grant in Permission}


def _load(x: X) -> str:
    if x.at in READABLE:
        return _USE[x.policy.use(x.before)]
    return "Load"


def _abandon(x: X) -> str:
    return "Abandon/other" if x.at is CacheAt.M and x.msg.epoch != x.epoch else "Abandon"


def _data(x: X) -> str:
    msg: Data = x.msg
    if x.asked is None or msg.serial != x.asked.serial:
        return "Data/M-late" if msg.grant is Permission.M and msg.epoch > x.epoch else "Data/late"
    if msg.version <= x.dead_through:
        if msg.grant is not Permission.M:
            return "Data/killed"
        return "Data/M-behind" if x.again else "Data/M-killed"
    return _DATA[msg.grant]


def _put_ack(x: X) -> str:
    msg: PutAck = x.msg
    if x.asked is None or msg.serial != x.asked.serial:
        return "PutAck/late"
    return "PutAck/killed" if msg.version <= x.dead_through else _PUT_ACK[msg.grant]


def _nack(x: X) -> str:
    msg: Nack = x.msg
    return "Nack/late" if x.asked is None or msg.serial != x.asked.serial else "Nack"


def _inv(x: X) -> str:
    return "Inv" if x.msg.stale >= x.version else "Inv/late"


def _update(x: X) -> str:
    msg: Update = x.msg
    if msg.version <= max(x.version, x.dead_through):
        return "Update/late"
    return "Update/pointer" if msg.content is None else "Update"


#: The event of each kind of request or message whose name in the table depends on a guard.  The
#: event of every other kind has the kind's name.
_GUARDED: dict[Any, Callable[[X], str]] = {
    Load: _load,
    Abandon: _abandon,
    Data: _data,
    PutAck: _put_ack,
    Nack: _nack,
    Inv: _inv,
    Update: _update,
}


class Cache(Automaton[CacheState, CacheScratch]):
    """The process that holds one agent's copy of one artifact; `home` is where it sends.

    Promises, given the home of `coherence.directory`: a served version was current at some moment
    since the cache last asked; served versions never go back; a refused request changes nothing.
    """

    table = CACHE
    scratch = CacheScratch

    def __init__(self, policy: Policy, home: Address = "home") -> None:
        self.policy = policy
        self.home = home

    def initial(self) -> CacheState:
        """An empty cache that home has not heard of."""
        return CacheState()

    def durable(self, state: CacheState) -> CacheState:
        """Only the serial survives: an answer to a request from before the crash must not match."""
        return CacheState(serial=state.serial)

    def hit(self, state: CacheState) -> Loaded | None:
        """The answer to a `Load` that is a hit without a transition, or None where a step is due.

        A shortcut for a driver whose `validity` timer is not due.  A test shows that it equals the
        rows ``(S E M, Load)``.
        """
        if state.at in READABLE and self.policy.use(state) is Use.FREE:
            return Loaded(state.version, state.content)
        return None

    def classify(self, x: CacheScratch, event: Event[Request, Message]) -> str:
        if type(event) is Receive:
            x.src = event.src
            x.msg = event.message
        elif type(event) is Invoke:
            x.msg = event.request
        elif type(event) is Timeout:
            return event.name
        else:
            assert type(event) is Restart
            return "Restart"
        kind = type(x.msg)
        guard = _GUARDED.get(kind)
        return guard(x) if guard is not None else kind.__name__
