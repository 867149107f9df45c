"""Runs the application: for a command until it is interrupted, or in a thread of a program."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_address
from threading import Thread
from types import FrameType, TracebackType
from typing import Final

import uvicorn

from coherence.errors import BadArgument
from coherence.workspace.workspace import Workspace, site_of
from coherence_console.app import application
from coherence_console.context import Context, Source

#: Open streams end at once; whatever else runs then has this long.
END_S: Final = 2


class _Server(uvicorn.Server):
    """Ends the streams as soon as it is asked to stop: it would wait for them."""

    ending: Callable[[], None]
    loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await super().main_loop()
        await asyncio.to_thread(self.ending)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not to be raised again, as uvicorn does: the command ends cleanly.
        self.force_exit = self.should_exit
        self.should_exit = True


class Console:
    """A server that is bound and has a URL, and does not run yet.

    Raises `BadArgument` for an address that is not of the loopback interface, and `OSError` if the
    port is taken.
    """

    def __init__(self, context: Context, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._context = context
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.token, code = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        base = f"http://{name}:{self.port}/"
        #: With the token, which the page takes out of the address bar.
        self.url = f"{base}#token={self.token}"
        #: For a browser's command line, which other users can read: what it shows works once.
        self.url_once = f"{base}#code={code}"
        hosts = {f"{each}:{self.port}" for each in (name, "127.0.0.1", "localhost", "[::1]")}
        config = uvicorn.Config(
            application(context, hosts, self.token, code),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=64 << 10,
            timeout_graceful_shutdown=END_S,
        )
        self._server = _Server(config)
        self._server.ending = context.end

    def run(self) -> None:
        """Serve until interrupted, or until `stop`."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return, from another thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """End everything that the parts have opened."""
        self._context.end()
        self._socket.close()


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens on the loopback interface."""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise BadArgument(
            f"the console does not listen on {host!r}: what it sends is not encrypted",
            remedy="listen on 127.0.0.1, and from elsewhere use a tunnel with the same port: "
            "ssh -L PORT:127.0.0.1:PORT HOST",
        )
    if not 0 <= port < 1 << 16:
        raise BadArgument(f"{port} is not a port", remedy="0 takes a free one")
    made = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
    try:
        if sys.platform != "win32":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((str(address), port))
        made.listen(64)
    except BaseException:
        made.close()
        raise
    return made


class Served:
    """A console that runs in a thread of this program.

    ::

        with serve(workspace) as console:
            print(console.url)
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.url = console.url
        self._thread = Thread(target=console.run, name="coherence console", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, with all streams.  Idempotent."""
        self._console.stop()
        self._thread.join()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(
    workspace: Workspace,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    hz: float = 5.0,
    contents: bool = True,
) -> Served:
    """Show a workspace of this process, which is how one on ``memory://`` can be seen.

    Close it before the workspace.  Other stores are for ``coherence console --store URL``, in any
    process.  Raises `BadArgument`, and `OSError` if the port is taken.
    """
    store = site_of(workspace).store
    if store.shared:
        raise BadArgument(
            "the store of this workspace is shared between processes",
            remedy="run `coherence console --store URL`, from this machine",
        )
    source = Source(lambda: store, "this program", "memory", lambda _: None)
    context = Context(source=source, hz=hz, contents=contents)
    return Served(Console(context, host=host, port=port))
