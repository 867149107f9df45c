"""Agents of autogen-core that handle each message after the messages that caused it.

A publish goes to the whole team, so the protocol is the classical one for broadcasts,
`causal.Bss91`: a vector on every message, and early messages are held at the receiver.  The vector
travels in AutoGen's message id, so messages and handlers stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import autogen_core as core

from causal.handling import Handling
from causal.member import Clock
from coherence import BadArgument

log = logging.getLogger("coherence_autogen")

MARK = "causal "
Arrived: TypeAlias = tuple[Any, core.MessageContext]


class CausalRoutedAgent(core.RoutedAgent):
    """One of a `team` of agent types, all subscribed to the topic type `topic`.

    Each agent of the team handles publishes on that topic in causal order, one after the other;
    other messages are not affected.  A message that is still held after `hold_s` seconds goes to
    `on_dead_letter`, and so do the messages that it caused.

    With `hold_rpc` a direct message within the team waits for the publishes that its sender knew
    of; if it would itself block one of them, it fails with `TimeoutError`.  Raises `BadArgument` if
    `team` is a str.
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
        if isinstance(team, str):
            raise BadArgument(f"the team is the str {team!r}", remedy="give a list of agent types")
        self._team, self._topic, self._hold_s, self._hold_rpc = team, topic, hold_s, hold_rpc

    @cached_property
    def _handling(self) -> Handling[Arrived]:
        handle, give_up = super().on_message_impl, self.on_dead_letter
        return Handling(self.id.type, self._team, handle, give_up, self._hold_s)

    async def publish_message(self, message: Any, topic_id: core.TopicId, **options: Any) -> None:
        publish = self.runtime.publish_message
        if (topic_id.type, topic_id.source) != (self._topic, self.id.key):
            return await publish(message, topic_id, sender=self.id, **options)
        with self._handling.member.saying() as clock:
            options["message_id"] = self._stamp(clock)
            await publish(message, topic_id, sender=self.id, **options)

    async def send_message(self, message: Any, recipient: core.AgentId, **options: Any) -> Any:
        if self._hold_rpc and recipient.type in self._team and recipient.key == self.id.key:
            options.setdefault("message_id", self._stamp(self._handling.member.clock))
        return await super().send_message(message, recipient, **options)

    async def on_message_impl(self, message: Any, ctx: core.MessageContext) -> Any:
        sender, id = ctx.sender, ctx.message_id
        if sender is None or sender.type not in self._team or not id.startswith(MARK):
            return await super().on_message_impl(message, ctx)
        clock = tuple(map(int, id.rpartition(" ")[2].split(",")))
        if ctx.is_rpc:
            async with self._handling.knowing(clock):
                return await super().on_message_impl(message, ctx)
        await self._handling.receive(sender.type, clock, (message, ctx))

    async def on_dead_letter(self, message: Any, ctx: core.MessageContext) -> None:
        """Called for a `message` that was held too long or came twice, and is not handled."""
        log.warning("%s gives up %s: what caused it never came", self.id, ctx.message_id)

    async def save_state(self) -> Mapping[str, Any]:
        """The clock and held messages.  Extend it: ``{**await super().save_state(), ...}``."""
        return self._handling.member.save(_dumped)

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`: the agent's own, or for a new agent that of an idle other one."""
        self._handling.load(state, self._loaded)

    def _stamp(self, clock: Clock) -> str:
        return f"{MARK}{self.id} {','.join(map(str, clock))}"

    def _loaded(self, said: Sequence[str]) -> Arrived:
        kind, data, sender, topic, id = said
        handlers = [getattr(type(self), name, None) for name in dir(type(self))]
        types = {t for handler in handlers for t in getattr(handler, "target_types", ())}
        serializers = [s for t in types for s in core.try_get_known_serializers_for_type(t)]
        message = next(s for s in serializers if s.type_name == kind).deserialize(data.encode())
        who, where = core.AgentId.from_str(sender), core.TopicId.from_str(topic)
        return message, core.MessageContext(who, where, False, core.CancellationToken(), id)


def _dumped(arrived: Arrived) -> tuple[str, ...]:
    message, ctx = arrived
    (how, *_) = core.try_get_known_serializers_for_type(type(message))
    text = how.serialize(message).decode()
    return how.type_name, text, str(ctx.sender), str(ctx.topic_id), ctx.message_id
