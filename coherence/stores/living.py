"""Where a process lives, so that another one can tell whether it has ended.

The process table answers for a process of the same kernel and the same pid namespace: a process id
may be given out again, but not with the same start time.  For any other process it says nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from coherence.stores.port import Life

#: The states of a process that has ended and was not collected by its parent yet.
_DEAD: Final = (b"Z", b"X", b"x")
#: The start time's place among the fields after the program's name, counted from the state.
_START: Final = 19
#: More than a line of the process table has.
_STAT_BYTES: Final = 4096


def _host() -> str:
    """Names this run of this kernel; empty where nothing does."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # Elsewhere two machines of one name might be taken for one, but hardly share a store.
    return os.uname().nodename if os.name == "posix" and sys.platform != "linux" else ""


def _space() -> str:
    """Names the process table that this process sees, and the clock of its start times."""
    with suppress(OSError):
        return " ".join(os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "time"))
    return ""


HOST: Final = _host()
SPACE: Final = _space()


def here(lock: str = "") -> Life:
    """This process, which holds a lock of `lock`."""
    pid = os.getpid()
    found = _stat(pid)
    return Life(HOST, SPACE, pid, found[1] if found is not None else 0, lock)


def is_here(life: Life) -> bool:
    """Whether that process runs, or ran, under the kernel that this one runs under."""
    return bool(life.host) and life.host == HOST


def is_absent(life: Life) -> bool:
    """Whether there is no process of that number: the first and quickest of signs."""
    if not _is_told(life):
        return False
    try:
        os.kill(life.pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return True
    except OSError:
        pass  # there is one, of another user
    return False


def has_ended(life: Life) -> bool | None:
    """Whether that process has ended; None where the process table cannot say."""
    if not _is_told(life):
        return None
    if is_absent(life):
        return True
    found = _stat(life.pid)
    if found is None or not life.started:
        return None
    state, started = found
    return state in _DEAD or started != life.started


def _is_told(life: Life) -> bool:
    """Whether the process table that this process sees is the one that knows of it."""
    return is_here(life) and life.space == SPACE and life.pid > 0 and os.name == "posix"


def _stat(pid: int) -> tuple[bytes, int] | None:
    """The state of a process and when it was started, in ticks; None where they are not shown."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        try:
            line = os.read(file, _STAT_BYTES)
        finally:
            os.close(file)
        fields = line.rpartition(b")")[2].split()
        return fields[0], int(fields[_START])
    except (OSError, IndexError, ValueError):
        return None


def pack_life(life: Life) -> str:
    """As a store keeps it."""
    return msgspec.json.encode(life).decode()


def unpack_life(kept: str) -> Life:
    """What a store has kept.  What cannot be read says nothing of its process."""
    try:
        return msgspec.json.decode(kept, type=Life)
    except msgspec.MsgspecError:
        return Life()
