"""Liveness of the mesi model: the properties, and the fairness that they assume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from coherence.directory import ACKS, GRANT
from coherence.messages import Abandon, Commit
from coherence.states import READABLE, CacheAt
from message_passing.network import Guarantee
from message_passing.process import Address
from specs.checker.model import Action, Fairness, Property, leads_to, strong, weak
from specs.system import View

_LIVE = READABLE | {CacheAt.SM_D, CacheAt.MS_A}
#: Home's timers, for caches that have fallen silent.
LEASES = frozenset({ACKS, GRANT})


def liveness(home: Address, agents: Sequence[Address]) -> Iterator[Property[View]]:
    """Requests are answered, waiters leave the queue, and outdated copies do not last."""
    for agent in agents:
        for name, holds in (
            ("is answered", partial(_waits, agent)),
            ("leaves the queue", partial(_queued, home, agent)),
            ("has a valid copy or none", partial(_outdated, home, agent)),
        ):
            yield leads_to(f"{agent} {name}", holds, partial(_ends, holds))


def _ends(holds: Callable[[View], bool], view: View) -> bool:
    return not holds(view)


def _waits(agent: Address, view: View) -> bool:
    return view.local(agent).waiting


def _queued(home: Address, agent: Address, view: View) -> bool:
    return any(waiter.cache == agent for waiter in view[home].queue)


def _outdated(home: Address, agent: Address, view: View) -> bool:
    state = view[agent]
    return bool(state.at in _LIVE and state.version < view[home].version)


def fair(guarantee: Guarantee, *, finishes: bool, mortal: bool = False) -> tuple[Fairness, ...]:
    """The fairness of the environment: messages arrive, timers run out, crashed processes restart.

    A network that may lose messages delivers to a process that asks again and again.  Applications
    that finish end each grant that they hold: they commit under it, or give it back.  With
    `mortal`, caches need not restart, and no lease need run out; instead some other agent sends the
    leave message of each cache that is down.
    """

    def on_channel(action: Action) -> Any:
        return (action.peer, action.process) if action.kind == "deliver" else None

    def on_timer(action: Action) -> Any:
        owed = action.kind == "timeout" and not (mortal and action.subject in LEASES)
        return (action.process, action.subject) if owed else None

    def on_restart(action: Action) -> Any:
        return action.process if action.kind == "restart" else None

    def on_farewell(action: Action) -> Any:
        return action.peer if action.kind == "bury" else None

    def on_grant(action: Action) -> Any:
        request = action.subject
        ends = action.kind == "invoke" and isinstance(request, Abandon | Commit) and request.epoch
        return action.process if ends else None

    deliver = strong(on_channel) if guarantee.lossy else weak(on_channel)
    owed = (deliver, weak(on_timer), weak(on_farewell if mortal else on_restart))
    return (*owed, weak(on_grant)) if finishes else owed
