"""Charts of messages: arrows from where they were sent to where they arrived, and their waits."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import msgspec

from causal.account import Accounts
from coherence_console.intervals import Arrow, Drawing, Kind
from message_passing.trace import Line


def draw_accounts(drawing: Drawing, book: Accounts) -> None:
    """Draw the messages of a delivery protocol: waits, flights, and what was kept secret."""
    end = book.end
    drawing.end = max(drawing.end, end)
    for m in book:
        src, dst = drawing.lane(m.src), drawing.lane(m.dst)
        if m.src == m.dst:
            continue
        label, why = f"{m.name} → {m.dst}", m.why()
        number = len(drawing.arrows)
        drawing.arrows.append(
            Arrow(number, src, dst, m.sent, m.went, m.arrived, m.delivered, label, m.eager, why)
        )
        if m.held(end) > 0:
            drawing.interval(src, Kind.WAITS, m.sent, m.went, label, why)
        if m.buffered(end) > 0 and m.arrived is not None:
            drawing.interval(dst, Kind.WAITS, m.arrived, m.delivered, label, why)
        if m.kept(end) > 0 and m.delivered is not None:
            drawing.interval(dst, Kind.SECRET, m.delivered, m.told, label, why)


def draw_messages(drawing: Drawing, lines: Sequence[Line]) -> None:
    """Draw the messages of any protocol, each from the step that sent it to the one it came to.

    Of equal messages between the same two processes, the first to be sent is taken to be the first
    to arrive.
    """
    under_way: defaultdict[tuple[str, str, bytes], deque[int]] = defaultdict(deque)
    found: list[list[Any]] = []
    for line in lines:
        moment = line.moment
        drawing.end = max(drawing.end, moment)
        here = drawing.lane(line.process)
        if line.event.get("type") == "Receive":
            src = str(line.event.get("src"))
            waiting = under_way[src, line.process, _content(line.event)]
            if waiting:
                found[waiting.popleft()][2] = moment
        for command in line.commands:
            if command.get("type") == "Send":
                dst = str(command.get("dst"))
                under_way[line.process, dst, _content(command)].append(len(found))
                message = command.get("message")
                label = str(message.get("type", "?")) if isinstance(message, dict) else str(message)
                found.append([(here, drawing.lane(dst)), moment, None, label])
    for (src, dst), sent, arrived, label in found:
        number = len(drawing.arrows)
        drawing.arrows.append(Arrow(number, src, dst, sent, sent, arrived, arrived, label))


def _content(holder: dict[str, Any]) -> bytes:
    return msgspec.json.encode(holder.get("message"))
