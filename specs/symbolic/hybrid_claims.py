"""The inductive invariant of the hybrid: what always holds of one process, and of any packet.

Each claim is about one process, `ME`, and is said of an arbitrary own message `i`, another id `k`,
a secret `n`, a peer `q`, and a message `j` of any process `w`.  Of other processes the claims only
say which messages are delivered; that only grows.  So a step of one process breaks no claim about
another, and neither the number of processes nor the number of messages appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import z3
from z3 import And, Implies, Not, Or

from specs.symbolic.hybrid_views import ME, ProcessView, carried, dst, got_at, need, out_at

Claim: TypeAlias = tuple[str, Any]

CAUSAL = "causal order"
SECRETS = "lemma: secrets cover what is undelivered"
QUEUE = "lemma: what waits has a reason, what is sent has none"
CURSORS = "lemma: cursors skip nothing that is open"
CHAIN = "lemma: the chain of a pair has no gap"
BOOKS = "lemma: acknowledged means delivered"
PACKETS = "lemma: packets say what is true"
REFUSED = "no packet is refused"


@dataclass(frozen=True)
class About:
    """The names that claims are said of."""

    i: Any
    k: Any
    n: Any
    q: Any
    prev: Any
    w: Any
    j: Any


ANY = About(*z3.Ints("any_i any_k any_n any_q any_prev any_w any_j"))


def of_state(s: ProcessView, about: About, chained: bool) -> Iterator[Claim]:
    """Every claim about ME, of these names."""
    yield from of_counts(s)
    yield from of_own(s, about.i)
    yield from of_pair(s, about.i, about.k)
    yield from of_secret(s, about.n)
    yield from of_link(s, about.q, about.k)
    yield from of_past(s, about.w, about.j)
    yield from of_message(s, about.i, about.w, about.j)
    yield from of_filed(s, about.q, about.prev, about, chained)


def of_counts(s: ProcessView) -> Iterator[Claim]:
    """Where the cursors may stand."""
    yield CURSORS, And(s.first >= 1, s.first <= s.second, s.second <= s.next)
    yield CURSORS, And(s.kept_first >= 1, s.kept_first <= s.kept_second)
    yield CURSORS, s.kept_second <= s.kept_next
    yield CURSORS, And(s.waiting >= 1, s.waiting <= s.next, s.ahead <= s.next)


def of_own(s: ProcessView, i: Any) -> Iterator[Claim]:
    """A message of ME: until it is delivered and no secret, there is an entry."""
    own, to = s.own, dst(ME, i)
    here, was_sent = own.has(i), own.of("sent", i)
    out, acked = s.links.of("out", to), s.links.of("acked", to)
    bound = And(i >= 1, i < s.next)
    yield BOOKS, Implies(here, And(bound, to == own.of("party", i), to != ME))
    yield BOOKS, Implies(And(bound, Not(here), to != ME), i <= acked)
    yield BOOKS, Implies(here, own.of("acked", i) == (i <= acked))
    yield BOOKS, Implies(And(here, Not(was_sent)), Not(own.of("secret", i)))
    is_open = And(here, Not(own.of("acked", i)))
    yield CURSORS, Implies(is_open, And(i >= s.first, Or(i >= s.second, to == s.party)))
    yield CHAIN, Implies(here, was_sent == (i <= out))
    before = own.of("prev", i)
    chain = And(before >= 0, before < i, Implies(before > 0, dst(ME, before) == to))
    yield CHAIN, Implies(And(here, was_sent), chain)
    yield QUEUE, Implies(here, own.of("need", i) == need(ME, i))
    yield QUEUE, Implies(bound, And(need(ME, i) >= 1, need(ME, i) <= s.kept_next))
    passed = And(need(ME, i) <= s.kept_second, to != s.kept_party)
    waits = And(s.waiting <= i, s.kept_older(to) < need(ME, i), Implies(i < s.ahead, passed))
    yield QUEUE, Implies(And(here, Not(was_sent)), waits)


def of_pair(s: ProcessView, i: Any, k: Any) -> Iterator[Claim]:
    """Two messages of ME."""
    own, to = s.own, dst(ME, i)
    was_sent = And(own.has(i), own.of("sent", i))
    earlier = And(k >= 1, k < i, dst(ME, k) != to)
    plain = And(was_sent, Not(own.of("secret", i)), earlier)
    yield SECRETS, Implies(plain, s.delivered(ME, k))
    yield CHAIN, Implies(And(was_sent, own.of("prev", i) < k, k < i), dst(ME, k) != to)
    yield QUEUE, Implies(And(k >= 1, k < i, i < s.next), need(ME, k) <= need(ME, i))


def of_secret(s: ProcessView, n: Any) -> Iterator[Claim]:
    """A secret that ME keeps is behind the cursors until it is released."""
    party = s.kept.of("party", n)
    live = And(s.kept.has(n), s.kept.of("id", n) > s.links.of("told", party))
    placed = And(n >= s.kept_first, Or(n >= s.kept_second, party == s.kept_party))
    got = And(party != ME, s.kept.of("id", n) >= 1, s.kept.of("id", n) <= s.links.of("got", party))
    yield BOOKS, Implies(s.kept.has(n), got)
    yield CURSORS, Implies(s.kept.has(n), n < s.kept_next)
    yield CURSORS, Implies(live, placed)


def of_link(s: ProcessView, q: Any, k: Any) -> Iterator[Claim]:
    """What has passed between ME and the peer `q`."""
    out, acked, let, got, told = (s.links.of(f, q) for f in ("out", "acked", "let", "got", "told"))
    peer = q != ME
    yield BOOKS, Implies(peer, And(acked >= 0, acked <= out, out < s.next, got >= 0, told >= 0))
    yield BOOKS, Implies(And(peer, out > 0), dst(ME, out) == q)
    settled = And(dst(ME, acked) == q, acked <= got_at(q, ME))
    yield BOOKS, Implies(And(peer, acked > 0), settled)
    yield BOOKS, Implies(And(peer, got > 0), And(dst(q, got) == ME, got <= out_at(q, ME)))
    yield PACKETS, Implies(And(peer, let != 0), released(s, ME, q, let, k))
    yield PACKETS, Implies(And(peer, told != 0), released(s, q, ME, told, k))


def of_past(s: ProcessView, w: Any, j: Any) -> Iterator[Claim]:
    """A message that happened before the next message of ME."""
    known, n = s.knows(w, j), s.since(w, j)
    yield CAUSAL, Implies(w == ME, known == And(j >= 1, j < s.next))
    yield CAUSAL, Implies(known, And(j >= 1, j < s.count(w)))
    yield CAUSAL, Implies(And(known, dst(w, j) == ME), s.delivered(w, j))
    id = s.kept.of("id", n)
    kept = And(s.kept.has(n), s.kept.of("party", n) == w, j < id, id > s.links.of("told", w))
    yield SECRETS, Implies(And(known, w != ME, Not(s.delivered(w, j))), kept)


def of_message(s: ProcessView, i: Any, w: Any, j: Any) -> Iterator[Claim]:
    """The message `i` of ME, and a message that happened before it."""
    to, before = dst(ME, i), And(i >= 1, i < s.next, carried(ME, i, w, j))
    yield QUEUE, Implies(before, And(j >= 1, j < s.count(w), Implies(w == ME, j < i)))
    bound = And(s.knows(w, j), s.since(w, j) < need(ME, i))
    yield QUEUE, Implies(And(before, w != ME, Not(s.delivered(w, j))), bound)
    went = And(to != ME, i <= s.links.of("out", to))
    yield QUEUE, Implies(And(before, went, w != ME, w != to), s.delivered(w, j))


def of_filed(s: ProcessView, q: Any, prev: Any, about: About, chained: bool) -> Iterator[Claim]:
    """A packet that came before its turn."""
    filed = s.links.filing(q)
    if not chained:
        yield PACKETS, Implies(q != ME, Not(filed.has(prev)))
        return
    id, eager = filed.of("id", prev), filed.of("eager", prev)
    yield PACKETS, Implies(And(q != ME, filed.has(prev)), data(s, q, ME, id, prev, eager, about))


def of_growth(before: ProcessView, after: ProcessView, q: Any) -> Iterator[Claim]:
    """What other processes rely on: ME only delivers, sends and accepts more."""
    counts = [after.links.of(f, q) >= before.links.of(f, q) for f in ("got", "out")]
    yield BOOKS, And(before.next <= after.next, Implies(q != ME, And(counts)))


# Packets.


def data(s: ProcessView, src: Any, to: Any, id: Any, prev: Any, eager: Any, about: About) -> Any:
    """What is true of a `Data` from `src` to `to`; `prev` is the id that was sent there before."""
    k, w, j = about.k, about.w, about.j
    out = s.links.of("out", to) if src is ME else out_at(src, ME)
    before = carried(src, id, w, j)
    foreign = And(before, w != src, w != to)
    return And(
        src != to,
        dst(src, id) == to,
        prev >= 0,
        prev < id,
        id <= out,
        id < s.count(src),
        Implies(And(prev < k, k < id), dst(src, k) != to),
        Implies(Not(eager), released(s, src, to, id, k)),
        Implies(before, And(j >= 1, j < s.count(w), Implies(w == src, j < id))),
        Implies(foreign, s.delivered(w, j)),
    )


def released(s: ProcessView, src: Any, to: Any, id: Any, k: Any) -> Any:
    """Of a `Release`: what `src` sent to others before `id` is delivered."""
    earlier = And(k >= 1, k < id, dst(src, k) != to)
    return And(id >= 1, Implies(earlier, s.delivered(src, k)))


def acknowledged(s: ProcessView, src: Any, to: Any, id: Any) -> Any:
    """Of an `Ack`: `src` was delivered the message `id` of `to`."""
    got = s.links.of("got", to) if src is ME else got_at(src, ME)
    out = s.links.of("out", src) if to is ME else out_at(to, ME)
    return And(id >= 1, id <= got, id <= out, dst(to, id) == src)
