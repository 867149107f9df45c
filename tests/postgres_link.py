"""A link between clients and a PostgreSQL server that can be cut at any packet, and counts trips.

It listens on a Unix socket of its own.  What a client sends at once arrives here as one packet,
unless it is long.
"""

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Lost(Enum):
    """What a cut at a packet loses."""

    REQUEST = "request"
    #: The server acts on the packet, and its answer comes to nobody.
    ANSWER = "answer"


@dataclass
class Trip:
    """What a client sent on one connection between two answers of the server."""

    connection: int
    data: bytes = b""
    answered: bool = False

    @property
    def statements(self) -> list[str]:
        """The names of the prepared statements that it carries out, in order.

        A statement whose name does not go with its execution is of psycopg's own.
        """
        names = []
        for kind, body, _ in self._messages():
            if kind == b"B":  # Bind: portal and statement, each ended by a NUL
                names.append(body.split(b"\0")[1].decode())
            elif kind == b"Q":
                names.append("simple query")
        return names

    def take_begun(self) -> bytes:
        """Take out the message of which only a part was sent: it belongs to the next trip.

        The server may answer the first messages while the last are being sent.
        """
        whole = max((end for _, _, end in self._messages()), default=0)
        self.data, begun = self.data[:whole], self.data[whole:]
        return begun

    def _messages(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Each message that was sent whole: its kind, its body and where it ends."""
        at = 0
        while at < len(self.data):
            kind = self.data[at : at + 1].strip(b"\0")  # what opens a connection has no kind
            body = at + len(kind) + 4
            end = body - 4 + int.from_bytes(self.data[body - 4 : body], "big")
            if max(body, end) > len(self.data):
                return
            yield kind, self.data[body:end], end
            at = end


class Link:
    """Carries what clients say to the server at `url`; `self.url` is the address of this end."""

    def __init__(self, url: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="link-"))
        self.url = url.replace(_folder(url), str(self._folder))
        self.lead_to(url)
        self._lock = threading.Lock()
        #: Packets that clients have sent since `arm`.
        self.packets = 0
        #: What was sent, by round trips; of every connection.
        self.trips: list[Trip] = []
        self._connections = count(1)
        self._cut_at: tuple[int | bytes, Lost, bool] | None = None
        self._up = True
        self._open: list[socket.socket] = []
        self._ear = socket.socket(socket.AF_UNIX)
        self._ear.bind(f"{self._folder}/.s.PGSQL.5432")
        self._ear.listen(50)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def lead_to(self, url: str) -> None:
        """Lead new connections to that server."""
        self._server = f"{_folder(url)}/.s.PGSQL.5432"

    def arm(self, packet: int | bytes, lost: Lost, *, stay_down: bool = False) -> None:
        """Cut the connection on which the n-th packet from now comes, or the next that holds this.

        With `stay_down` no connection is taken before `mend`.
        """
        with self._lock:
            self.packets, self._cut_at = 0, (packet, lost, stay_down)

    def mend(self) -> None:
        """Take connections again, and cut nothing more."""
        with self._lock:
            self._cut_at, self._up = None, True

    def during(self, call: Callable[[], object]) -> list[list[str]]:
        """The statements of each round trip while `call` lasts.

        Those are left out that make a connection ready: their names are not in capitals.
        """
        self.forget()
        call()
        return [trip for trip in self.statements if trip and trip[0].isupper()]

    def forget(self) -> None:
        """Forget the round trips so far."""
        with self._lock:
            self.trips.clear()

    @property
    def statements(self) -> list[list[str]]:
        """The statements of each round trip since `forget`."""
        with self._lock:
            return [trip.statements for trip in self.trips]

    def close(self) -> None:
        with self._lock:
            self._up = False
            self._hang_up()
        with suppress(OSError):
            self._ear.shutdown(socket.SHUT_RDWR)
        self._ear.close()
        for thread in self._threads:
            thread.join()
        shutil.rmtree(self._folder)

    def _hang_up(self, *but: socket.socket) -> None:
        for end in self._open:
            if end not in but:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._ear.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            with self._lock:
                up = self._up
                self._open += [client, server]
            with suppress(OSError):
                server.connect(self._server)
            if not up:
                client.close()
                server.close()
                continue
            # A connection begins as one whose last trip was answered.
            last = [Trip(next(self._connections), answered=True)]
            ways = ((client, server, last, True), (server, client, last, False))
            pair = [threading.Thread(target=self._carry, args=way) for way in ways]
            self._threads += pair
            for thread in pair:
                thread.start()

    def _carry(
        self, source: socket.socket, sink: socket.socket, last: list[Trip], counts: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                self._note(last, data if counts else None)
                lost = self._lost(data) if counts else None
                if lost is not None and not self._up:
                    self._hang_up(source, sink)
                if lost is Lost.REQUEST:
                    break
                if lost is Lost.ANSWER:
                    source.shutdown(socket.SHUT_RDWR)
                sink.sendall(data)
                if lost is Lost.ANSWER:
                    # An orderly end after the request: the server carries it out first.
                    sink.shutdown(socket.SHUT_WR)
                    return
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if not counts:
            source.close()
            sink.close()

    def _note(self, last: list[Trip], data: bytes | None) -> None:
        with self._lock:
            if data is None:
                last[0].answered = True
                return
            if last[0].answered:
                last[0] = Trip(last[0].connection, last[0].take_begun())
                self.trips.append(last[0])
            last[0].data += data

    def _lost(self, data: bytes) -> Lost | None:
        with self._lock:
            self.packets += 1
            if self._cut_at is None:
                return None
            packet, lost, stay_down = self._cut_at
            if not (packet in data if isinstance(packet, bytes) else packet == self.packets):
                return None
            self._cut_at = None
            if stay_down:
                self._up = False
            return lost


def _folder(url: str) -> str:
    return parse_qs(urlsplit(url).query)["host"][0]
