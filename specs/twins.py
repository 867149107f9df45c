"""The twins that ship: which model each TLA+ module of ``specs/tla`` claims to be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from coherence.policy import AccessCount, Eager, Policy, Visibility
from coherence.states import CacheState, HomeState
from message_passing.network import Guarantee
from specs.causal_twins import CAUSAL_TWINS
from specs.checker.composite import Composite
from specs.conform import State, Twin
from specs.models.courier import RECEIVER, SENDER, courier
from specs.models.mesi import HOME_ADDRESS, leaves, protocol, requests_of
from specs.models.mesi_restored import SPENT, restorable
from specs.models.twophase import MANAGER, twophase
from specs.system import Bounds, Requests
from specs.tlavalue import function
from specs.transactions_twin import TRANSACTIONS

NO_CONTENT: tuple[Any, ...] = ()


# Mesi.


def mesi_policy(constants: Mapping[str, Any]) -> Policy:
    """The policy that a configuration of Mesi.tla describes."""
    settings: dict[str, Any] = {
        "visibility": Visibility.STRICT if constants["Strict"] else Visibility.LAZY,
        "validity": 1.0 if constants["Validity"] else None,
        "grant_lease": 1.0 if constants["GrantLease"] else None,
        "retry_after": 1.0 if constants["Retry"] else None,
        "delta_window": constants["DeltaWindow"],
    }
    if constants["MaxAccesses"]:
        return AccessCount(max_accesses=constants["MaxAccesses"], **settings)
    if constants["Announce"] == "Inv":
        return Policy(**settings)
    return Eager(pointer=constants["Announce"] == "pointer", **settings)


def mesi_model(constants: Mapping[str, Any]) -> Composite[Any]:
    """The shipped tables under a configuration of Mesi.tla, without a ghost."""
    agents = tuple(sorted(constants["Agents"]))
    kinds = tuple(sorted(constants["Asks"]))
    policy = mesi_policy(constants)
    environment = {
        agent: Requests(partial(requests_of, agent, kinds, constants["Times"])) for agent in agents
    }
    bounds = Bounds(
        crashes=constants["Crashes"],
        crashable=frozenset(constants["Crashable"]) or None,
        in_flight=constants["InFlight"] or None,
        alarms=constants["Alarms"],
    )
    if constants["Restores"]:
        return restorable(policy, agents, environment, bounds=bounds, watched=False)
    guarantee = Guarantee(constants["Guarantee"])
    farewells = leaves if constants["Farewells"] or constants["Alarms"] else None
    return protocol(
        policy, guarantee, agents, environment, bounds=bounds, farewells=farewells, watched=False
    )


@lru_cache(maxsize=1 << 18)
def message(value: Any) -> Any:
    """A message as a record, its class as its type."""
    fields = {name: getattr(value, name) for name in type(value).__struct_fields__}
    for name in ("content", "digest"):
        if name in fields and fields[name] is None:
            fields[name] = NO_CONTENT
    plain = {name: str(v) if isinstance(v, str) else v for name, v in fields.items()}
    return function({"type": type(value).__name__, **plain})


NONE = function({"type": "None"})


@lru_cache(maxsize=1 << 18)
def cache_record(state: CacheState) -> Any:
    """A cache's state as Mesi.tla has it."""
    return function(
        {
            "at": str(state.at),
            "version": state.version,
            "content": NO_CONTENT if state.content is None else state.content,
            "dead_through": state.dead_through,
            "serial": state.serial,
            "epoch": state.epoch,
            "uses": state.uses,
            "asked": NONE if state.asked is None else message(state.asked),
            "again": state.again,
        }
    )


@lru_cache(maxsize=1 << 18)
def home_record(state: HomeState) -> Any:
    """A home's state as Mesi.tla has it."""
    return function(
        {
            "at": str(state.at),
            "version": state.version,
            "content": NO_CONTENT if state.content is None else state.content,
            "sharers": function({s.cache: s.serial for s in state.sharers}),
            "owner": state.owner,
            "owner_serial": state.owner_serial,
            "epoch": state.epoch,
            "queue": tuple(
                function(
                    {
                        "cache": w.cache,
                        "serial": w.serial,
                        "have": w.have,
                        "digest": NO_CONTENT if w.digest is None else w.digest,
                    }
                )
                for w in state.queue
            ),
            "unacked": function({s.cache: s.serial for s in state.unacked}),
            "writer": state.writer,
            "writer_serial": state.writer_serial,
            "verdicts": tuple(
                function(
                    {
                        "cache": v.cache,
                        "serial": v.serial,
                        "version": v.version,
                        "refusal": "none" if v.refusal is None else str(v.refusal),
                    }
                )
                for v in state.verdicts
            ),
        }
    )


@lru_cache(maxsize=1 << 18)
def channel_value(channel: Any, is_set: bool) -> Any:
    """A channel as Network.tla has it: a sequence, a bag or a set of messages."""
    if isinstance(channel, tuple):
        return tuple(message(m) for m in channel)
    if is_set:
        return frozenset(message(m) for m in channel)
    return function({message(m): count for m, count in channel})


def backup_record(backup: Any) -> Any:
    """The saved state of home, or the fact that it was restored."""
    if backup is None:
        return NONE
    if backup == SPENT:
        return function({"type": "Spent"})
    saved = {"type": "Saved", "home": home_record(backup.state), "timers": frozenset(backup.armed)}
    return function(saved)


def mesi_variables(
    constants: Mapping[str, Any], slots: Mapping[str, int], values: tuple[Any, ...]
) -> State:
    """A state of the system as the variables of Mesi.tla."""
    guarantee = Guarantee(constants["Guarantee"])
    is_set = guarantee.duplicating and not guarantee.ordered
    agents = sorted(constants["Agents"])
    local = {p: values[slots[p]] for p in (HOME_ADDRESS, *agents)}
    pairs = [(HOME_ADDRESS, a) for a in agents] + [(a, HOME_ADDRESS) for a in agents]
    return {
        "cache": function({a: cache_record(local[a].state) for a in agents}),
        "home": home_record(local[HOME_ADDRESS].state),
        "net": function({p: channel_value(values[slots["->".join(p)]], is_set) for p in pairs}),
        "timers": function({p: frozenset(of.armed) for p, of in local.items()}),
        "up": function({p: of.up for p, of in local.items()}),
        "invoked": function({a: local[a].invoked for a in agents}),
        "waiting": function({a: local[a].waiting for a in agents}),
        "crashes": values[slots["crashes"]] if "crashes" in slots else 0,
        "alarms": values[slots["alarms"]] if "alarms" in slots else 0,
        "backup": backup_record(values[slots["backup"]] if "backup" in slots else None),
    }


# Two-phase commit.


def twophase_model(constants: Mapping[str, Any]) -> Composite[Any]:
    """Two-phase commit with as many resource managers as a configuration of TwoPhase.tla names."""
    return twophase(len(constants["RM"]))


def twophase_variables(
    constants: Mapping[str, Any], slots: Mapping[str, int], values: tuple[Any, ...]
) -> State:
    """A state of the system as the variables of TwoPhase.tla, whose messages are in one set."""
    managers = sorted(constants["RM"])
    coordinator = values[slots[MANAGER]].state
    votes = {
        function({"type": "Prepared", "rm": rm})
        for rm in managers
        if values[slots[f"{rm}->{MANAGER}"]]
    }
    decisions = {
        function({"type": said}) for rm in managers for said in values[slots[f"{MANAGER}->{rm}"]]
    }
    return {
        "rmState": function({rm: values[slots[rm]].state for rm in managers}),
        "tmState": coordinator.decision,
        "tmPrepared": frozenset(coordinator.prepared),
        "msgs": frozenset(votes | decisions),
    }


# A network by itself.


def network_model(constants: Mapping[str, Any]) -> Composite[Any]:
    """The courier over the network that a configuration of MCNetwork.tla names."""
    return courier(constants["Guarantee"], constants["Last"], constants["Longest"])


def network_variables(
    constants: Mapping[str, Any], slots: Mapping[str, int], values: tuple[Any, ...]
) -> State:
    """A state of the courier as the variables of MCNetwork.tla."""
    channel = values[slots[f"{SENDER}->{RECEIVER}"]]
    guarantee = Guarantee(constants["Guarantee"])
    if not guarantee.ordered and not guarantee.duplicating:
        channel = function(dict(channel))
    return {
        "sent": values[slots[SENDER]].state,
        "noted": values[slots[RECEIVER]].state,
        "channel": channel,
    }


MESI = Twin(
    "MCMesi",
    mesi_model,
    mesi_variables,
    renamed={
        "ReAsk": "Retry",
        "CacheLate": "Late",
        "HomeLate": "Late",
        "Buried": "Leave",
        "BuriedOwner": "LeaveOwner",
    },
)
TWOPHASE = Twin("MCTwoPhase", twophase_model, twophase_variables)
NETWORK = Twin("MCNetwork", network_model, network_variables)

#: By module.
TWINS = {twin.module: twin for twin in (MESI, TWOPHASE, NETWORK, TRANSACTIONS, *CAUSAL_TWINS)}
