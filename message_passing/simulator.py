"""The simulator: processes in virtual time over a network model, driven by one seeded queue.

It is public, so that you can test your own processes::

    sim = Simulator({"ping": Ping("pong"), "pong": Pong()}, seed=7)
    sim.invoke("ping", Start(rounds=3))
    sim.run(until=60)

One seed gives one run, whatever `PYTHONHASHSEED` is.  The earliest event happens next.  At equal
times a `Timeout` comes before a `Receive`, a `Receive` before a scheduled `Invoke`, and within each
kind the first entered comes first.  A crash, a restart, a pause or a partition happens in the call
of its method, between two runs; `message_passing.faults` plays a whole plan of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Any, TypeAlias

from message_passing.errors import CallerError
from message_passing.netmodel import NetworkModel
from message_passing.oracle import Observer, View
from message_passing.ports import BrokenContract, Busy, NoSuchProcess, Reentrant, Trace, Unavailable
from message_passing.process import (
    Address,
    CancelTimer,
    Deliver,
    Event,
    Invoke,
    Process,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Time,
    Timeout,
)

# An entry is (time, key, address, event).  Keys are unique, so tuples compare no further.  Each
# kind of event has a range of keys, so that at equal times the kinds decide.
_Entry: TypeAlias = tuple[Time, int, Address, Any]
_RECEIVE = 1 << 50
_INVOKE = 1 << 51


class Simulator:
    """Processes, a network between them, and a clock that jumps from event to event.

    `on_respond` and `on_deliver` are the application: they may schedule an `Invoke` with `at=`, but
    call nothing else of the simulator.  `observers` are oracles: they run after each step, see a
    read-only `View`, and may only raise.  An error that any of them raises ends the run there,
    after the step.  An error in a step leaves its process unchanged, and its event consumed.

    A scheduled request waits while its process has another request outstanding.
    """

    def __init__(
        self,
        processes: Mapping[Address, Process[Any, Any, Any]],
        *,
        network: NetworkModel | None = None,
        seed: int = 0,
        on_respond: Callable[[Address, Any], None] | None = None,
        on_deliver: Callable[[Address, Address, Any], None] | None = None,
        observers: Iterable[Observer] = (),
        trace: Trace | None = None,
    ) -> None:
        if not isinstance(seed, int):
            raise CallerError(f"seed is {seed!r}", remedy="give an int: equal seeds, equal runs")
        self.now: Time = 0.0
        #: The live states, read-only: only a step may change them.
        self.states: dict[Address, Any] = {a: p.initial() for a, p in processes.items()}
        #: The live deadlines by name of each process's armed timers, read-only.
        self.timers: dict[Address, dict[str, Time]] = {a: {} for a in processes}
        self.network = network if network is not None else NetworkModel()
        self._processes = dict(processes)
        self._steps = {a: p.step for a, p in processes.items()}
        self._rng = Random(seed)
        self._fixed = self.network.fixed_latency
        self._ordered = self.network.guarantee.ordered
        self._last_arrival: dict[tuple[Address, Address], Time] = {}
        self._queue: list[_Entry] = []
        # Messages without latency: they come in sorted order, so they need no heap.
        self._at_once: deque[_Entry] = deque()
        self._armed: dict[Address, dict[str, int]] = {a: {} for a in processes}  # keys of timers
        self._timer_keys = count()
        self._receive_keys = count(_RECEIVE)
        self._invoke_keys = count(_INVOKE)
        #: The live set of processes with an outstanding request, read-only.
        self.outstanding: set[Address] = set()
        self._waiting: dict[Address, list[_Entry]] = {}
        self._held: dict[Address, list[_Entry]] = {}  # of each process that is down or paused
        self._down: set[Address] = set()
        self._groups: dict[Address, int] = {}  # empty: no partition
        self._cut_off: list[_Entry] = []
        self._on_respond = on_respond
        self._on_deliver = on_deliver
        self._observers = tuple(observers)
        self._trace = trace
        self._view = View(self)
        self._in_step = False
        self._observing = False

    # Calls for the driver of a simulation.

    def invoke(self, address: Address, request: Any, at: Time | None = None) -> None:
        """Invoke a request: now, within this call, or at a given time.

        Raises `Busy` if a request is outstanding, `Unavailable` if the process is down.  For
        a paused process the request waits.
        """
        if address not in self.states:
            raise _unknown(address)
        if at is not None:
            if self._observing:
                raise Reentrant("an oracle called invoke")
            time = self._moment("at", at)
            heappush(self._queue, (time, next(self._invoke_keys), address, Invoke(request)))
            return
        if self._in_step:
            raise Reentrant("invoke without at= within a step")
        if address in self._down:
            raise Unavailable(f"{address!r} is down", remedy="restart it first")
        if address in self.outstanding:
            raise Busy(f"{address!r} has a request outstanding")
        if address in self._held:
            self._hold((self.now, next(self._invoke_keys), address, Invoke(request)))
            return
        self._step(address, Invoke(request))

    def run(self, until: Time | None = None, max_events: int | None = None) -> int:
        """Run all events up to and including `until`; then the time is `until`.

        Without `until` it runs until no event is left; a process that always has a timer armed then
        runs for ever.  After `max_events` steps the run and its clock stop early.  Returns the
        number of steps.
        """
        self._require_idle("run")
        limit = inf if until is None else self._moment("until", until)
        if max_events is not None and max_events < 0:
            raise CallerError(f"max_events is {max_events!r}", remedy="give a count")
        budget = inf if max_events is None else max_events
        queue, at_once = self._queue, self._at_once
        armed, held, outstanding = self._armed, self._held, self.outstanding
        step = self._step
        steps = 0
        while steps < budget:
            if at_once and not (queue and queue[0] < at_once[0]):
                entry = at_once.popleft()
            elif queue and queue[0][0] <= limit:
                entry = heappop(queue)
            else:
                if limit < inf:
                    self.now = limit
                break
            time, key, address, event = entry
            if key < _RECEIVE:
                if armed[address].get(event.name) != key:
                    continue  # replaced or cancelled
                if address not in held:
                    self._disarm(address, event.name)
            if time > self.now:
                self.now = time
            if address in held:
                self._hold(entry)
                continue
            if key >= _INVOKE:
                if address in outstanding:
                    self._waiting.setdefault(address, []).append(entry)
                    continue
            elif key >= _RECEIVE and self._groups and self._is_cut(event.src, address):
                if self.network.holds:
                    self._cut_off.append(entry)
                continue
            step(address, event)
            steps += 1
        return steps

    def crash(self, address: Address) -> None:
        """Stop a process: its timers, its requests and the volatile part of its state are lost.

        Messages that reach it while it is down wait or are lost, as `NetworkModel.holds` says.
        Requests that are scheduled for that time are lost.
        """
        self._require_idle("crash")
        self._require(address, down=False)
        state = self._processes[address].durable(self.states[address])
        held = self._held.pop(address, [])
        self.states[address] = state
        self.timers[address].clear()
        self._armed[address].clear()
        self.outstanding.discard(address)
        self._waiting.pop(address, None)
        self._down.add(address)
        self._held[address] = []
        for entry in held:
            self._hold(entry)

    def restart(self, address: Address) -> None:
        """Restart a crashed process: it steps `Restart`, in this call."""
        self._require_idle("restart")
        self._require(address, down=True)
        self._down.remove(address)
        self._requeue(self._held.pop(address))
        self._step(address, Restart())

    def pause(self, address: Address) -> None:
        """Pause a process: its events wait, and its timers stay armed."""
        self._require_idle("pause")
        self._require(address, down=False)
        if address in self._held:
            raise Unavailable(f"{address!r} is paused already")
        self._held[address] = []

    def resume(self, address: Address) -> None:
        """End a pause.  Timers that came due in it step first, in this call."""
        self._require_idle("resume")
        self._require(address, down=False)
        if address not in self._held:
            raise Unavailable(f"{address!r} is not paused")
        held = sorted(self._held.pop(address), key=lambda entry: entry[:2])
        self._requeue(entry for entry in held if entry[1] >= _RECEIVE)
        for _, key, _, event in held:
            if key < _RECEIVE and self._armed[address].get(event.name) == key:
                self._disarm(address, event.name)
                self._step(address, event)

    def partition(self, groups: Iterable[Iterable[Address]]) -> None:
        """Cut the network between `groups`; all other processes form one more group.

        The cut takes effect at a message's arrival.  Replaces an earlier partition.
        """
        self._require_idle("partition")
        group_of: dict[Address, int] = {}
        for number, group in enumerate(groups, start=1):
            for address in group:
                if address not in self.states:
                    raise _unknown(address)
                if group_of.setdefault(address, number) != number:
                    raise CallerError(f"{address!r} is in two groups", remedy="name it once")
        self.heal()
        self._groups = {address: group_of.get(address, 0) for address in self.states}

    def heal(self) -> None:
        """End the partition; the messages that it held back arrive now."""
        self._require_idle("heal")
        self._groups = {}
        held, self._cut_off = self._cut_off, []
        self._requeue(held)

    @property
    def down(self) -> frozenset[Address]:
        """The crashed processes that have not restarted."""
        return frozenset(self._down)

    def in_flight(self) -> Iterator[tuple[Address, Address, Any]]:
        """Every message sent and neither received nor lost, as (src, dst, message).

        In order of arrival if no process is down, paused or cut off.
        """
        waiting = [*self._queue, *self._at_once, *self._cut_off]
        for held in self._held.values():
            waiting.extend(held)
        for _, _, dst, event in sorted(waiting, key=lambda entry: entry[:2]):
            if type(event) is Receive:
                yield event.src, dst, event.message

    # One step and its commands.

    def _step(self, address: Address, event: Event[Any, Any]) -> None:
        self._in_step = True
        try:
            step = self._steps[address](self.states[address], event, self.now)
            self.states[address] = step.state
            if type(event) is Invoke:
                self.outstanding.add(address)
            command: Any
            for command in step.commands:
                kind = type(command)
                if kind is Send:
                    dst = command.dst
                    if dst not in self.states:
                        raise BrokenContract(f"{address!r} sent to {dst!r}, which does not exist")
                    if self._fixed is None:
                        self._transmit(address, dst, command.message)
                        continue
                    arrival = Receive(address, command.message)
                    if self._fixed:
                        time = self.now + self._fixed
                        heappush(self._queue, (time, next(self._receive_keys), dst, arrival))
                    else:
                        self._at_once.append((self.now, next(self._receive_keys), dst, arrival))
                elif kind is SetTimer:
                    name, at, key = command.name, command.at, next(self._timer_keys)
                    if at < inf:
                        heappush(self._queue, (at, key, address, Timeout(name)))
                    elif at != at:
                        raise BrokenContract(f"{address!r} set timer {name!r} to NaN")
                    self.timers[address][name] = at
                    self._armed[address][name] = key
                elif kind is CancelTimer:
                    self._disarm(address, command.name)
                elif kind is Respond:
                    self._answer(address, command.result)
                elif kind is Deliver:
                    if self._on_deliver is not None:
                        self._on_deliver(address, command.src, command.message)
                else:
                    raise BrokenContract(f"{address!r} gave {command!r}, which is not a command")
            if self._trace is not None:
                self._trace(self.now, address, event, step)
            if self._observers:
                self._observe(address, event, step)
        finally:
            self._in_step = False

    def _transmit(self, src: Address, dst: Address, message: Any) -> None:
        for latency in self.network.arrivals(self._rng, src, dst, message):
            time = self.now + latency
            if self._ordered:
                time = max(time, self._last_arrival.get((src, dst), 0.0))
                self._last_arrival[src, dst] = time
            entry = (time, next(self._receive_keys), dst, Receive(src, message))
            if time > self.now:
                heappush(self._queue, entry)
            else:
                self._at_once.append(entry)

    def _disarm(self, address: Address, name: str) -> None:
        self.timers[address].pop(name, None)
        self._armed[address].pop(name, None)

    def _answer(self, address: Address, result: Any) -> None:
        if address not in self.outstanding:
            raise BrokenContract(f"{address!r} answered {result!r} with no request outstanding")
        self.outstanding.remove(address)
        waiting = self._waiting.pop(address, None)
        if waiting:
            self._requeue(waiting)
        if self._on_respond is not None:
            self._on_respond(address, result)

    def _observe(self, address: Address, event: Event[Any, Any], step: Step[Any]) -> None:
        self._observing = True
        try:
            for observer in self._observers:
                observer(self._view, address, event, step)
        finally:
            self._observing = False

    def _is_cut(self, src: Address, dst: Address) -> bool:
        return self._groups[src] != self._groups[dst]

    # Entries that could not be delivered when they were due.

    def _hold(self, entry: _Entry) -> None:
        address = entry[2]
        is_message = _RECEIVE <= entry[1] < _INVOKE
        if address not in self._down or (is_message and self.network.holds):
            self._held[address].append(entry)

    def _requeue(self, entries: Iterable[_Entry]) -> None:
        # Due now, with the old keys: no message overtakes an earlier one of its pair.
        for _, key, address, event in entries:
            heappush(self._queue, (self.now, key, address, event))

    def _moment(self, name: str, time: object) -> Time:
        if not (isinstance(time, int | float) and self.now <= time < inf):
            raise CallerError(
                f"{name}={time!r} at time {self.now!r}", remedy="give a finite time, not before now"
            )
        return float(time)

    def _require_idle(self, call: str) -> None:
        if self._in_step:
            raise Reentrant(f"{call} within a step")

    def _require(self, address: Address, *, down: bool) -> None:
        if address not in self.states:
            raise _unknown(address)
        if (address in self._down) is not down:
            raise Unavailable(f"{address!r} is {'not down' if down else 'down'}")


def _unknown(address: Address) -> NoSuchProcess:
    return NoSuchProcess(f"there is no process {address!r}", remedy="name one that was given")
