"""Symbolic execution itself: every path once, and no answer of the solver taken for a proof."""

import pytest

z3 = pytest.importorskip("z3")

from specs.symbolic.engine import Effort, Execution, Exhausted, Proof, explore  # noqa: E402
from specs.symbolic.values import Number  # noqa: E402


def paths(run, effort=None):
    return list(explore(lambda path: None, run, effort or Effort()))


def sign(path):
    n = Number(path, z3.Int("n"))
    if n < 0:
        return "negative"
    return "positive" if n else "zero"


def test_each_side_of_each_condition_is_followed_once():
    assert sorted(paths(sign)) == ["negative", "positive", "zero"]


def test_a_side_that_the_assumptions_exclude_is_not_followed():
    def run(path):
        path.assume(z3.Int("n") > 0)
        return sign(path)

    assert paths(run) == ["positive"]


def test_what_begins_all_paths_is_assumed_on_each():
    def begin(path):
        path.assume(z3.Int("n") != 0)

    assert sorted(explore(begin, sign, Effort())) == ["negative", "positive"]


def test_choose_follows_each_option_that_is_possible():
    n = z3.Int("n")

    def run(path):
        path.assume(n != 1)
        return path.choose([(n == 0, "none"), (n == 1, "one"), (n > 1, "many"), (n < 0, "less")])

    assert sorted(paths(run)) == ["less", "many", "none"]


def test_a_claim_is_proved_or_refuted_with_a_model():
    path = Execution(z3.SimpleSolver())
    n = z3.Int("n")
    path.assume(n > 3)
    assert path.prove(n > 2) == (Proof.PROVED, None)
    found, model = path.prove(n > 4)
    assert found is Proof.REFUTED
    assert model[n].as_long() == 4


def test_what_the_solver_cannot_decide_is_unknown_and_both_sides_are_followed():
    a, b, c, n = z3.Ints("a b c n")
    hard = z3.And(a > 0, b > 0, c > 0, n > 2, a * a * a * a * a + b * b * b * b * b == c**5 + n)
    solver = z3.SimpleSolver()
    solver.set("rlimit", 500)
    path = Execution(solver)
    assert path.prove(z3.Not(hard))[0] is Proof.UNKNOWN
    assert path.is_possible(hard)


def test_a_budget_ends_the_search():
    with pytest.raises(Exhausted, match="2 paths"):
        paths(sign, Effort(paths_max=2))


def test_an_interrupt_that_the_solver_has_caught_is_passed_on(monkeypatch):
    class Interrupted:
        def check(self):
            return z3.unknown

        def reason_unknown(self):
            return "interrupted from keyboard"

        push = pop = add = lambda self, *_: None

    with pytest.raises(KeyboardInterrupt):
        Execution(Interrupted()).prove(z3.BoolVal(False))


@pytest.mark.parametrize(
    "use",
    [
        hash,
        int,
        float,
        str,
        lambda n: n * 2,
        lambda n: n // 2,
        lambda n: -n,
        lambda n: n.bit_length(),
        lambda n: n.numerator,
    ],
)
def test_nothing_is_computed_from_the_integer_beneath(use):
    with pytest.raises(TypeError):  # `NoTerm`, or Python's own where there is no method at all
        use(Number(Execution(z3.SimpleSolver()), z3.Int("n")))
