"""Processes, a network and an environment as a model: the checked step is the shipped step.

The closed list of events: a process is *invoked* with a request that its environment may still
make; a message is *delivered*, *dropped* or *duplicated*, as the network's guarantee allows; an
armed timer *times out*; a process *crashes* and *restarts*; other processes *bury* a process that
is down, or by a false *alarm* one that is up: another process gets a message in its name.  There
are no other events.

Networks, per ordered pair of processes:

==================================  ============================================================
ORDERED                             a queue; deliver takes its head
ORDERED_LOSSY                       drop takes the head away (a loss further back shows no sooner)
ORDERED_DUPLICATING                 duplicate delivers the head and leaves it there
ORDERED_LOSSY_DUPLICATING           both
UNORDERED                           a bag; deliver takes any message
UNORDERED_LOSSY                     drop takes any message away
UNORDERED_DUPLICATING               a set; deliver takes nothing away, so any message may come again
UNORDERED_LOSSY_DUPLICATING         a set; deliver takes nothing away, drop does
==================================  ============================================================

Time is abstract: ``now`` is 0 in every step, and an armed timer may be due at any moment, unless
`timer_guard` rules that out by the clock assumption.  A process that is down receives nothing;
messages in transit to it wait, or are dropped if the network may lose them.

A step whose action is "" answers an event that the specification has no action for.  If it changes
nothing and the network keeps the message, it is not a transition.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

from message_passing.network import Guarantee
from message_passing.process import (
    Address,
    CancelTimer,
    Event,
    Invoke,
    Process,
    Receive,
    Respond,
    Restart,
    Send,
    SetTimer,
    Step,
    Timeout,
)
from specs.channels import Channels
from specs.checker.composite import Change, Composite, Rule
from specs.checker.errors import CheckerError, ModelError
from specs.checker.model import Action, Fairness, Limit, Property, always
from specs.checker.purity import Repeater
from specs.environment import (
    Bounds,
    Ghost,
    Hearsay,
    Local,
    Observe,
    Requests,
    Seen,
    TimerGuard,
    View,
    Witness,
    any_of,
    fair_delivery,
    kinds_of,
    renamed,
    script,
    symmetry_of,
    whenever,
)
from specs.slots import Slots

__all__ = [
    "Bounds",
    "Hearsay",
    "Local",
    "Requests",
    "System",
    "View",
    "any_of",
    "fair_delivery",
    "renamed",
    "script",
    "whenever",
]

DISCARDED = "Discard"


class System:
    """Processes, their network, their environment and the bounds of the model.

    `observe` folds history into a ghost that properties may read: it gets the ghost so far, the
    address, the event and the step, and must be pure.  A `witness` gets the address, the state
    before, the event and the step.  It may replace the last three arguments of `observe` by the
    part that `observe` reads, or by None if the ghost cannot change.  The less it keeps, the fewer
    calls of `observe`.
    """

    def __init__(
        self,
        processes: Mapping[Address, Process[Any, Any, Any]],
        guarantee: Guarantee,
        *,
        environment: Mapping[Address, Requests] | None = None,
        bounds: Bounds | None = None,
        timer_guard: TimerGuard | None = None,
        hearsay: Hearsay | None = None,
        observe: Observe | None = None,
        witness: Witness | None = None,
        ghost: Ghost = None,
    ) -> None:
        self.processes = dict(processes)
        self.guarantee = guarantee
        self.environment = dict(environment or {})
        self.bounds = bounds or Bounds()
        self.addresses = tuple(self.processes)
        if not self.processes:
            raise ModelError("a system of zero processes", remedy="give at least one")
        told = (hearsay.to, *hearsay.of) if hearsay is not None else ()
        named = {*self.environment, *(self.bounds.crashable or ()), *told}
        unknown = named - set(self.addresses)
        if unknown:
            raise ModelError(f"no such process: {', '.join(sorted(unknown))}")
        self._timer_guard = timer_guard
        self._hearsay = hearsay
        self._observe = observe
        self._witness = witness
        #: Of each extra slot, its value at the start.
        extras: dict[str, Hashable] = {"raised": None}
        if self.bounds.crashes:
            extras["crashes"] = self.bounds.crashes
        if hearsay is not None and self.bounds.alarms:
            extras["alarms"] = self.bounds.alarms
        if self.bounds.drops is not None and guarantee.lossy:
            extras["drops"] = self.bounds.drops
        if self.bounds.duplicates is not None and guarantee.duplicating:
            extras["duplicates"] = self.bounds.duplicates
        if observe is not None:
            extras["ghost"] = ghost
        self._extras = extras
        self._channels = Channels(guarantee)
        self.slots = Slots(self.addresses, extras, self._channels)
        self._steps: dict[tuple[Address, Any, Any], Step[Any] | str] = {}
        self._repeat = Repeater()
        self.step_calls = 0
        self._has_left_out = False

    def model(
        self,
        name: str,
        properties: Sequence[Property[View]] = (),
        *,
        fairness: Sequence[Fairness] = (),
        terminal: Callable[[View], bool] | None = None,
        within: Callable[[View], bool] | None = None,
        alphabet: Iterable[str] = (),
        symmetric: Sequence[Address] = (),
    ) -> Composite[View]:
        """The system as a model.  `symmetric` names processes that are interchangeable.

        One property is always added: no step raises.
        """
        initial: list[Hashable] = [Local(p.initial()) for p in self.processes.values()]
        initial += [self._channels.empty] * len(self.slots.pairs)
        initial += self._extras.values()
        return Composite(
            name=name,
            slots=self.slots.names,
            initial=[tuple(initial)],
            rules=self._rules(),
            apply=self._apply,
            view=partial(View, self.slots),
            properties=[NO_STEP_RAISES, *properties],
            fairness=fairness,
            terminal=terminal,
            within=within,
            limit=self._limit(),
            alphabet=frozenset(alphabet),
            kinds=kinds_of(self.slots, symmetric),
            queues=self._channels.queues(len(self.addresses)),
            symmetry=symmetry_of(self.slots, symmetric, self.processes),
            step_calls=lambda: self.step_calls,
        )

    def _limit(self) -> Limit | None:
        if self.bounds.in_flight is None:
            return None
        free = copy(self)
        free.bounds = replace(self.bounds, in_flight=None)
        bounded, unbounded = self._rules(), free._rules()

        def left_out(state: Sequence[Any]) -> Iterator[Action]:
            taken = {change.action for rule in bounded for change in rule(state)}
            for rule in unbounded:
                yield from (each.action for each in rule(state) if each.action not in taken)

        return Limit(f"in_flight={self.bounds.in_flight}", left_out, lambda: self._has_left_out)

    def _apply(self, slot: int, value: Any, operation: Any) -> Hashable:
        if self._observe is not None and slot == self.slots.extra_slot("ghost"):
            return self._observe(value, *operation)
        changed: Hashable = self._channels.with_message(value, operation)
        return changed

    # The rules: the closed list of events.

    def _rules(self) -> list[Rule]:
        rules: list[Rule] = []
        for address in self.addresses:
            rules.append(partial(self._own_events, address))
            if self._timer_guard is not None:
                rules.append(partial(self._timeouts, address))
            crashable = self.bounds.crashable
            if self.bounds.crashes and (crashable is None or address in crashable):
                rules.append(partial(self._crash, address))
            if self._hearsay is not None and address in self._hearsay.of:
                rules.append(partial(self._buried, self._hearsay, address))
            rules += [partial(self._arrivals, src, address) for src in self.addresses]
        return rules

    def _own_events(self, address: Address, values: Sequence[Any]) -> Iterator[Change]:
        """Invoke, timeout and restart: the rules that read one process only."""
        local: Local = values[self.slots.slot_of(address)]
        if not local.up:
            back = local._replace(up=True)
            yield from self._step(values, address, back, Restart(), "restart")
            return
        requests = self.environment.get(address)
        if requests is not None and not (requests.sequential and local.waiting):
            for request in requests.choose(local.state, local.invoked):
                asked = local._replace(
                    invoked=local.invoked + requests.counted, waiting=requests.sequential
                )
                yield from self._step(
                    values, address, asked, Invoke(request), "invoke", subject=request
                )
        if self._timer_guard is None:
            yield from self._timeouts(address, values)

    def _timeouts(self, address: Address, values: Sequence[Any]) -> Iterator[Change]:
        local: Local = values[self.slots.slot_of(address)]
        guard = self._timer_guard
        for timer in sorted(local.armed):
            if guard is None or guard(View(self.slots, values), address, timer):
                fired = local._replace(armed=local.armed - {timer})
                yield from self._step(
                    values, address, fired, Timeout(timer), "timeout", subject=timer
                )

    def _crash(self, address: Address, values: Sequence[Any]) -> Iterator[Change]:
        slot, budget = self.slots.slot_of(address), self.slots.extra_slot("crashes")
        local: Local = values[slot]
        if local.up and values[budget]:
            durable = self.processes[address].durable(local.state)
            down = Local(durable, up=False, invoked=local.invoked)
            action = Action("Crash", address, "crash")
            yield Change(action, ((slot, down), (budget, values[budget] - 1)))

    def _buried(
        self, hearsay: Hearsay, address: Address, values: Sequence[Any]
    ) -> Iterator[Change]:
        """Messages of others in the name of one process."""
        to: Local = values[self.slots.slot_of(hearsay.to)]
        if not to.up:
            return
        up: bool = values[self.slots.slot_of(address)].up
        if up and not ("alarms" in self._extras and self._allowed("alarms", values)):
            return
        spent = self._spent("alarms", values) if up else ()
        for message in hearsay.say(address, to.state):
            event, kind = Receive(address, message), "alarm" if up else "bury"
            yield from self._step(values, hearsay.to, to, event, kind, address, message, spent)

    def _arrivals(self, src: Address, dst: Address, values: Sequence[Any]) -> Iterator[Change]:
        """Deliver, duplicate and drop on one channel."""
        slot, channels = self.slots.channel_slot(src, dst), self._channels
        channel = values[slot]
        if not channel:
            return
        for message in channels.next_messages(channel):
            rest = channels.without(channel, message)
            if self.guarantee.lossy and self._allowed("drops", values):
                yield Change(
                    Action("Drop", dst, "drop", src, message),
                    ((slot, rest), *self._spent("drops", values)),
                )
            local: Local = values[self.slots.slot_of(dst)]
            if not local.up:
                continue
            event = Receive(src, message)
            if channels.keeps:
                yield from self._step(values, dst, local, event, "deliver", src, message)
                continue
            took = ((slot, rest),)
            yield from self._step(values, dst, local, event, "deliver", src, message, took)
            if self.guarantee.duplicating and self._allowed("duplicates", values):
                spent = self._spent("duplicates", values)
                kept = ((slot, channel), *spent)
                yield from self._step(values, dst, local, event, "duplicate", src, message, kept)

    def _allowed(self, budget: str, values: Sequence[Any]) -> bool:
        return budget not in self._extras or bool(values[self.slots.extra_slot(budget)])

    def _spent(self, budget: str, values: Sequence[Any]) -> tuple[tuple[int, Hashable], ...]:
        if budget not in self._extras:
            return ()
        slot = self.slots.extra_slot(budget)
        return ((slot, values[slot] - 1),)

    def _step(
        self,
        values: Sequence[Any],
        address: Address,
        local: Local,
        event: Event[Any, Any],
        kind: str,
        peer: Address = "",
        subject: Hashable = None,
        writes: tuple[tuple[int, Hashable], ...] = (),
    ) -> Iterator[Change]:
        """Step a process with an event; `writes` are the event's effects on the network."""
        step = self._stepped(address, local.state, event)
        if isinstance(step, str):
            raised = (self.slots.extra_slot("raised"), f"{address}: {step}")
            yield Change(Action("Raise", address, kind, peer, subject), (*writes, raised))
            return
        armed, waiting = set(local.armed), local.waiting
        sent: list[tuple[Address, Hashable]] = []
        updates: list[tuple[int, Hashable]] = []
        for command in step.commands:
            match command:
                case Send(dst, message):
                    if dst not in self.processes:
                        raise ModelError(f"{address} sends to {dst!r}, which is not a process")
                    sent.append((dst, message))
                    updates.append((self.slots.channel_slot(address, dst), message))
                case SetTimer(name):
                    armed.add(name)
                case CancelTimer(name):
                    armed.discard(name)
                case Respond():
                    waiting = False
        if not step.action:
            if step.state != local.state or step.commands:
                raise ModelError(
                    f"{address} acted on {event!r} without naming the action",
                    remedy='only a step that changes nothing may have the action ""',
                )
            if kind == "deliver" and not writes:
                return
        if not self._channels.fit(self.bounds.in_flight, values, writes, updates):
            self._has_left_out = True
            return
        after = Local(step.state, frozenset(armed), True, local.invoked, waiting)
        action = Action(step.action or DISCARDED, address, kind, peer, subject, tuple(sent))
        if "ghost" in self._extras:
            seen: Seen | None = (address, event, step)
            if self._witness is not None:
                seen = self._witness(address, local.state, event, step)
            if seen is not None:
                updates.append((self.slots.extra_slot("ghost"), seen))
        writes = ((self.slots.slot_of(address), after), *writes)
        yield Change(action, writes, tuple(updates))

    def _stepped(self, address: Address, state: Any, event: Event[Any, Any]) -> Step[Any] | str:
        """The real step, called once for each (process, state, event), or its error."""
        key = (address, state, event)
        known = self._steps.get(key)
        if known is None:
            self.step_calls += 1
            process = self.processes[address]
            try:
                known = self._repeat(f"step of {address}", process.step, state, event, 0.0)
            except CheckerError:
                raise
            except Exception as error:
                known = f"{type(error).__name__}: {error}"
            self._steps[key] = known
        return known


#: Part of every system's model: it finds events that the table rules out, with their paths.
NO_STEP_RAISES: Property[View] = always("no step raises", lambda view: view.raised is None)
