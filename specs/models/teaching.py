"""Small models to learn from: one idea each, and one that fails in an interesting way.

``ping`` processes, timers and a lossy network; ``dining`` a deadlock, and why fairness matters once
it is gone.  `specs.examples` has the models of the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from message_passing.network import Guarantee
from message_passing.process import (
    Command,
    Event,
    Invoke,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Time,
    Timeout,
)
from specs.checker.composite import Composite
from specs.checker.model import Action, Model, leads_to, reachable, strong, weak
from specs.system import Bounds, System, View, any_of

Asking: TypeAlias = Literal["idle", "asking"]


class Client:
    """Asks until it is answered."""

    def __init__(self, *, retries: bool) -> None:
        self._retries = retries

    def initial(self) -> Asking:
        """Nothing asked."""
        return "idle"

    def step(self, state: Asking, event: Event[str, str], now: Time) -> Step[Asking]:
        """Ask, ask again when the answer is late, take the answer."""
        ask: tuple[Command[str, str], ...] = (Send("server", "ping"),)
        if self._retries:
            ask = (*ask, SetTimer("retry", now + 1.0))
        match event:
            case Invoke():
                return Step("asking", ask, "Ask")
            case Timeout() if state == "asking":
                return Step("asking", ask, "AskAgain")
            case Receive() if state == "asking":
                return Step("idle", (Respond("pong"),), "Answered")
        return Step(state, (), "")

    def durable(self, state: Asking) -> Asking:
        """The request is forgotten."""
        return "idle"


class Server:
    """Answers."""

    def initial(self) -> int:
        """The server has no state."""
        return 0

    def step(self, state: int, event: Event[str, str], now: Time) -> Step[int]:
        """One pong a ping; a restart is not an event of the specification."""
        match event:
            case Receive(src, _):
                return Step(state, (Send(src, "pong"),), "Pong")
            case Restart():
                return Step(state, (), "Recover")
        return Step(state, (), "")

    def durable(self, state: int) -> int:
        """Nothing either."""
        return state


def ping(*, retries: bool = True) -> Composite[View]:
    """A request over a network that loses: answered if the client retries, and delivery is fair.

    Weak fairness would not do: the network may lose each message as soon as delivery is enabled,
    which disables it.  Strong fairness says that of infinitely many messages one arrives.
    """
    system = System(
        {"client": Client(retries=retries), "server": Server()},
        Guarantee.ORDERED_LOSSY,
        environment={"client": any_of("ping", times=1)},
        bounds=Bounds(in_flight=1),
    )
    return system.model(
        "ping" if retries else "ping-once",
        [
            leads_to(
                "answered",
                lambda view: view["client"] == "asking",
                lambda view: view["client"] == "idle",
            )
        ],
        fairness=[weak("AskAgain"), strong("Pong"), strong("Answered")],
        terminal=lambda view: True,
        alphabet=("Ask", "AskAgain", "Pong", "Answered", "Drop"),
    )


Forks: TypeAlias = tuple[int, ...]


def dining(philosophers: int = 3, *, polite: bool = True) -> Model[Forks, Forks]:
    """Forks by holder, -1 for none.  All take the left one first, except a polite last one."""

    def order(who: int) -> tuple[int, int]:
        left, right = who, (who + 1) % philosophers
        return (right, left) if polite and who == philosophers - 1 else (left, right)

    def held(forks: Forks, fork: int, holder: int) -> Forks:
        return (*forks[:fork], holder, *forks[fork + 1 :])

    def actions(forks: Forks) -> Iterator[tuple[Action, Forks]]:
        for who in range(philosophers):
            first, second = order(who)
            name = f"philosopher {who + 1}"
            if forks[first] == who and forks[second] == who:
                yield Action("Eat", name), held(held(forks, first, -1), second, -1)
            elif forks[first] == who and forks[second] < 0:
                yield Action("TakeSecond", name), held(forks, second, who)
            elif forks[first] < 0 and forks[second] != who:
                yield Action("TakeFirst", name), held(forks, first, who)

    def eats(forks: Forks) -> bool:
        first, second = order(0)
        return forks[first] == forks[second] == 0

    return Model(
        "dining" if polite else "dining-deadlock",
        [(-1,) * philosophers],
        actions,
        [
            reachable("the first one eats", eats),
            leads_to("the first one eats again and again", lambda f: True, eats),
        ],
        [
            strong("TakeFirst", each="process"),
            strong("TakeSecond", each="process"),
            weak("Eat", each="process"),
        ],
        alphabet=frozenset({"TakeFirst", "TakeSecond", "Eat"}),
    )
