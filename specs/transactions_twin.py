"""The twin of the model of transactions: its states as those of ``specs/tla/Transactions.tla``.

Of a home the module keeps what a transaction meets.  The rest, such as the directory of copies,
decides nothing here: equal graphs show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from coherence.states import HomeState
from specs.checker.composite import Composite
from specs.conform import State, Twin
from specs.models.transactions import NAMES, Txn, transactions
from specs.models.transactions_ghost import Ghost, Read
from specs.tlavalue import function


def model(constants: Mapping[str, Any]) -> Composite[Any]:
    """The driver that ships, under a configuration of Transactions.tla."""
    return transactions(
        len(constants["Agents"]),
        constants["Times"],
        unknown=constants["Unknown"],
        turns=constants["Turns"],
        lease=constants["Lease"],
    )


def variables(
    constants: Mapping[str, Any], slots: Mapping[str, int], values: tuple[Any, ...]
) -> State:
    """A state of the model as the variables of Transactions.tla."""
    agents = sorted(constants["Agents"])
    homes: dict[str, HomeState] = {name: values[slots[name]] for name in NAMES}
    ghost: Ghost = values[slots["ghost"]]
    return {
        "version": function({name: home.version for name, home in homes.items()}),
        "by": function({name: home.content or () for name, home in homes.items()}),
        "remembered": function({name: remembered(home, *agents) for name, home in homes.items()}),
        "owner": function({name: home.owner for name, home in homes.items()}),
        "epoch": function({name: home.epoch for name, home in homes.items()}),
        "queue": function(
            {name: tuple(waiter.cache for waiter in home.queue) for name, home in homes.items()}
        ),
        "txn": function({agent: txn(values[slots[agent]]) for agent in agents}),
        "made": made(ghost),
        "moments": frozenset(
            function(dict(zip(NAMES, moment, strict=True))) for moment in ghost.moments
        ),
    }


@lru_cache(maxsize=1 << 16)
def remembered(home: HomeState, *agents: str) -> Any:
    """The serial of the last commit of each agent that home remembers."""
    serials = {verdict.cache: verdict.serial for verdict in home.verdicts}
    return function({agent: serials.get(agent, 0) for agent in agents})


@lru_cache(maxsize=1 << 16)
def txn(state: Txn) -> Any:
    """An agent's transaction as a record."""
    return function(
        {
            "at": state.at,
            "begun": state.begun,
            "serial": state.serial,
            "left": frozenset(state.left),
            "reads": versions(state.reads),
            "writes": frozenset(state.writes),
            "grants": versions(state.grants),
            "turn": state.in_turn,
            "before": state.before,
            "told": state.told,
        }
    )


@lru_cache(maxsize=1 << 16)
def made(ghost: Ghost) -> Any:
    """The transactions that took effect, as records."""
    return frozenset(
        function(
            {
                "tid": each.tid,
                "reads": versions(each.reads),
                "writes": frozenset(name for name, _ in each.writes),
                "before": each.before,
            }
        )
        for each in ghost.made
    )


def versions(reads: tuple[Read, ...]) -> Any:
    """A number for each of some names, as a function."""
    return function(dict(reads))


TRANSACTIONS = Twin("MCTransactions", model, variables)
