"""Which clocks compare: a name for a clock, which files of several processes carry."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from time import monotonic

from message_passing.ports import Clock


def name_of(clock: Clock) -> str:
    """Equal for the monotonic clocks of all processes since one start of a computer."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"monotonic {boot}" if boot and clock is monotonic else f"own {token_hex(8)}"
