"""A team of processes in virtual time, with applications that react and a record of what happened.

One time unit is one round trip.  The oracle (:mod:`causal.invariants`) observes every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from causal.invariants import nothing, observe
from causal.messages import Message, Unicast
from causal.simulate.record import Record, builder, metadata_bytes
from causal.simulate.turns import BeginTurn, BetweenTurns, EndTurn
from message_passing.netmodel import NetworkModel
from message_passing.network import Guarantee
from message_passing.oracle import View
from message_passing.process import Address, Event, Invoke, Receive, Step, Time
from message_passing.simulator import Simulator
from message_passing.turn import interpret

Name = tuple[Address, int]
Latency = Any
"""A constant one-way delay, or a distribution of `message_passing.netmodel`."""

HALF = 0.5


class Team:
    """Processes of one protocol.  `react(address, src, payload, now)` is the application."""

    def __init__(
        self,
        protocol: str,
        names: Iterable[Address],
        *,
        latency: Latency = HALF,
        links: Guarantee = Guarantee.ORDERED,
        seed: int = 0,
        react: Callable[[Address, Address, Any, Time], None] | None = None,
        between_turns: bool = False,
        judged: bool = True,
    ) -> None:
        team = tuple(names)
        build = builder(protocol)
        self.protocol = protocol
        self.machines = {name: build(name, team, links=links) for name in team}
        processes: dict[Address, Any] = dict(self.machines)
        if between_turns:
            processes = {name: BetweenTurns(m) for name, m in self.machines.items()}
        self.sim = Simulator(
            processes,
            network=NetworkModel(guarantee=links, latency=latency),
            seed=seed,
            on_deliver=self._delivered,
            observers=[self._watch],
        )
        self._react = react
        self.ghost = nothing(team) if judged else None
        self.sent: dict[Name, Time] = {}
        self.wired: dict[Name, Time] = {}
        self.arrived: dict[Name, Time] = {}
        self.delivered: dict[Name, Time] = {}
        self.data = self.control = self.metadata = 0

    # The application.

    def send(self, at: Time, src: Address, dst: Address, payload: Any) -> None:
        """Schedule a send by the application of `src`."""
        self.sim.invoke(src, Unicast(dst, payload), at=at)

    def turn(self, address: Address, begin: Time, end: Time) -> None:
        """The agent at `address` works from `begin` to `end` and reads no mail."""
        self.sim.invoke(address, BeginTurn(), at=begin)
        self.sim.invoke(address, EndTurn(), at=end)

    def run(self, until: Time | None = None) -> None:
        """Run all events up to that time."""
        self.sim.run(until)

    # Results.

    def record(
        self,
        experiment: str,
        parameters: dict[str, float | int | str],
        *,
        of: Callable[[Name], bool] = lambda name: True,
        start: float | None = None,
        report: float | None = None,
        makespan: float | None = None,
    ) -> Record:
        """The run as a record; latency and wait over the messages that `of` selects."""
        names = [n for n in self.delivered if of(n) and self.delivered[n] > self.sent[n]]
        latencies = sorted(self.delivered[n] - self.sent[n] for n in names)
        waits = [self.wired[n] - self.sent[n] + self.delivered[n] - self.arrived[n] for n in names]
        # A message that still waits has waited until now.
        waits += [self.sim.now - at for n, at in self.sent.items() if of(n) and n not in self.wired]
        count = max(1, self.data)
        return Record(
            experiment=experiment,
            protocol=self.protocol,
            parameters=parameters,
            start_rtt=start,
            report_rtt=report,
            makespan_rtt=makespan,
            latency_mean_rtt=sum(latencies) / len(latencies) if latencies else None,
            latency_p99_rtt=latencies[int(0.99 * (len(latencies) - 1))] if latencies else None,
            wait_mean_rtt=sum(waits) / len(waits) if waits else None,
            wait_max_rtt=max(waits, default=None),
            control_per_message=self.control / count,
            metadata_bytes_mean=self.metadata / count,
            violations=int(self.ghost is not None and bool(self.ghost.broken)),
        )

    def _delivered(self, address: Address, src: Address, message: Message[Any]) -> None:
        if self._react is not None:
            self._react(address, src, message.payload, self.sim.now)

    def _watch(self, view: View, address: Address, event: Event[Any, Any], step: Step[Any]) -> None:
        now = view.now
        if type(event) is Receive and hasattr(event.message, "payload"):
            self.arrived.setdefault((event.src, event.message.id), now)
        effects = interpret(step.commands, {})
        for send in effects.sends:
            packet = send.message
            if hasattr(packet, "payload"):
                self.data += 1
                self.metadata += metadata_bytes(self.machines[address], packet)
                self.wired[address, packet.id] = now
            else:
                self.control += 1
        for delivery in effects.deliveries:
            self.delivered[delivery.src, delivery.message.id] = now
        if type(event) is Invoke and type(event.request) is Unicast:
            for id in effects.answers:
                self.sent[address, id] = now
        if self.ghost is not None:
            self.ghost = observe(self.ghost, address, event, step)
