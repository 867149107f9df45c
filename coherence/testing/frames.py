"""Which code the user supplies, and where an agent is in it."""

from __future__ import annotations

import asyncio
import queue
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any

#: Distributions whose files are not the user's.
OURS = {"coherence", "message_passing", "causal", "file_guard"}


#: Functions that make a lock for their caller, each with the kind of thing that the caller makes.
_MAKERS = {
    made.__init__.__code__: made.__name__.removeprefix("Bounded").lower()
    for made in (
        *(threading.Condition, threading.Semaphore, threading.BoundedSemaphore, queue.Queue),
        *(asyncio.Condition, asyncio.BoundedSemaphore),
    )
}


#: The code of the methods of these, and of those that tasks wait for.
_METHODS = {
    method.__code__
    for made in (
        *(threading.Condition, threading.Semaphore, queue.Queue),
        *(asyncio.Lock, asyncio.Condition, asyncio.Semaphore, asyncio.Queue),
    )
    for base in made.__mro__
    for method in vars(base).values()
    if isinstance(method, FunctionType)
}


@cache
def _is_installed(filename: str) -> bool:
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    return filename.startswith("<") or any(
        Path(filename).is_relative_to(folder) for folder in folders
    )


def is_users(frame: FrameType) -> bool:
    """Whether the code of `frame` is in a file that the user supplies."""
    return not is_ours(frame) and not _is_installed(frame.f_code.co_filename)


def is_ours(frame: FrameType) -> bool:
    """Whether the code of `frame` belongs to this distribution."""
    return is_name_of_ours(str(frame.f_globals.get("__name__", "")))


def is_module_of_users(module: ModuleType) -> bool:
    """Whether the user supplies a module."""
    file = getattr(module, "__file__", None)
    return (
        isinstance(file, str) and not is_name_of_ours(module.__name__) and not _is_installed(file)
    )


def is_name_of_ours(name: str) -> bool:
    """Whether a module of that name belongs to this distribution."""
    package = name.partition(".")[0]
    return package in OURS or package.startswith("coherence_")


def opener(frame: FrameType) -> FrameType:
    """The frame that opens a file through `frame`: `pathlib` opens for others."""
    while frame.f_globals.get("__name__") == "pathlib" and frame.f_back is not None:
        frame = frame.f_back
    return frame


def asker(frame: FrameType, kind: str = "lock") -> tuple[FrameType, str]:
    """The code that asks for a lock which is made at `frame`, and what it asks for.

    A condition, a semaphore and a queue make locks of their own.  An event is a flag, as a variable
    is, and to a barrier the order does not matter.  Generated code, as that of a dataclass, asks
    for its caller.
    """
    while frame.f_back is not None:
        made = _MAKERS.get(frame.f_code)
        if made is None and frame.f_code.co_filename != "<string>":
            break
        frame, kind = frame.f_back, made or kind
    return frame, kind


def is_by_users(frame: FrameType | None) -> bool:
    """Whether the user's code calls at `frame`, or a method of a lock or the like that it uses."""
    while frame is not None and frame.f_code in _METHODS:
        frame = frame.f_back
    return frame is not None and is_users(frame)


def is_between(frame: FrameType) -> bool:
    """Whether the code of `frame` stands between a user and a workspace, as adapters do."""
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith(("coherence.context", "coherence_"))


def place_of(frame: FrameType) -> str:
    """Where that is, in words."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def line_of(frames: Iterator[FrameType]) -> str:
    """The innermost line of the user's among `frames`, the innermost first."""
    found = ""
    for frame in frames:
        found = found or f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if is_users(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return found or "a line that is not known"


def is_importing(frames: Iterable[FrameType]) -> bool:
    """Whether these frames import a module."""
    return any(frame.f_code.co_filename == "<frozen importlib._bootstrap>" for frame in frames)


def of_program(frame: FrameType) -> Iterator[FrameType]:
    """A frame and those that called it, within the program."""
    return takewhile(lambda each: not is_ours(each), outwards(frame))


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def frames_of(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """The frames of a task that waits, the innermost first."""
    found: list[FrameType] = []
    waits: Any = task.get_coro()
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
        if frame is None:
            break
        found.append(frame)
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
    return reversed(found)
