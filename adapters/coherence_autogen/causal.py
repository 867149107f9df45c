"""Agents of autogen-core that handle no message before the messages that caused it.

A team's publishes go to all of it, so the protocol is the classical one for broadcasts,
`causal.Bss91`: a vector on every message, and messages that come early are held where they arrive.
The vector travels in AutoGen's message id, so messages and handlers stay as they are.

Nothing waits in a task: what is held is state, and the message that it waits for hands it on.  So a
runtime is idle when it is, a lost message hangs nobody, and `save_state` has all that is held.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import le
from typing import Any, TypeAlias

import autogen_core as core

from causal.bss91 import Bss91, State
from causal.messages import Broadcast, VectorData
from messaging.process import Deliver, Event, Invoke, Receive

log = logging.getLogger("coherence_autogen")

MARK = "causal "
Arrived: TypeAlias = tuple[Any, core.MessageContext]


class CausalRoutedAgent(core.RoutedAgent):
    """One of a `team` of agent types, all of them subscribed to the topic type `topic`.

    Publishes on that topic are handled in causal order by each agent of the team, one after the
    other; everything else as ever.  A message that is still held after `hold_s` seconds goes to
    `on_dead_letter`, and so will those that it caused.

    With `hold_rpc` a direct message within the team waits for the publishes that its sender knew
    of; where it would hold up one of them itself, it fails with `TimeoutError`.
    """

    def __init__(
        self,
        description: str,
        *,
        team: Sequence[str],
        topic: str = "default",
        hold_s: float | None = 60.0,
        hold_rpc: bool = False,
    ) -> None:
        super().__init__(description)
        self._team, self._topic, self._hold_s, self._hold_rpc = team, topic, hold_s, hold_rpc
        self._ready: deque[Arrived] = deque()
        self._turn = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @cached_property
    def _machine(self) -> Bss91:
        return Bss91(self.id.type, self._team)

    @cached_property
    def _state(self) -> State:
        return self._machine.initial()

    async def publish_message(self, message: Any, topic_id: core.TopicId, **options: Any) -> None:
        before = self._state
        if (topic_id.type, topic_id.source) == (self._topic, self.id.key):
            self._step(Invoke(Broadcast(None)))
            options["message_id"] = self._stamp()
        after = self._state
        try:
            await self.runtime.publish_message(message, topic_id, sender=self.id, **options)
        except BaseException:
            if self._state is after:  # else others know already that there was to be a message
                self._state = before
            raise

    async def send_message(self, message: Any, recipient: core.AgentId, **options: Any) -> Any:
        if self._hold_rpc and recipient.type in self._team and recipient.key == self.id.key:
            options.setdefault("message_id", self._stamp())
        return await super().send_message(message, recipient, **options)

    async def on_message_impl(self, message: Any, ctx: core.MessageContext) -> Any:
        sender, id = ctx.sender, ctx.message_id
        if sender is None or sender.type not in self._team or not id.startswith(MARK):
            return await super().on_message_impl(message, ctx)
        clock = tuple(map(int, id.rpartition(" ")[2].split(",")))
        if ctx.is_rpc:
            async with self._turn:
                known = self._turn.wait_for(lambda: all(map(le, clock, self._state.clock)))
                await asyncio.wait_for(known, self._hold_s)
                return await super().on_message_impl(message, ctx)
        packet = VectorData(clock, (message, ctx))
        self._step(Receive(sender.type, packet))
        self._watch(packet)
        await self._handle()

    async def on_dead_letter(self, message: Any, ctx: core.MessageContext) -> None:
        """`message` was held for too long, or came twice: it is not handled."""
        log.warning("%s gives up %s: what caused it never came", self.id, ctx.message_id)

    async def save_state(self) -> Mapping[str, Any]:
        """Clock and held messages.  Add yours: ``{**await super().save_state(), ...}``."""
        return {
            "clock": self._state.clock,
            "ready": [_dumped(*arrived) for arrived in self._ready],
            "held": [(at, data.clock, _dumped(*data.payload)) for at, data in self._state.buffer],
        }

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there: with its own state, or as a newcomer with that of an idle other."""
        held = [(at, VectorData(tuple(c), self._loaded(*said))) for at, c, said in state["held"]]
        mine, clock = self._machine.place[self.id.type], list(state["clock"])
        clock[mine] = max(clock[mine], self._state.clock[mine])  # what it has said stays said
        self._state = State(tuple(clock), tuple(held))
        self._ready.extend(self._loaded(*said) for said in state["ready"])
        for _, packet in held:
            self._watch(packet)
        self._start(self._handle())

    def _step(self, event: Event[Any, Any]) -> None:
        step = self._machine.step(self._state, event, 0.0)
        self._state = step.state
        delivered = [command for command in step.commands if isinstance(command, Deliver)]
        self._ready.extend(c.message.payload for c in delivered if c.src != self.id.type)

    def _stamp(self) -> str:
        return f"{MARK}{self.id} {','.join(map(str, self._state.clock))}"

    async def _handle(self) -> None:
        failure = None
        async with self._turn:
            while self._ready:
                try:
                    await super().on_message_impl(*self._ready.popleft())
                except Exception as error:  # of its handler: the others are not to blame
                    failure = error
            self._turn.notify_all()
        if failure is not None:
            raise failure

    def _watch(self, packet: VectorData[Arrived]) -> None:
        if self._hold_s is not None and self._is_held(packet):
            asyncio.get_running_loop().call_later(self._hold_s, self._give_up, packet)

    def _is_held(self, packet: VectorData[Arrived]) -> bool:
        return any(held is packet for _, held in self._state.buffer)

    def _give_up(self, packet: VectorData[Arrived]) -> None:
        if self._is_held(packet):
            left = tuple(held for held in self._state.buffer if held[1] is not packet)
            self._state = State(self._state.clock, left)
            self._start(self.on_dead_letter(*packet.payload))

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _loaded(self, kind: str, data: str, sender: str, topic: str, id: str) -> Arrived:
        handlers = [getattr(type(self), name, None) for name in dir(type(self))]
        types = {t for handler in handlers for t in getattr(handler, "target_types", ())}
        serializers = [s for t in types for s in core.try_get_known_serializers_for_type(t)]
        message = next(s for s in serializers if s.type_name == kind).deserialize(data.encode())
        who, where = core.AgentId.from_str(sender), core.TopicId.from_str(topic)
        return message, core.MessageContext(who, where, False, core.CancellationToken(), id)


def _dumped(message: Any, ctx: core.MessageContext) -> tuple[str, ...]:
    (how, *_) = core.try_get_known_serializers_for_type(type(message))
    text = how.serialize(message).decode()
    return how.type_name, text, str(ctx.sender), str(ctx.topic_id), ctx.message_id
