"""A version is named by number and digest: one number may name two contents.

That is so where a store went back to an earlier state.
"""

from __future__ import annotations

import msgspec
import pytest

from coherence.contents import TOMBSTONE, Handle, Kind, digest
from coherence.directory import Home
from coherence.messages import Data, GetM, GetS, Nack, Permission, PutM, Refusal, digest_of
from coherence.policy import Lazy
from coherence.refs import Ref
from coherence.states import HomeAt, HomeState, Sharer, Verdict, Waiter
from coherence.stores.codec import pack_row, unpack_row
from coherence.stores.port import HomeRow
from coherence.view import Gone, View
from message_passing.process import Receive, Timeout

HOME = Home(Lazy(delta_window=5), version=3, content="three")
HANDLE = Handle(Kind.TEXT, 5, digest(Kind.TEXT, b"three"))


def answer(state: HomeState, message: GetS | GetM) -> Data:
    (sent, *_) = HOME.step(state, Receive("ann", message), 0.0).commands
    assert isinstance(sent.message, Data)
    return sent.message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, None),
        ("text", "text"),
        (("a", 1), ("a", 1)),
        (HANDLE, HANDLE.digest),
        (View(Ref("plan.md", 3), "three", HANDLE), HANDLE.digest),
        (Gone(Ref("plan.md", 4), TOMBSTONE), TOMBSTONE.digest),
    ],
)
def test_a_digest_is_borne_by_the_content_or_is_the_content(content, expected):
    assert digest_of(content) == expected


@pytest.mark.parametrize("kind", [GetS, GetM])
def test_unchanged_is_said_of_an_equal_digest_only(kind):
    start = HOME.initial()
    same = answer(start, kind(1, 3, "three"))
    assert (same.base, same.content) == (3, None)
    for other in ("drei", None):
        whole = answer(start, kind(1, 3, other))
        assert (whole.version, whole.base, whole.content) == (3, 0, "three")


def test_an_owner_that_renews_with_another_content_gets_the_current_one():
    state = HOME.step(HOME.initial(), Receive("ann", GetM(1, 3, "three")), 0.0).state
    renewed = answer(state, GetM(2, 3, "drei"))
    assert (renewed.grant, renewed.epoch, renewed.base, renewed.content) == (
        Permission.M,
        1,
        0,
        "three",
    )


@pytest.mark.parametrize(
    ("waiter", "base"),
    [(Waiter("ann", 4, 3, "three"), 3), (Waiter("ann", 4, 3, "drei"), 0), (Waiter("ann", 4, 3), 0)],
)
def test_what_a_waiter_holds_is_compared_when_its_turn_comes(waiter, base):
    home = Home(Lazy(grant_lease=10.0))
    state = HomeState(HomeAt.M, 3, "three", owner="bob", owner_serial=1, epoch=1, queue=(waiter,))
    given = home.step(state, Timeout("grant"), 20.0)
    (data,) = [c.message for c in given.commands if isinstance(getattr(c, "message", None), Data)]
    assert (data.grant, data.base, data.content is None) == (Permission.M, base, base > 0)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("known", ["three", None])
def test_a_commit_stands_whose_base_is_the_current_content_or_is_known_by_number(epoch, known):
    state = HOME.initial()
    if epoch:
        state = HOME.step(state, Receive("ann", GetM(1, 0)), 0.0).state
    step = HOME.step(state, Receive("ann", PutM(2, 3, epoch, "four", known)), 0.0)
    assert (step.state.version, step.state.content) == (4, "four")


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_commit_from_another_content_of_that_version_is_stale_under_a_grant_too(epoch):
    state = HOME.initial()
    if epoch:
        state = HOME.step(state, Receive("ann", GetM(1, 0)), 0.0).state
    step = HOME.step(state, Receive("ann", PutM(2, 3, epoch, "vier", "drei")), 0.0)
    assert step.action == "PutMStale"
    assert [c.message for c in step.commands] == [Nack(2, Refusal.STALE, 3)]
    assert (step.state.version, step.state.content) == (3, "three")
    assert step.state.verdicts == (Verdict("ann", 2, 3, Refusal.STALE),)


# What earlier releases have written.


class OldWaiter(msgspec.Struct, frozen=True, tag="Waiter", array_like=True):
    cache: str
    serial: int
    have: int


def test_a_row_of_an_earlier_release_is_read_and_its_waiter_gets_the_content_whole():
    state = HomeState(
        HomeAt.M,
        3,
        HANDLE,
        (Sharer("ann", 4),),
        "bob",
        1,
        1,
        verdicts=(Verdict("ann", 4, 3, None),),
    )
    old = msgspec.structs.replace(state, queue=(OldWaiter("ann", 4, 3),))
    row = unpack_row(msgspec.msgpack.encode(HomeRow(old, (("grant", 9.0),))))
    assert row.state == msgspec.structs.replace(state, queue=(Waiter("ann", 4, 3),))
    assert unpack_row(pack_row(row)) == row
    given = Home(Lazy(grant_lease=10.0)).step(row.state, Timeout("grant"), 20.0)
    (data,) = [c.message for c in given.commands if isinstance(getattr(c, "message", None), Data)]
    assert (data.base, data.content) == (0, HANDLE)


def test_a_digest_is_stored_as_it_is():
    queue = (Waiter("ann", 4, 3, HANDLE.digest),)
    row = HomeRow(HomeState(HomeAt.M, 3, HANDLE, owner="bob", owner_serial=1, epoch=1, queue=queue))
    assert unpack_row(pack_row(row)) == row


@pytest.mark.parametrize("kind", ["GetS", "GetM"])
def test_a_message_of_an_earlier_release_is_read(kind):
    message = msgspec.convert({"type": kind, "serial": 2, "have": 3}, GetS | GetM)
    assert (message.serial, message.have, message.digest) == (2, 3, None)
