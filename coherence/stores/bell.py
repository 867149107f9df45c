"""A bell between processes of one host: an empty datagram on the loopback interface.

A waiting process owns a port; a process that appended to a log rings the ports registered there.  A
ring carries no data and proves nothing: it only ends a wait early.  So a lost ring costs time, and
a foreign ring costs one read of the log.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Iterable
from contextlib import suppress

from message_passing.interrupts import Knock

log = logging.getLogger("coherence.stores")

#: Without a socket, how long a wait lasts before the log is read.
FALLBACK_S = 0.05
#: A pause without a file descriptor: if none is left, a wait that fails would never end.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Bell:
    """The port on which this process waits.  One thread waits; any thread may wake it."""

    def __init__(self) -> None:
        self._woken = Knock()
        self._socket: socket.socket | None = None
        #: 0 without a socket.
        self.port = 0
        try:
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ear.bind(("127.0.0.1", 0))
            ear.setblocking(False)
            self._socket, self.port = ear, ear.getsockname()[1]
        except OSError as error:
            log.warning(
                "no loopback socket, changes of other processes are noticed late: %s", error
            )

    def wait(self, timeout_s: float) -> None:
        """Return after a ring, or when the time is over."""
        if self._socket is None:
            self._woken.wait(min(timeout_s, FALLBACK_S))
            return
        # The socket is non-blocking: a thread that ends its wait may overlap with the next one
        # here, and neither may block on a setting or a ring of the other.
        with suppress(OSError, ValueError), _Selector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            if selector.select(timeout_s):
                # Several pending rings mean no more than one.
                while True:
                    self._socket.recv(1)

    def wake(self) -> None:
        """End the wait of this process."""
        self._woken()
        if self._socket is not None:
            ring([self.port])

    def close(self) -> None:
        """Close the port."""
        if self._socket is not None:
            self._socket.close()


def ring(ports: Iterable[int]) -> None:
    """End the waits on those ports; a number that is not a port is skipped."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        for port in ports:
            with suppress(OSError, OverflowError):
                mouth.sendto(b"", ("127.0.0.1", port))
