"""Any model as a Hypothesis state machine: long random runs, and paths shrunk when one fails.

::

    TestClock = state_machine(clock).TestCase

Needs hypothesis.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from specs.checker.composite import Composite
from specs.checker.enabled import bound
from specs.checker.model import Model
from specs.checker.search import (
    DECIDED,
    judge,
    judge_step,
    judged_in_steps,
    may_rest,
    truth,
)


def state_machine(model: Model[Any, Any] | Composite[Any]) -> type[RuleBasedStateMachine]:
    """A machine whose rule takes any enabled action and whose invariants are the `always` claims.

    Its steps are judged by the claims on steps.
    A state without successors fails unless the model calls it terminal.
    """
    plain = bound(model.model() if isinstance(model, Composite) else model)
    claims = [prop for prop in plain.properties if prop.kind == "always"]

    stepwise = judged_in_steps(plain.properties)

    class Machine(RuleBasedStateMachine):
        @initialize(data=st.data())
        def start(self, data: st.DataObject) -> None:
            self.state = data.draw(st.sampled_from(list(plain.initial)), "initial state")
            for claim in stepwise:
                seen = plain.seen(self.state)
                assert truth(claim.predicate, seen, claim), (
                    f"{claim.name!r} is violated in {seen!r}"
                )
            self.following = plain.successors(self.state)

        @precondition(lambda self: bool(self.following) and self.inside())
        @rule(data=st.data())
        def act(self, data: st.DataObject) -> None:
            which = data.draw(st.integers(0, len(self.following) - 1), "transition")
            before = self.state
            self.action, self.state = self.following[which]
            for claim in stepwise if self.state != before else ():
                step = plain.seen(before), self.action, plain.seen(self.state)
                said = judge_step(claim, *step)
                assert said != DECIDED, (
                    f"{claim.name!r} is violated by {self.action} in {step[0]!r}"
                )
            self.following = plain.successors(self.state)

        @precondition(lambda self: not (self.following and self.inside()))
        @rule()
        def rest(self) -> None:
            """Nothing is enabled any more."""

        def inside(self) -> bool:
            seen = plain.seen(self.state)
            return plain.within is None or truth(plain.within, seen, "`within`")

        @invariant()
        def every_claim_holds(self) -> None:
            seen = plain.seen(self.state)
            for claim in claims:
                assert judge(claim, seen) != DECIDED, f"{claim.name!r} is violated in {seen!r}"

        @invariant()
        def no_deadlock(self) -> None:
            if not self.following and self.inside():
                assert may_rest(plain, self.state), f"deadlock in {plain.seen(self.state)!r}"

    Machine.__name__ = Machine.__qualname__ = f"Machine[{plain.name}]"
    return Machine
