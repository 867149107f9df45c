"""Two-phase commit, after Gray and Lamport, "Consensus on Transaction Commit" (2006), section 3.

The field's benchmark, as processes.  As in their TLA+ module TwoPhase the network is a set of
messages that only grows, so that loss, delay and repetition need no actions of their own; and
resource managers decide for themselves when to prepare or to abort, which here is a request from
their environment.  State counts and transitions equal those of TLC on that module.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from message_passing.errors import Impossible
from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    Command,
    Event,
    Invoke,
    Receive,
    Respond,
    Send,
    Step,
    Time,
    Value,
)
from specs.checker.composite import Composite
from specs.checker.model import Property, always, reachable
from specs.system import System, View, whenever

Decision: TypeAlias = Literal["working", "prepared", "committed", "aborted"]
Message: TypeAlias = Literal["Prepared", "Commit", "Abort"]
MANAGER = "tm"
ACTIONS = (
    "RMPrepare",
    "RMChooseToAbort",
    "RMRcvCommitMsg",
    "RMRcvAbortMsg",
    "TMRcvPrepared",
    "TMCommit",
    "TMAbort",
)


class ResourceManager:
    """Holds one part of the transaction.  Its state is its decision."""

    def initial(self) -> Decision:
        """Nothing is decided."""
        return "working"

    def step(self, state: Decision, event: Event[Message, Message], now: Time) -> Step[Decision]:
        """RMPrepare, RMChooseToAbort, RMRcvCommitMsg and RMRcvAbortMsg."""
        match event:
            case Invoke("Prepared") if state == "working":
                tell: Command[Message, str] = Send(MANAGER, "Prepared")
                return Step("prepared", (tell, Respond("prepared")), "RMPrepare")
            case Invoke("Abort") if state == "working":
                return Step("aborted", (Respond("aborted"),), "RMChooseToAbort")
            case Receive(_, "Commit"):
                return Step("committed", (), "RMRcvCommitMsg")
            case Receive(_, "Abort"):
                return Step("aborted", (), "RMRcvAbortMsg")
        raise Impossible(f"{event} in {state}")

    def durable(self, state: Decision) -> Decision:
        """All of it."""
        return state


class Coordinator(Value, frozen=True):
    """The transaction manager's state."""

    decision: Literal["init", "committed", "aborted"] = "init"
    prepared: frozenset[Address] = frozenset()


class TransactionManager:
    """Commits when all resource managers are prepared; may abort until it has committed."""

    def __init__(self, managers: tuple[Address, ...]) -> None:
        self._managers = managers

    def initial(self) -> Coordinator:
        """No resource manager is prepared."""
        return Coordinator()

    def step(
        self, state: Coordinator, event: Event[Message, Message], now: Time
    ) -> Step[Coordinator]:
        """TMRcvPrepared, TMCommit and TMAbort."""
        match event:
            case Receive(src, "Prepared"):
                if state.decision != "init":
                    return Step(state, (), "")
                known = Coordinator("init", state.prepared | {src})
                return Step(known, (), "TMRcvPrepared")
            case Invoke("Commit") if self.may_commit(state):
                return self._decide(Coordinator("committed", state.prepared), "Commit", "TMCommit")
            case Invoke("Abort") if state.decision == "init":
                return self._decide(Coordinator("aborted", state.prepared), "Abort", "TMAbort")
        raise Impossible(f"{event} in {state}")

    def may_commit(self, state: Coordinator) -> bool:
        """Whether every resource manager is known to be prepared."""
        return state.decision == "init" and len(state.prepared) == len(self._managers)

    def _decide(self, after: Coordinator, message: Message, action: str) -> Step[Coordinator]:
        tell = tuple(Send(manager, message) for manager in self._managers)
        return Step(after, (*tell, Respond(after.decision)), action)

    def durable(self, state: Coordinator) -> Coordinator:
        """All of it."""
        return state


class HastyManager(TransactionManager):
    """A broken variant: it commits with one vote short of unanimity."""

    def may_commit(self, state: Coordinator) -> bool:
        """Wrong on purpose."""
        return state.decision == "init" and len(state.prepared) >= len(self._managers) - 1


def properties(managers: tuple[Address, ...]) -> list[Property[View]]:
    """TCConsistent of the module TCommit, and that both outcomes are possible."""

    def consistent(view: View) -> bool:
        decisions = {view[manager] for manager in managers}
        return not {"committed", "aborted"} <= decisions

    def all_are(decision: Decision, view: View) -> bool:
        return all(view[manager] == decision for manager in managers)

    return [
        always("consistent", consistent),
        reachable("all commit", lambda view: all_are("committed", view)),
        reachable("all abort", lambda view: all_are("aborted", view)),
    ]


def twophase(rms: int = 3, *, hasty: bool = False, symmetric: bool = True) -> Composite[View]:
    """Two-phase commit with `rms` resource managers."""
    managers = tuple(f"rm{i}" for i in range(1, rms + 1))
    manager = (HastyManager if hasty else TransactionManager)(managers)

    def of_resource(state: Decision) -> tuple[Message, ...]:
        return ("Prepared", "Abort") if state == "working" else ()

    def of_manager(state: Coordinator) -> tuple[Message, ...]:
        if state.decision != "init":
            return ()
        return ("Commit", "Abort") if manager.may_commit(state) else ("Abort",)

    system = System(
        {**{name: ResourceManager() for name in managers}, MANAGER: manager},
        Guarantee.UNORDERED_DUPLICATING,
        environment={
            **{name: whenever(of_resource) for name in managers},
            MANAGER: whenever(of_manager),
        },
    )
    return system.model(
        f"twophase-{rms}",
        properties(managers),
        terminal=lambda view: all(view[m] in ("committed", "aborted") for m in managers),
        alphabet=ACTIONS,
        symmetric=managers if symmetric else (),
    )
