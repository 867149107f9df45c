"""A Ctrl-C that falls into a finaliser is not lost.

Python prints and drops what is raised in finalisers and in callbacks of weak references; the end of
a run has many of them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


@contextmanager
def interrupts_kept() -> Iterator[Callable[[], None]]:
    """Gives a function that raises `KeyboardInterrupt` if one has come; so does the block's end.

    In other threads than the main one, or if the application handles SIGINT itself, neither does.
    """
    come: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        come.append(number)
        signal.default_int_handler(number, frame)

    def require_none() -> None:
        if come:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield require_none
        return
    try:
        signal.signal(signal.SIGINT, interrupt)
        yield require_none
        require_none()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
