"""The causal twins: states of the delivery machines as states of ``specs/tla``.

Each module has the variables `net`, `count`, `queue` and `flight`, and history in `past` and
`pending`, which the models keep as their ghost.  The rest of a state of ours follows from these
variables, so equal graphs leave no room for a difference in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from causal import hybrid_state
from causal.hybrid_state import FRESH
from causal.messages import Data, Secret
from causal.sender_state import Own, SenderState
from specs.checker.composite import Composite
from specs.conform import State as Variables
from specs.conform import Twin
from specs.models.causal import Remembered, causal
from specs.tlavalue import function

#: The variables of one process, from the team and the process's state.
Locals = Callable[[tuple[str, ...], Any], Mapping[str, Any]]


def model(protocol: str, constants: Mapping[str, Any]) -> Composite[Any]:
    """A machine under a configuration of its module, with all history."""
    return causal(
        protocol,
        len(constants["Processes"]),
        constants["Sends"],
        constants["Guarantee"],
        history=True,
    )


def variables(
    of: Locals,
    constants: Mapping[str, Any],
    slots: Mapping[str, int],
    values: tuple[Any, ...],
) -> Variables:
    """A state of the system as the variables of the modules."""
    team = tuple(sorted(constants["Processes"]))
    each = {p: of(team, values[slots[p]].state) for p in team}
    ghost: Remembered = values[slots["ghost"]]
    past = dict(ghost.past)
    pairs = [(p, q) for p in team for q in team if p != q]
    return {
        "net": function({pair: channel(values[slots["->".join(pair)]]) for pair in pairs}),
        "past": function({p: past.get(p, frozenset()) for p in team}),
        "pending": function(dict(ghost.carried)),
        **{name: function({p: each[p][name] for p in team}) for name in each[team[0]]},
    }


@lru_cache(maxsize=1 << 16)
def packet(value: Any) -> Any:
    """A packet as CausalLinks.tla has it."""
    more = {"prev": value.prev, "eager": value.eager} if type(value) is Data else {}
    return function({"type": type(value).__name__, "id": value.id, **more})


@lru_cache(maxsize=1 << 16)
def channel(value: Any) -> Any:
    """A channel as Network.tla has it: a sequence, or a bag."""
    if isinstance(value, tuple):
        return tuple(packet(m) for m in value)
    return function({packet(m): count for m, count in value})


def message(own: Own, *names: str) -> Any:
    """An own message as a record."""
    return function({name: getattr(own, name) for name in ("id", "dst", *names)})


@lru_cache(maxsize=1 << 16)
def mf95(_: tuple[str, ...], state: SenderState) -> Mapping[str, Any]:
    """The variables of one process in Mf95.tla."""
    return {
        "count": state.next - 1,
        "queue": tuple(message(own) for own in state.own if not own.sent),
        "flight": frozenset(message(own) for own in state.own if own.sent),
    }


@lru_cache(maxsize=1 << 16)
def cykas(team: tuple[str, ...], state: SenderState) -> Mapping[str, Any]:
    """The variables of one process in Cykas.tla."""
    links = dict(zip(team, state.links, strict=True))
    return {
        "count": state.next - 1,
        "queue": tuple(message(own) for own in state.own if not own.sent),
        "flight": frozenset(
            message(own, "eager", "acked", "released") for own in state.own if own.sent
        ),
        "secrets": named(state.secrets),
        "early": frozenset((peer, link.told) for peer, link in links.items() if link.told),
        "got": function({peer: link.got for peer, link in links.items()}),
    }


@lru_cache(maxsize=1 << 16)
def hybrid(team: tuple[str, ...], state: hybrid_state.HybridState) -> Mapping[str, Any]:
    """The variables of one process in Hybrid.tla: secrets by name, not counts and cursors."""
    links = {peer: state.links.get(place) or FRESH for place, peer in enumerate(team)}
    live = {
        place: (team[kept.party], kept.id)
        for place, kept in state.kept.window.items()
        if kept.id > links[team[kept.party]].told
    }

    def deps(own: hybrid_state.OwnEntry) -> frozenset[tuple[str, int]]:
        return frozenset(secret for place, secret in live.items() if place < own.need)

    own = [(id, team[o.party], o) for id, o in state.own.window.items()]
    return {
        "count": state.own.next - 1,
        "queue": tuple(
            function({"id": id, "dst": dst, "deps": deps(o)}) for id, dst, o in own if not o.sent
        ),
        "flight": frozenset(
            function({"id": id, "dst": dst, "acked": o.acked, "secret": o.secret})
            for id, dst, o in own
            if o.sent
        ),
        "secrets": frozenset(live.values()),
        "out": function({peer: link.out for peer, link in links.items()}),
        "got": function({peer: link.got for peer, link in links.items()}),
        "told": function(
            {peer: link.told if link.told > link.got else 0 for peer, link in links.items()}
        ),
        "filed": frozenset(
            (peer, packet(data)) for peer, link in links.items() for _, data in link.filed.items()
        ),
    }


@lru_cache(maxsize=1 << 16)
def hybrid_plain(team: tuple[str, ...], state: SenderState) -> Mapping[str, Any]:
    """The same for the plain hybrid."""
    links = dict(zip(team, state.links, strict=True))
    own = state.own
    return {
        "count": state.next - 1,
        "queue": tuple(
            function({"id": o.id, "dst": o.dst, "deps": named(o.deps)}) for o in own if not o.sent
        ),
        "flight": frozenset(
            function(
                {"id": o.id, "dst": o.dst, "acked": o.acked, "secret": o.eager and not o.released}
            )
            for o in own
            if o.sent
        ),
        "secrets": named(state.secrets),
        "out": function({peer: link.out for peer, link in links.items()}),
        "got": function({peer: link.got for peer, link in links.items()}),
        "told": function({peer: link.told for peer, link in links.items()}),
        "filed": frozenset((peer, packet(data)) for peer, data in state.filed),
    }


def named(secrets: Iterable[Secret]) -> frozenset[tuple[str, int]]:
    """Secrets by their owner and id."""
    return frozenset((secret.owner, secret.id) for secret in secrets)


ACTIONS = ("Send", "ReceiveData", "ReceiveAck", "ReceiveRelease", "File", "Duplicate")
RENAMED = {f"H{name}": name for name in ACTIONS}


def twin(module: str, protocol: str, of: Locals) -> Twin:
    """A module and the machine that it claims to be."""
    return Twin(module, partial(model, protocol), partial(variables, of), RENAMED)


MF95 = twin("MCMf95", "mf95", mf95)
CYKAS = twin("MCCykas", "cykas", cykas)
HYBRID = twin("MCHybrid", "hybrid", hybrid)

#: The machines that ship.
CAUSAL_TWINS = (MF95, CYKAS, HYBRID)
