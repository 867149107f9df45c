"""Rule by rule: what each protocol puts on the wire, refuses, keeps and lets out."""

from collections.abc import Callable
from typing import Any

import pytest

from causal import (
    Admit,
    Announcing,
    Broadcast,
    Bss91,
    Csps,
    Cykas,
    CykasRefined,
    DepartedPeer,
    ForgedPacket,
    Hybrid,
    HybridPlain,
    Leave,
    Machine,
    Message,
    Mf95,
    Named,
    NotAMember,
    PeerDown,
    Rst91,
    Secret,
    Unicast,
    UnknownPeer,
    Unsupported,
)
from causal.messages import Ack, Data, NamedData, Notice, Probe, Release
from causal.simulate.walk import Bench
from message_passing.errors import CallerError, Impossible, PeerError
from message_passing.network import Guarantee
from message_passing.process import (
    CancelTimer,
    Deliver,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Timeout,
)

SECRET_KEEPING = [Cykas, CykasRefined, Csps, HybridPlain, Hybrid, Announcing, Named]
WITH_VIEWS = [Mf95, Cykas, CykasRefined, Csps, HybridPlain, Hybrid, Announcing]
UNICAST = [Mf95, *SECRET_KEEPING, Rst91]

Build = Callable[..., Machine[Any]]


def bench(build: Build, team: str = "abcd", **options: Any) -> Bench:
    return Bench({address: build(address, team, **options) for address in team})


def flags(b: Bench) -> list[bool]:
    return [p.eager for _, _, p in b.flying if type(p) is Data]


# What all share.


@pytest.mark.parametrize("build", UNICAST)
def test_a_message_to_oneself_never_touches_the_wire(build: Build) -> None:
    b = bench(build)
    step = b.send("a", "a", "note")
    assert step.commands == (Respond(1), Deliver("a", Message(1, "note")))
    assert b.machines["a"].idle(step.state)
    b.play("a>b")
    assert b.send("a", "a").commands[0] == Respond(3)
    b.drain()
    assert b.outcome().complete


@pytest.mark.parametrize("build", UNICAST)
def test_ids_count_from_one(build: Build) -> None:
    b = bench(build)
    assert [b.send("a", dst).commands[0] for dst in "bcb"] == [Respond(1), Respond(2), Respond(3)]


@pytest.mark.parametrize("build", SECRET_KEEPING)
def test_acknowledgements_never_wait_for_secrets(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c")
    step = b.pass_on("a", "c")
    assert step is not None
    assert Send("a", Ack(2)) in step.commands
    assert Deliver("a", Message(2, None)) in step.commands
    assert [(s.owner, s.id) for s in b.machines["c"].secrets(step.state)] == [("a", 2)]


@pytest.mark.parametrize("build", SECRET_KEEPING)
def test_a_release_comes_when_the_earlier_message_is_in(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c c<a")
    assert b.machines["c"].secrets(b.states["c"])
    b.play("b<a a?b")
    assert ("a", "c", Release(2)) in b.flying
    b.play("c!a")
    assert b.machines["c"].secrets(b.states["c"]) == ()


@pytest.mark.parametrize("build", SECRET_KEEPING)
def test_a_release_may_overtake_its_message(build: Build) -> None:
    b = bench(build, links=Guarantee.UNORDERED)
    b.play("a>b a>c b<a a?b c!a c<a")
    assert b.machines["c"].secrets(b.states["c"]) == ()
    b.drain()
    assert b.outcome().complete


CHAINED = [Csps, HybridPlain, Hybrid, Announcing]


@pytest.mark.parametrize("build", CHAINED)
def test_messages_of_two_senders_wait_for_predecessors_under_one_id(build: Build) -> None:
    b = bench(build, links=Guarantee.UNORDERED)
    b.play("a>c a>c b>c b>c")
    for src in "ab":
        b.arrive(next(i for i, (s, _, p) in enumerate(b.flying) if (s, p.id) == (src, 2)))
    b.drain()
    assert b.outcome().complete


@pytest.mark.parametrize("build", CHAINED)
def test_a_copy_that_is_no_secret_any_more_waits_in_no_second_place(build: Build) -> None:
    machine = build("b", "ab", links=Guarantee.UNORDERED_LOSSY_DUPLICATING)
    state = machine.initial()
    for packet in (
        Data(2, 1, True, "eager"),
        Data(2, 1, False, "eager"),
        Data(1, 0, False, "first"),
        Release(2),
    ):
        state = machine.step(state, Receive("a", packet), 0.0).state
    assert machine.idle(state)


# What tells them apart.


def test_mf95_has_one_message_on_the_wire() -> None:
    b = bench(Mf95)
    b.play("a>b a>c a>d")
    assert [(s, d) for s, d, _ in b.flying] == [("a", "b")]
    assert [h.unacked for h in b.machines["a"].held(b.states["a"])] == [(1,), (1, 2)]
    b.play("b<a a?b")
    assert [(s, d) for s, d, _ in b.flying] == [("a", "c")]


def test_cykas_sends_eagerly_to_others_and_waits_for_the_same_destination() -> None:
    b = bench(Cykas)
    b.play("a>b a>c a>b a>d")
    assert [(d, p.eager) for _, d, p in b.flying] == [("b", False), ("c", True)]


def test_cykas_in_secret_mode_sends_to_nobody_not_even_the_owner() -> None:
    b = bench(Cykas)
    b.play("a>b a>c c<a c>a c>d")
    held = b.machines["c"].held(b.states["c"])
    assert [h.dst for h in held] == ["a", "d"]
    assert {h.secrets for h in held} == {(Secret("a", 2),)}


@pytest.mark.parametrize("build", [CykasRefined, HybridPlain, Hybrid, Announcing, Named])
def test_a_secret_does_not_hold_messages_to_its_owner(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c c<a c>a c>b")
    held = b.machines["c"].held(b.states["c"])
    assert [h.dst for h in held] == ["b"]
    assert [(s.owner, s.id) for s in held[0].secrets] == [("a", 2)]


@pytest.mark.parametrize("build", [CykasRefined, Csps, HybridPlain, Hybrid, Announcing, Named])
def test_a_secret_holds_only_what_was_sent_after_it(build: Build) -> None:
    b = bench(build)
    # c queues C1 under a's secret, then learns one of d's; a's release lets C1 go.
    b.play("a>b a>c c<a c>b d>b d>c c<d")
    assert len(b.machines["c"].held(b.states["c"])) == 1
    b.play("b<a a?b c!a")
    assert b.machines["c"].held(b.states["c"]) == ()


def test_csps_is_eager_towards_the_same_destination_and_the_hybrid_is_not() -> None:
    eager = {}
    for build in (Csps, HybridPlain, Hybrid):
        b = bench(build)
        b.play("a>b a>b a>b")
        eager[build] = flags(b)
    assert eager == {
        Csps: [False, True, True],
        HybridPlain: [False] * 3,
        Hybrid: [False] * 3,
    }


@pytest.mark.parametrize("build", [HybridPlain, Hybrid, Announcing])
def test_the_hybrid_counts_queued_messages_when_it_decides_what_is_eager(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c c<a c>b c>a")  # C1 to b is queued, C2 to a may go
    assert [p.eager for s, _, p in b.flying if s == "c" and type(p) is Data] == [True]


def test_named_secrets_are_kept_from_those_they_name() -> None:
    b = bench(Named)
    b.play("a>b a>c c<a c>d c>b")
    assert [(s, d, p.avoid) for s, d, p in b.flying if s == "c" and hasattr(p, "avoid")] == [
        ("c", "d", ("b",))
    ]
    assert [h.dst for h in b.machines["c"].held(b.states["c"])] == ["b"]
    b.drain()
    assert b.outcome().complete


def test_a_release_stands_for_all_before_it() -> None:
    b = bench(Hybrid)
    b.play("a>b a>c a>c a>c c<a c<a c<a")
    assert len(b.machines["c"].secrets(b.states["c"])) == 3
    b.play("b<a a?b")
    assert [p for s, d, p in b.flying if (s, d) == ("a", "c")] == [Release(4)]
    b.play("c!a")
    assert b.machines["c"].idle(b.states["c"])


def test_the_chain_is_on_the_wire_only_where_links_reorder_or_lose() -> None:
    for links in Guarantee:
        b = bench(Hybrid, links=links)
        b.play("a>b a>b")
        chained = links.lossy or not links.ordered
        assert [p.prev for _, _, p in b.flying] == [0, 1 if chained else 0]


# Effects outside.


@pytest.mark.parametrize("build", SECRET_KEEPING)
def test_effects_wait_for_secrets_and_for_what_was_sent_before(build: Build) -> None:
    b = bench(build)
    machine = b.machines["c"]
    b.play("a>b a>c")
    before = machine.context(b.states["c"])
    b.play("c<a")
    job = machine.context(b.states["c"])
    assert machine.effects_allowed(b.states["c"], before)
    assert not machine.effects_allowed(b.states["c"], job)
    b.play("b<a a?b c!a")
    assert machine.effects_allowed(b.states["c"], job)
    b.play("c>d")
    later = machine.context(b.states["c"])
    assert machine.effects_allowed(b.states["c"], job)
    assert not machine.effects_allowed(b.states["c"], later)
    b.play("d<c c?d")
    assert machine.effects_allowed(b.states["c"], later)


@pytest.mark.parametrize("build", [Rst91, Bss91])
def test_receivers_cannot_tell_when_an_effect_is_safe(build: Build) -> None:
    machine = build("a", "ab")
    with pytest.raises(Unsupported):
        machine.context(machine.initial())


# Crashes and views.


@pytest.mark.parametrize("build", WITH_VIEWS[1:])
def test_a_dead_recipient_mutes_nobody(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c c<a c>d b+")
    b.drain()
    b.play("a-b c-b d-b")
    b.drain()
    assert b.outcome().safe
    assert b.outcome().complete


@pytest.mark.parametrize("build", WITH_VIEWS[1:])
def test_the_view_travels_with_every_packet(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c a+ c<a c-a c>b")
    step = b.pass_on("c", "b")
    assert step is not None
    assert step.state.gone == ("a",)
    late = b.pass_on("a", "b")
    assert late is not None
    assert (late.action, late.commands) == ("Fence", (Send("a", Notice(("a",))),))


@pytest.mark.parametrize("build", WITH_VIEWS[1:])
def test_one_survivor_is_enough_in_a_quiet_team(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c c<a c>d a+ b-a")
    b.drain()
    outcome = b.outcome()
    assert (outcome.safe, outcome.complete) == (True, True)
    assert {b.states[name].gone for name in "bcd"} == {("a",)}


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_an_excluded_process_learns_it_from_the_first_packet_it_receives(build: Build) -> None:
    b = bench(build)
    b.play("b-a")
    step = b.pass_on("b", "a", "Notice")
    assert step is not None
    # It does not act on the rest of the view, or it would act on half a view.
    assert (step.action, step.commands, step.state.gone) == ("Excluded", (), ("a",))
    refuse(b.machines["a"], step.state, Invoke(Unicast("c", 1)), NotAMember)
    # A process that has not heard is told.
    late = b.machines["a"].step(step.state, Receive("d", Data(1, 0, False, None)), 0.0)
    assert late.commands == (Send("d", Notice(("a",))),)


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_an_excluded_process_learns_it_from_the_answer_to_what_it_sends(build: Build) -> None:
    b = bench(build)
    b.play("b-a")
    b.flying.clear()
    b.play("a>b b<a a=b")
    assert b.machines["a"].is_out(b.states["a"])


@pytest.mark.parametrize("build", WITH_VIEWS)
@pytest.mark.parametrize("team", ["ab", "abcd"])
def test_two_that_exclude_each_other_both_know_it(build: Build, team: str) -> None:
    b = bench(build, team)
    b.play("a-b b-a")
    b.drain()
    assert b.outcome().complete
    out = {name for name in team if b.machines[name].is_out(b.states[name])}
    if team == "ab":
        assert (b.view("a").parted, b.view("b").parted, out) == (("b",), ("a",), set())
    else:
        assert out & {"a", "b"}


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_a_process_leaves_when_its_messages_are_delivered(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>c a/")
    assert not b.machines["a"].is_out(b.states["a"])
    refuse(b.machines["a"], b.states["a"], Invoke(Unicast("b", 1)), NotAMember)
    b.drain()
    assert b.machines["a"].is_out(b.states["a"])
    assert b.outcome().complete
    assert {b.states[name].gone for name in "bcd"} == {("a",)}
    b.play("b>c c>d")
    b.drain()
    assert b.outcome().complete


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_a_process_that_leaves_at_once_leaves_its_messages_behind(build: Build) -> None:
    b = bench(build)
    b.play("a>b")
    assert b.machines["a"].undelivered(b.states["a"]) == (("b", 1),)
    b.do("a", Invoke(Leave(at_once=True)))
    b.play("c>b")
    b.drain()
    assert b.outcome().complete
    assert b.machines["a"].undelivered(b.states["a"]) == ()


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_a_newcomer_acts_once_it_has_heard_of_itself(build: Build) -> None:
    b = bench(build)
    b.add("e", build("e", "abcd", joining=True))
    refuse(b.machines["e"], b.states["e"], Invoke(Unicast("a", 1)), NotAMember)
    refuse(b.machines["b"], b.states["b"], Invoke(Unicast("e", 1)), UnknownPeer)
    b.play("c-d d+ a@e e=a")
    b.play("e>b b>e" if b.sees("b", "e") else "e>b b<e b>e e<b")
    b.drain()
    assert b.outcome().complete
    assert b.machines["e"].members(b.view("e")) == tuple("abce")


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_a_name_is_not_used_twice(build: Build) -> None:
    b = bench(build)
    b.play("a-b")
    refuse(b.machines["a"], b.states["a"], Invoke(Admit("b")), DepartedPeer)
    assert b.do("a", Invoke(Admit("c"))).commands == (Respond(None),), "a member already"
    with pytest.raises(UnknownPeer):
        build("a", "abcd", joining=True)


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_a_probe_is_answered(build: Build) -> None:
    b = bench(build)
    b.do("a", Invoke(Probe("b")))
    step = b.pass_on("a", "b", "Notice")
    assert step is not None
    assert step.commands == (Send("a", Notice(())),)


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_hearing_twice_changes_nothing(build: Build) -> None:
    b = bench(build)
    b.play("b-a")
    state = b.states["b"]
    step = b.do("b", Invoke(PeerDown("a")))
    assert step.state == state
    assert step.commands == (Respond(None),)


# Links that lose.


@pytest.mark.parametrize("build", [Mf95, *SECRET_KEEPING])
def test_the_timer_repeats_what_is_unacknowledged_and_then_rests(build: Build) -> None:
    b = bench(build, links=Guarantee.UNORDERED_LOSSY, resend_after=5.0)
    step = b.send("a", "b", "x")
    assert step.commands[-1] == SetTimer("resend", 5.0)
    (lost,) = b.flying
    b.flying.clear()
    again = b.do("a", Timeout("resend"))
    assert [c for c in again.commands if type(c) is Send] == [Send(lost[1], lost[2])]
    assert any(type(c) is SetTimer for c in again.commands)
    b.drain()
    rest = b.do("a", Timeout("resend"))
    assert rest.commands == ()
    assert not any(type(c) is CancelTimer for c in rest.commands)


@pytest.mark.parametrize("build", SECRET_KEEPING)
def test_a_lost_release_is_asked_for(build: Build) -> None:
    b = bench(build, links=Guarantee.UNORDERED_LOSSY)
    b.play("a>b a>c c<a b<a a?c a?b")
    b.flying.clear()
    assert b.machines["c"].secrets(b.states["c"])
    b.do("c", Timeout("resend"))
    b.drain()
    assert b.machines["c"].secrets(b.states["c"]) == ()


@pytest.mark.parametrize("build", [Mf95, *SECRET_KEEPING])
def test_a_restart_repeats_without_a_timer_on_reliable_links(build: Build) -> None:
    b = bench(build)
    b.play("a>b")
    (packet,) = b.flying
    machine = b.machines["a"]
    step = machine.step(machine.durable(b.states["a"]), Restart(), 0.0)
    assert step.commands == (Send(packet[1], packet[2]),)


# Refusals: typed, and nothing has changed.


def refuse(machine: Machine[Any], state: Any, event: Any, error: type[Exception]) -> str:
    before = repr(state)
    with pytest.raises(error) as caught:
        machine.step(state, event, 0.0)
    assert repr(state) == before
    return str(caught.value)


@pytest.mark.parametrize("build", UNICAST)
def test_bad_calls_are_refused(build: Build) -> None:
    b = bench(build)
    machine, state = b.machines["a"], b.states["a"]
    refuse(machine, state, Invoke(Unicast("z", 1)), UnknownPeer)
    refuse(machine, state, Invoke(Broadcast(1)), Unsupported)
    refuse(machine, state, Timeout("other"), Impossible)
    assert issubclass(UnknownPeer, CallerError)


@pytest.mark.parametrize("build", WITH_VIEWS)
def test_the_departed_get_no_more_messages(build: Build) -> None:
    b = bench(build)
    b.play("a-b")
    refuse(b.machines["a"], b.states["a"], Invoke(Unicast("b", 1)), DepartedPeer)
    refuse(b.machines["a"], b.states["a"], Invoke(PeerDown("z")), UnknownPeer)


@pytest.mark.parametrize("build", [Mf95, *SECRET_KEEPING])
def test_forged_packets_are_refused(build: Build) -> None:
    b = bench(build)
    b.play("a>b a>b")
    machine, state = b.machines["a"], b.states["a"]

    def message(id: int, prev: int) -> Any:
        if build is Named:
            return NamedData(id, prev, (), "forged")
        return Data(id, prev, False, "forged")

    for src, packet in [
        ("z", Ack(1)),  # an unknown sender
        ("a", Ack(1)),  # ourselves
        ("b", Ack(9)),  # an id from the future
        ("b", Ack(0)),
        ("b", Ack(-1)),
        ("c", Ack(1)),  # not what c was sent
        ("b", Release(1, ("z",))),  # a view from nowhere
        ("b", Release(0)),  # ids count from 1
        ("b", message(0, 0)),
        ("b", message(-1, -2)),
        ("b", message(2, -1)),
        ("b", message(1, 1)),  # after itself: it would be delivered twice
        ("b", message(1, 2)),
    ]:
        refuse(machine, state, Receive(src, packet), ForgedPacket)
    assert issubclass(ForgedPacket, PeerError)


def test_the_hybrid_refuses_an_acknowledgement_for_somebody_elses_message() -> None:
    b = bench(Hybrid)
    b.play("a>b a>c a>b")
    refuse(b.machines["a"], b.states["a"], Receive("b", Ack(2)), ForgedPacket)


@pytest.mark.parametrize("build", [Rst91, Bss91])
def test_receiver_side_protocols_refuse_what_they_do_not_cover(build: Build) -> None:
    machine = build("a", "ab")
    state = machine.initial()
    refuse(machine, state, Invoke(PeerDown("b")), Unsupported)
    refuse(machine, state, Receive("b", Ack(1)), ForgedPacket)
    with pytest.raises(Unsupported):
        build("a", "ab", links=Guarantee.UNORDERED_LOSSY)


def test_configuration_is_checked() -> None:
    with pytest.raises(UnknownPeer):
        Hybrid("z", "ab")
    with pytest.raises(Unsupported):
        Hybrid("a", "ab", resend_after=0)
    with pytest.raises(Unsupported):
        Named("a", "ab").step(Named("a", "ab").initial(), Invoke(PeerDown("b")), 0.0)


def test_rst91_carries_a_matrix_and_bss91_a_vector() -> None:
    b = bench(Rst91, "abc")
    b.play("a>b")
    assert b.flying[0][2].sent == ((0, 0, 0),) * 3
    v = bench(Bss91, "abc")
    v.play("a*")
    assert [p.clock for _, _, p in v.flying] == [(1, 0, 0)] * 2
