"""The oracle itself: what it calls a breach, and what it excuses."""

from causal.history import History


def triangle(order: str) -> History:
    """A1 to b, A2 to c, C1 (after A2) to b; b delivers in the given order."""
    history = History()
    history.team |= {"a", "b", "c"}
    history.send("a", ("a", 1), frozenset("b"))
    history.send("a", ("a", 2), frozenset("c"))
    history.deliver("c", ("a", 2))
    history.send("c", ("c", 1), frozenset("b"))
    for name in order.split():
        history.deliver("b", (name[0], int(name[1])))
    return history


def test_the_right_order_is_no_breach() -> None:
    assert triangle("a1 c1").breaches() == []
    assert triangle("a1").breaches() == []


def test_the_wrong_order_is_named_with_its_path() -> None:
    (breach,) = triangle("c1 a1").breaches()
    assert (breach.receiver, breach.late, breach.early) == ("b", ("a", 1), ("c", 1))
    assert str(breach) == (
        "b delivered c1 before a1, which caused it: "
        "a sends a1, a sends a2, c delivers a2, c sends c1"
    )


def test_a_cause_that_never_came_is_a_breach() -> None:
    assert len(triangle("c1").breaches()) == 1


def test_a_cause_whose_sender_is_fenced_off_may_never_come_but_not_come_late() -> None:
    fenced = triangle("")
    fenced.excluded["b"] = {"a": 0}
    fenced.deliver("b", ("c", 1))
    assert fenced.breaches() == []
    fenced.deliver("b", ("a", 1))
    assert len(fenced.breaches()) == 1


def test_a_fence_put_up_afterwards_excuses_nothing() -> None:
    late = triangle("c1")
    late.excluded["b"] = {"a": 1}
    assert len(late.breaches()) == 1


def test_delivering_twice_is_a_breach() -> None:
    (breach,) = triangle("a1 a1 c1").breaches()
    assert str(breach) == "b delivered a1 twice"


def test_concurrent_messages_come_in_any_order() -> None:
    history = History()
    history.send("a", ("a", 1), frozenset("c"))
    history.send("b", ("b", 1), frozenset("c"))
    history.deliver("c", ("b", 1))
    history.deliver("c", ("a", 1))
    assert history.breaches() == []


def test_missing_counts_only_what_the_living_sent_to_the_living() -> None:
    history = triangle("")
    assert history.missing() == [(("a", 1), "b"), (("c", 1), "b")]
    assert history.missing(lambda src, dst: "a" in (src, dst)) == [(("c", 1), "b")]
    assert history.missing(lambda src, dst: "b" in (src, dst)) == []
