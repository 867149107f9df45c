"""Random walks: the network as an adversary that picks each next event from all possible ones.

Nothing is timed here.  Each step draws one of the open choices: an application's send, the arrival
of any packet in transit (the oldest of its pair, if links keep order), its loss or its repetition
if links allow that, a due timer, a crash, the news of a crash.  Each walk draws how busy its
applications are, how often they react to the last delivery, and which pairs of processes are slow:
in evenly mixed walks packets rarely overtake each other.  After the sends the network is drained,
so that a walk ends with everything delivered or stuck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from causal.history import Breach, History, Name
from causal.machine import RESEND, Builder, Machine
from causal.messages import Broadcast, PeerDown, Unicast
from message_passing.network import Guarantee
from message_passing.process import Address, Event, Invoke, Receive, Step, Timeout
from message_passing.turn import Core


@dataclass(frozen=True)
class Outcome:
    """How a walk ended.  `stuck` tells whether processes hold messages in a quiet network."""

    breaches: tuple[Breach, ...]
    missing: tuple[tuple[Name, Address], ...]
    stuck: tuple[Address, ...]
    steps: int

    @property
    def safe(self) -> bool:
        """No process delivered an effect before its cause, or a message twice."""
        return not self.breaches

    @property
    def complete(self) -> bool:
        """Every message between living processes was delivered, and every state has drained."""
        return not self.missing and not self.stuck


@dataclass
class Bench:
    """Processes and the packets between them; each call is one event at one process."""

    machines: Mapping[Address, Machine[Any]]
    history: History = field(default_factory=History)
    cores: dict[Address, Core] = field(init=False)
    flying: list[tuple[Address, Address, Any]] = field(default_factory=list)
    timers: set[Address] = field(default_factory=set)  # the processes with an armed timer
    crashed: set[Address] = field(default_factory=set)
    last: Address = ""  # the process of the last delivery
    steps: int = 0

    def __post_init__(self) -> None:
        """Start every process; the oracle knows every process from the first event on."""
        self.cores = {address: Core(machine) for address, machine in self.machines.items()}
        self.history.team |= set(self.machines)

    @property
    def states(self) -> dict[Address, Any]:
        """The state of every process."""
        return {address: core.state for address, core in self.cores.items()}

    def do(self, address: Address, event: Event[Any, Any]) -> Step[Any]:
        """One step of the process at `address`; its packets are then in transit."""
        core = self.cores[address]
        step, effects = core.step(event, float(self.steps))
        self.steps += 1
        self.history.observe(address, event, step)
        for send in effects.sends:
            self.flying.append((address, send.dst, send.message))
        if effects.deliveries:
            self.last = address
        if core.timers:
            self.timers.add(address)
        else:
            self.timers.discard(address)
        return step

    def send(self, src: Address, dst: Address, payload: Any = None) -> Step[Any]:
        """The application of `src` sends."""
        return self.do(src, Invoke(Unicast(dst, payload)))

    def arrive(self, index: int) -> Step[Any] | None:
        """The packet at `index` arrives, unless its destination has crashed."""
        src, dst, packet = self.flying.pop(index)
        return None if dst in self.crashed else self.do(dst, Receive(src, packet))

    def find(self, src: Address, dst: Address, kind: str) -> int:
        """The oldest packet of this kind in transit from `src` to `dst`."""
        for index, (s, d, packet) in enumerate(self.flying):
            if s == src and d == dst and type(packet).__name__.endswith(kind):
                return index
        raise LookupError(f"no {kind} is in transit from {src} to {dst}")

    def pass_on(self, src: Address, dst: Address, kind: str = "Data") -> Step[Any] | None:
        """Deliver the oldest packet of this kind from `src` to `dst`."""
        return self.arrive(self.find(src, dst, kind))

    def play(self, script: str) -> None:
        """Events in shorthand: `a>b` a sends to b; at b, from a, arrives the oldest message `b<a`,
        acknowledgement `b?a`, release `b!a` or announcement `b~a`; `a*` a broadcasts; `a+` a
        crashes; `b-a` b hears so.
        """
        for word in script.split():
            address, sign, peer = word[0], word[1], word[2:]
            if sign == ">":
                self.send(address, peer)
            elif sign == "*":
                self.do(address, Invoke(Broadcast(None)))
            elif sign == "+":
                self.crash(address)
            elif sign == "-":
                self.do(address, Invoke(PeerDown(peer)))
            else:
                kinds = {"<": "Data", "?": "Ack", "!": "Release", "~": "Delivered"}
                self.pass_on(peer, address, kinds[sign])

    def crash(self, address: Address) -> None:
        """Stop the process; packets that it has sent may still arrive."""
        self.crashed.add(address)
        self.timers.discard(address)

    def drain(self) -> None:
        """Deliver all packets, oldest first, until none is in transit."""
        while self.flying:
            self.arrive(0)

    def outcome(self) -> Outcome:
        """The oracle's verdict so far."""
        living = [a for a in self.machines if a not in self.crashed]
        return Outcome(
            tuple(self.history.breaches()),
            tuple(self.history.missing(frozenset(self.crashed))),
            tuple(a for a in living if not self.machines[a].idle(self.cores[a].state)),
            self.steps,
        )


def walk(
    build: Builder,
    *,
    seed: int,
    processes: int = 5,
    messages: int = 40,
    links: Guarantee = Guarantee.UNORDERED,
    loss: float = 0.0,
    duplication: float = 0.0,
    crashes: int = 0,
    broadcast: bool = False,
    limit: int = 100_000,
) -> Outcome:
    """One random run of `messages` sends, then of all events that they cause.

    `loss` and `duplication` are probabilities for each packet that is picked.
    """
    rng = Random(seed)
    team = tuple("abcdefghijklmnopqrstuvwxyz"[:processes])
    bench = Bench({a: build(a, team, links=links) for a in team})
    unsent, news = messages, list[tuple[Address, Address]]()
    busy, reactive = rng.choice((1, 2, 6)), rng.choice((0.0, 0.8))
    pace = {(s, d): rng.choice((1.0, 1.0, 0.02)) for s in team for d in team}
    while bench.steps < limit:
        living = [a for a in team if a not in bench.crashed]
        choices = ["send"] * busy * (unsent > 0) + ["packet"] * 3 * bool(bench.flying)
        choices += ["news"] * bool(news) + ["crash"] * (len(bench.crashed) < crashes)
        if not choices and bench.timers:
            choices = ["timer"]
        elif bench.timers and rng.random() < 0.05:
            choices.append("timer")
        if not choices:
            break
        choice = rng.choice(choices)
        if choice == "send":
            unsent -= 1
            src, dst = rng.choice(living), rng.choice(team)
            if bench.last in living and rng.random() < reactive:
                src = bench.last
            if broadcast:
                bench.do(src, Invoke(Broadcast(None)))
            elif dst not in getattr(bench.cores[src].state, "gone", ()):
                bench.send(src, dst)
        elif choice == "packet":
            _packet(bench, rng, pace, links, loss, duplication)
        elif choice == "news":
            address, peer = news.pop(rng.randrange(len(news)))
            if address not in bench.crashed:
                bench.do(address, Invoke(PeerDown(peer)))
        elif choice == "crash":
            if rng.random() < 0.2:
                peer = rng.choice(living)
                bench.crash(peer)
                news += [(address, peer) for address in team if address != peer]
        else:
            bench.do(rng.choice(sorted(bench.timers)), Timeout(RESEND))
    return bench.outcome()


def _packet(
    bench: Bench,
    rng: Random,
    pace: Mapping[tuple[Address, Address], float],
    links: Guarantee,
    loss: float,
    duplication: float,
) -> None:
    weights = [pace[src, dst] for src, dst, _ in bench.flying]
    (index,) = rng.choices(range(len(weights)), weights)
    if links.ordered:
        src, dst, _ = bench.flying[index]
        index = next(i for i, (s, d, _) in enumerate(bench.flying) if (s, d) == (src, dst))
    fate = rng.random()
    if links.lossy and fate < loss:
        bench.flying.pop(index)
    elif links.duplicating and fate > 1 - duplication:
        # On ordered links the copy stays at the head of its pair: repeated in a row.
        bench.flying.insert(index, bench.flying[index])
        bench.arrive(index + 1 if not links.ordered else index)
    else:
        bench.arrive(index)
