"""The location of a process, by which another process can tell whether it has ended.

The process table shows processes of the same kernel and the same pid namespace: a process id may be
reused, but not with the same start time.  It does not show any other process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from coherence.stores.port import Life

#: The states of a process that has ended but was not reaped by its parent yet.
_DEAD: Final = (b"Z", b"X", b"x")
#: The start time's place among the fields after the program's name, counted from the state.
_START: Final = 19
#: More bytes than a line of the process table.
_STAT_BYTES: Final = 4096


def _host() -> str:
    """Identifies this run of this kernel; empty if unknown."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # On other systems two machines of one name would look equal, but hardly share a store.
    return os.uname().nodename if os.name == "posix" and sys.platform != "linux" else ""


def _space() -> str:
    """Identifies the process table that this process sees, and the clock of its start times."""
    with suppress(OSError):
        return " ".join(os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "time"))
    return ""


HOST: Final = _host()
SPACE: Final = _space()


def here(lock: str = "") -> Life:
    """The location of this process, which holds a lock in `lock`."""
    pid = os.getpid()
    found = _stat(pid)
    return Life(HOST, SPACE, pid, found[1] if found is not None else 0, lock)


def is_here(life: Life) -> bool:
    """Whether that process runs, or ran, under the kernel that this one runs under."""
    return bool(life.host) and life.host == HOST


def is_absent(life: Life) -> bool:
    """Whether no process has that id: the quickest check."""
    if not _is_told(life):
        return False
    try:
        os.kill(life.pid, 0)  # signal 0 only checks
    except ProcessLookupError:
        return True
    except OSError:
        pass  # there is a process, of another user
    return False


def has_ended(life: Life) -> bool | None:
    """Whether that process has ended; None if the process table cannot show it."""
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
    """Whether this process sees the process table of that one."""
    return is_here(life) and life.space == SPACE and life.pid > 0 and os.name == "posix"


def _stat(pid: int) -> tuple[bytes, int] | None:
    """The state of a process and its start time, in ticks; None if they are not shown."""
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
    """The stored form."""
    return msgspec.json.encode(life).decode()


def unpack_life(kept: str) -> Life:
    """The location from its stored form; an unreadable form gives an unknown location."""
    try:
        return msgspec.json.decode(kept, type=Life)
    except msgspec.MsgspecError:
        return Life()
