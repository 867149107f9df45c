"""A bell between processes of one host: an empty datagram on the loopback interface.

Whoever waits owns a port; whoever appended to a log rings those that are registered with it.  A
ring carries nothing and proves nothing: it only ends a wait early, so one that is lost costs time
and one from a stranger costs a look at the log.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Iterable
from contextlib import suppress

from message_passing.interrupts import Knock

log = logging.getLogger("coherence.stores")

#: Where no socket can be had, how long a wait is before the log is looked at.
FALLBACK_S = 0.05
#: One that needs no descriptor of its own: where none is left, a wait that fails would never end.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Bell:
    """The port on which this process waits.  One thread waits; any may wake it."""

    def __init__(self) -> None:
        self._woken = Knock()
        self._socket: socket.socket | None = None
        #: 0 where no socket could be had.
        self.port = 0
        try:
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ear.bind(("127.0.0.1", 0))
            ear.setblocking(False)
            self._socket, self.port = ear, ear.getsockname()[1]
        except OSError as error:
            log.warning("no loopback socket, other processes are heard of late: %s", error)

    def wait(self, timeout_s: float) -> None:
        """Return when rung, or when the time is over."""
        if self._socket is None:
            self._woken.wait(min(timeout_s, FALLBACK_S))
            return
        # The socket itself never blocks: a thread that is about to end its wait may meet the next
        # one here, and neither may be held up by what the other has set or taken.
        with suppress(OSError, ValueError), _Selector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            if selector.select(timeout_s):
                # Rings that have piled up say no more than one.
                while True:
                    self._socket.recv(1)

    def wake(self) -> None:
        """End the wait of this process."""
        self._woken()
        if self._socket is not None:
            ring([self.port])

    def close(self) -> None:
        """Let go of the port."""
        if self._socket is not None:
            self._socket.close()


def ring(ports: Iterable[int]) -> None:
    """End the waits on those ports; a number that is no port is left out."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        for port in ports:
            with suppress(OSError, OverflowError):
                mouth.sendto(b"", ("127.0.0.1", port))
