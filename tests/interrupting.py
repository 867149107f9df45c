"""Raises an exception at the Nth moment of a call: at each line of ours, and each call made there.

Moments are: the start of each line of the package's code, the return of each C function that it
calls, and the return of each function of others that it calls.  Of the code of others only that of
`threading` is entered where ours calls it: what a cut leaves taken there stops other threads.
A coroutine that pauses looks as if it returned, and no signal comes just there: it has no moment.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import coherence

PAUSES = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
ROOT = str(Path(coherence.__file__).parent.parent)
PACKAGES = tuple(f"{ROOT}/{name}/" for name in ("coherence", "message_passing"))


def is_ours(frame: FrameType | None) -> bool:
    """Whether a cut there is ours to mend."""
    while frame is not None and frame.f_code.co_filename == threading.__file__:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(PACKAGES)


class Cut(BaseException):
    """As a signal handler raises it; a `KeyboardInterrupt` would end the event loop as well."""


class Moments:
    """Counts the moments of this thread's calls; raises `Cut` at number `at`, once."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.seen = 0
        self.where = ""
        # The interpreter borrows it for frames that outlive the call: it is made once, and kept.
        self._lines = self._trace

    def __call__(self, call: Callable[[], object]) -> bool:
        """Make the call; whether it was cut off."""
        sys.setprofile(self._profile)
        sys.settrace(self._lines)
        try:
            call()
        except Cut:
            return True
        finally:
            sys.settrace(None)
            sys.setprofile(None)
        # An operation may have turned it into another error, or carried on.
        return False

    def _moment(self, frame: FrameType, what: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.where = f"{frame.f_code.co_filename.removeprefix(ROOT)}:{frame.f_lineno} {what}"
            raise Cut

    def _trace(self, frame: FrameType, event: str, arg: object) -> Callable[..., object] | None:
        if event == "call" and not is_ours(frame):
            return None
        if event == "line":
            self._moment(frame, "line")
        return self._lines

    def _profile(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "c_return" and is_ours(frame):
            self._moment(frame, f"return of {getattr(arg, '__name__', arg)}")
        elif event == "return" and not is_ours(frame):
            back = frame.f_back if not frame.f_code.co_flags & PAUSES else None
            if is_ours(back):
                self._moment(back, f"return of {frame.f_code.co_name}")
