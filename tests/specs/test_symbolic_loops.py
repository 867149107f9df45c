"""A cut loop is followed for one arbitrary round, and what it changes is not known behind it."""

import pytest

z3 = pytest.importorskip("z3")

from specs.symbolic.engine import Effort, Pruned, explore  # noqa: E402
from specs.symbolic.loops import Unset, cut  # noqa: E402
from specs.symbolic.values import Number, term  # noqa: E402


def counted(limit):
    count = 0
    while count < limit:
        count += 2
    else:
        count += 0
    return count


def listed(values):
    found = []
    last = 0
    for value in values:
        if value == 3:
            continue
        found.append(value)
        last = value
    return found, last


class Even:
    """The count is even, and at most one more than the limit."""

    def __init__(self, path, limit):
        self.path, self.limit, self.broken = path, limit, []

    def invariant(self, count):
        return z3.And(count % 2 == 0, count <= self.limit + 1)

    def judge(self, count):
        if self.path.prove(self.invariant(count))[0].name != "PROVED":
            self.broken.append(self.path.decide(z3.BoolVal(True)))

    def enter(self, loop, local):
        assert loop == "counted.0"
        self.judge(z3.IntVal(local["count"]))
        count = self.path.fresh("count")
        self.path.assume(self.invariant(count))
        return {"count": Number(self.path, count)}

    def back(self, loop, local):
        self.judge(term(local["count"]))
        return False


@pytest.mark.parametrize(("turned", "is_proved"), [((), True), ((("+= 2", "+= 1"),), False)])
def test_an_invariant_is_proved_for_any_number_of_rounds(turned, is_proved):
    broken, results = [], []

    def run(path):
        limit = path.fresh("limit")
        path.assume(limit >= 0)
        cuts = Even(path, limit)
        try:
            result = cut(counted, cuts, turned)(Number(path, limit))
            results.append(path.prove(z3.Or(term(result) == limit, term(result) == limit + 1))[0])
        finally:
            broken.extend(cuts.broken)

    effort = Effort()
    assert list(explore(lambda path: None, run, effort))
    assert effort.paths == 2  # leave the loop, or do one round
    assert broken is not is_proved
    assert [found.name for found in results] == ["PROVED"]


class OneOf:
    """One given value, or none; `known` is all that the loop's invariant tells."""

    def __init__(self, value, known):
        self.value, self.known, self.rounds = value, known, []

    def enter(self, loop, local):
        return self.known

    def some(self, loop, values):
        if self.value:
            yield self.value

    def back(self, loop, local):
        self.rounds.append((list(local["found"]), local["last"]))
        return False


def test_a_round_of_a_loop_over_values_ends_the_run():
    cuts = OneOf(5, {"found": [], "last": 0})
    with pytest.raises(Pruned):
        cut(listed, cuts)([1, 2])
    assert cuts.rounds == [([5], 5)]


def test_continue_ends_the_round_too():
    cuts = OneOf(3, {"found": [], "last": 0})
    with pytest.raises(Pruned):
        cut(listed, cuts)([1, 2])
    assert cuts.rounds == [([], 0)]


def test_a_changed_variable_without_an_invariant_cannot_be_used():
    found, last = cut(listed, OneOf(None, {}))([1, 2])
    for value in (found, last):
        assert type(value) is Unset
        with pytest.raises(AssertionError, match="invariant"):
            value.real  # noqa: B018
        with pytest.raises(TypeError):
            bool(value)


def test_a_replacement_must_fit_once():
    with pytest.raises(AssertionError):
        cut(listed, OneOf(None, {}), [("found", "lost")])


def test_a_run_may_leave_after_its_round():
    class Over(OneOf):
        def back(self, loop, local):
            return True

    assert cut(listed, Over(5, {"found": [], "last": 0}))([1, 2]) == ([5], 5)
