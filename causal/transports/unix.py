"""Unix sockets: a path is taken only from a socket at which no process listens any more.

A crash leaves the file of a socket behind.  A dead socket refuses connections; so does one that
another process has bound and does not listen at yet.  Hence endpoints take turns: one that looks at
a path or changes it holds a lock on the folder (`flock`), for less than a millisecond.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from errno import EADDRINUSE
from typing import Final, NamedTuple

from causal.transports.port import NameTaken, NoTransport

BACKLOG: Final = 100
TURN_S: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)
"""The pauses of an endpoint that waits for its turn.  After them it goes on without."""
PRIVATE: Final = 0o600


class Claim(NamedTuple):
    """A listening socket and the file that it made."""

    socket: socket.socket
    path: str
    file: tuple[int, int]

    async def remove(self) -> None:
        """Remove the file, unless another has replaced it.  Call it before the socket is closed.

        Until then no other file can have the identity of this one.
        """
        async with _turn(self.path):
            with suppress(OSError):
                if _identity(os.lstat(self.path)) == self.file:
                    os.unlink(self.path)


async def claimed(path: str) -> Claim:
    """Listen at a path, for processes of this user only.

    Raises `NameTaken` if a process listens there, `NoTransport` if something else is there, and
    `OSError`.
    """
    async with _turn(path):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            with suppress(OSError):
                # Linux creates the file with this mode, less the process's mask.
                os.fchmod(made.fileno(), PRIVATE)
            try:
                made.bind(path)
            except OSError as error:
                if error.errno != EADDRINUSE:
                    raise
                _remove_dead(path)
                made.bind(path)
            file = os.lstat(path)
            if stat.S_IMODE(file.st_mode) & ~PRIVATE:
                os.chmod(path, PRIVATE)  # in time: nothing connects before `listen`
            made.listen(BACKLOG)
        except BaseException:
            made.close()
            raise
    return Claim(made, os.path.abspath(path), _identity(file))


def _remove_dead(path: str) -> None:
    """Remove the socket of a process that has ended.  Raises for everything else."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise NoTransport(
            f"{path} is there, and is not a socket",
            remedy="give a path at which there is no file",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # a process listens, and its queue is full
        except OSError as error:
            raise NoTransport(f"the socket at {path} cannot be tried: {error}") from error
    raise NameTaken(f"another process listens at {path} already")


@asynccontextmanager
async def _turn(path: str) -> AsyncIterator[None]:
    """Hold the lock on the folder of a path, if this user may have it."""
    try:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        for pause_s in TURN_S:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(pause_s)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(folder)


def _identity(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino
