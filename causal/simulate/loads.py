"""Delivery under load: random traffic, a popular agent, endless senders, agents in their turns."""

from __future__ import annotations

import math
from random import Random
from typing import Any, Final

from causal.messages import Unicast
from causal.simulate.record import Record
from causal.simulate.team import HALF, Latency, Team
from message_passing.netmodel import Exponential, LogNormal, Uniform
from message_passing.network import Guarantee
from message_passing.process import Address, Time

LATENCIES: Final[dict[str, Latency]] = {
    "constant": HALF,
    "uniform": Uniform(0.25, 0.75),
    "exponential": Exponential(HALF),
    "lognormal": LogNormal(HALF, 0.5),
}
"""One-way delays: a mean (for the last: a median) of half a round trip."""


def traffic(
    protocol: str,
    *,
    n: int = 8,
    rate: float = 1.0,
    latency: str = "constant",
    ordered: bool = True,
    duration: float = 100.0,
    seed: int = 0,
) -> Record:
    """Every process sends to a random other one, as a Poisson stream of `rate` a round trip."""
    names = [f"p{i}" for i in range(n)]
    links = Guarantee.ORDERED if ordered else Guarantee.UNORDERED
    team = Team(protocol, names, latency=LATENCIES[latency], links=links, seed=seed)
    rng = Random(seed)
    for src in names:
        now = rng.expovariate(rate)
        while now < duration:
            team.send(now, src, rng.choice([name for name in names if name != src]), None)
            now += rng.expovariate(rate)
    team.run()
    return team.record(
        "traffic",
        {"n": n, "rate": rate, "latency": latency, "ordered": ordered, "seed": seed},
        makespan=max(team.delivered.values(), default=None),
    )


def stream(protocol: str, *, messages: int = 120, destinations: int = 8) -> Record:
    """One process sends to each of `destinations` in turn, as fast as its application can."""
    peers = [f"p{i}" for i in range(destinations)]
    team = Team(protocol, ["source", *peers])
    for turn in range(messages):
        team.send(0.0, "source", peers[turn % destinations], None)
    team.run()
    return team.record(
        "stream",
        {"messages": messages, "destinations": destinations},
        makespan=max(team.delivered.values(), default=None),
    )


def fan_in(
    protocol: str,
    *,
    rate: float = 1.0,
    duration: float = 2_000.0,
    probe_every: float = 2.0,
    seed: int = 0,
) -> Record:
    """Secrets reach a popular agent as a Poisson stream, and its own messages wait.

    Each secret lasts one round trip: its sender told a sink first, and gets its acknowledgement one
    round trip after the send; the secret arrives half a round trip after the send, the release one
    round trip later.
    """
    tellers = [f"t{i}" for i in range(48)]
    sinks = [f"s{i}" for i in range(32)]
    team = Team(protocol, ["popular", *tellers, *sinks], seed=seed, judged=False)
    rng = Random(seed)
    now, count = rng.expovariate(rate), 0
    while now < duration:
        teller = tellers[count % len(tellers)]
        team.send(now, teller, sinks[count % len(sinks)], None)
        team.send(now, teller, "popular", None)
        now += rng.expovariate(rate)
        count += 1
    probe = 10.0 + rng.random()
    for turn in range(int((duration - 20.0) / probe_every)):
        team.send(probe + turn * probe_every, "popular", sinks[turn % len(sinks)], None)
    team.run()
    return team.record("fan-in", {"rate": rate, "seed": seed}, of=lambda name: name[0] == "popular")


def fan_in_formula(rate: float, hold_rtt: float = 1.0) -> float:
    """The mean wait of a message in a process that is mute while any secret lives.

    The residual busy period of an M/D/∞ queue, with its probability of being busy: the process is
    mute for 1 − e^(−λh) of the time, and exponentially long in λh.
    """
    load = rate * hold_rtt
    return (math.exp(load) - 1 - load) / rate


def starvation(protocol: str, *, rounds: int = 500) -> Record:
    """Two agents send a third a secret each round, half a round apart; it wants to send once.

    There is no adversary: every delay is half a round trip, so each secret lasts exactly until the
    second next one arrives.  A wait of `rounds` means that the message never went.
    """
    team = Team(protocol, ["a", "c", "b", "d", "e"])
    for turn in range(rounds):
        for teller, offset in (("a", 0.0), ("c", 0.6)):
            team.send(turn + offset, teller, "d", None)
            team.send(turn + offset, teller, "b", None)
    team.send(2.0, "b", "e", "at last")
    team.run(until=float(rounds))
    return team.record("starvation", {"rounds": rounds}, of=lambda name: name[0] == "b")


def acks(
    protocol: str, policy: str, *, k: int = 4, turn_rtt: float = 600.0, seed: int = 0
) -> Record:
    """Notices to `k` agents in the middle of their turns, then a job to an idle worker.

    `policy` "sidecar": mail is taken at any time.  "turns": an agent takes it between turns.  At a
    round trip of 50 ms, 600 of them are a turn of 30 s.
    """
    rng = Random(seed)
    peers = [f"p{i}" for i in range(k)]
    started: list[Time] = []
    reported: list[Time] = []

    def react(address: Address, src: Address, payload: Any, now: Time) -> None:
        if payload == "job":
            started.append(now)
            # The worker's turn begins; its messages go out at its end.
            end = now + turn_rtt
            if policy == "turns":
                team.turn(address, now, end)
            team.sim.invoke(address, Unicast(src, "report"), at=end)
        elif payload == "report":
            reported.append(now)

    team = Team(
        protocol,
        ["dispatcher", "worker", *peers],
        react=react,
        between_turns=policy == "turns",
    )
    if policy == "turns":
        for peer in peers:
            # Turn after turn; each agent is at its own point of a turn when the notices come.
            begin = -rng.random() * turn_rtt
            team.turn(peer, 0.0, begin + turn_rtt)
            for number in range(1, 2 * k + 4):
                team.turn(peer, begin + number * turn_rtt, begin + (number + 1) * turn_rtt)
    for peer in peers:
        team.send(0.0, "dispatcher", peer, "notice")
    team.send(0.0, "dispatcher", "worker", "job")
    team.run()
    return team.record(
        "acks",
        {"policy": policy, "k": k, "turn_rtt": turn_rtt, "seed": seed},
        start=max(started, default=None),
        report=max(reported, default=None),
        makespan=max(reported, default=None),
    )
