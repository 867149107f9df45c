"""A path is taken only from a dead socket, and a socket is private to its user."""

import asyncio
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from causal.transports import unix
from causal.transports.conformance import Station, close
from causal.transports.port import NameTaken, NoTransport
from causal.transports.stream import StreamTransport
from causal.transports.unix import claimed

KEY = b"0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.sock"


@pytest.fixture
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        yield live


def dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
        crashed.listen()


def station(path: Path) -> Station:
    return Station(StreamTransport({"a": f"unix://{path}"}, key=KEY))


def started(path: Path) -> None:
    async def main() -> None:
        a = await station(path).start("a")
        assert stat.S_ISSOCK(path.lstat().st_mode)
        await a.transport.close()

    asyncio.run(main())


def test_the_socket_of_a_crashed_process_is_replaced(path: Path) -> None:
    dead(path)
    started(path)
    assert not path.exists()


def test_a_file_stays(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(NoTransport, match=str(path)):
        started(path)
    assert path.read_text() == "precious"


def test_a_folder_and_a_link_stay(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    with pytest.raises(NoTransport, match=str(path)):
        started(path)
    link = tmp_path / "link"
    dead(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoTransport, match=str(link)):
        started(link)
    assert link.is_symlink()


def test_a_socket_in_use_stays(path: Path, listening: socket.socket) -> None:
    with pytest.raises(NameTaken, match=str(path)):
        started(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_whose_queue_is_full_is_in_use(path: Path, listening: socket.socket) -> None:
    listening.listen(0)
    waiting = []
    try:
        for _ in range(100):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(path))
    except BlockingIOError:
        with pytest.raises(NameTaken, match=str(path)):
            started(path)
    else:
        pytest.skip("this system queues every connection")
    finally:
        for each in waiting:
            each.close()
    assert path.exists()


def test_a_socket_of_another_kind_stays(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(NoTransport, match=str(path)):
            started(path)
    assert path.exists()


def test_a_socket_of_another_user_stays(
    path: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Barred(socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(unix.socket, "socket", Barred)
    with pytest.raises(NoTransport, match=str(path)):
        asyncio.run(claimed(str(path)))
    assert path.exists()


@pytest.mark.parametrize("by_descriptor", [True, False])
def test_a_socket_is_private(
    path: Path, monkeypatch: pytest.MonkeyPatch, by_descriptor: bool
) -> None:
    if not by_descriptor:  # as where a socket has no mode before it is bound

        def fchmod(descriptor: int, mode: int) -> None:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(os, "fchmod", fchmod)

    async def main() -> None:
        claim = await claimed(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await claim.remove()
        claim.socket.close()

    before = os.umask(0)
    try:
        asyncio.run(main())
    finally:
        os.umask(before)


def test_closing_removes_its_own_socket_only(path: Path) -> None:
    async def main() -> None:
        a = await station(path).start("a")
        path.unlink()
        again = await station(path).start("a")
        await a.transport.close()
        assert path.exists()
        await again.transport.close()
        assert not path.exists()

    asyncio.run(main())


def test_two_endpoints_never_look_at_a_path_at_the_same_time(path: Path) -> None:
    async def main() -> None:
        dead(path)
        folder = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        task = asyncio.create_task(claimed(str(path)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        os.close(folder)
        claim = await task
        with pytest.raises(NameTaken):
            await claimed(str(path))
        await claim.remove()
        claim.socket.close()

    asyncio.run(main())


def test_a_failed_start_leaves_no_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def fail(*args: object, **options: object) -> None:
            raise OSError("no")

        with monkeypatch.context() as patched:
            patched.setattr(loop, "create_unix_server", fail)
            with pytest.raises(NoTransport):
                await station(path).start("a")
        assert not path.exists()
        await close(await station(path).start("a"))

    asyncio.run(main())
