"""Five processes on TCP in full traffic, killed and started again, then killed for good."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

NAMES = "abcde"
SCRIPT = Path(__file__).with_name("team_member.py")


class Life:
    """One life of a member."""

    def __init__(self, name: str, folder: Path, urls: list[str], limit: int) -> None:
        self.arguments = [name, str(folder), str(limit), *urls]
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def start(self) -> "Life":
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), *self.arguments, stdin=-1, stdout=-1
        )
        self.reading = asyncio.create_task(self.read())
        return self

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said.put_nowait(line.decode().strip())

    async def hear(self, word: str, times: int = 1) -> str:
        line = ""
        for _ in range(times):
            while not (line := await self.said.get()).startswith(word):
                pass
        return line

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reading


def logged(folder: Path, name: str) -> list[list[str]]:
    return [line.split() for line in (folder / f"{name}.log").read_text().splitlines()]


@pytest.mark.slow
def test_killed_in_traffic_and_back_and_at_last_excluded(tmp_path: Path) -> None:
    sockets = [socket.socket() for _ in NAMES]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    urls = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()

    async def main() -> None:
        async def start(name: str, limit: int) -> Life:
            return await Life(name, tmp_path, urls, limit).start()

        team = {name: await start(name, 400) for name in NAMES}
        try:
            for _ in range(3):
                await team["c"].hear("sent", 40)
                await team["c"].kill()
                team["c"] = await start("c", 100)
            await team["e"].hear("sent", 40)
            await team["e"].kill()
            # One of four hears of it; the others learn it from its packets.
            team["a"].tell("down e")
            for word in ("flush", "rest"):
                for name in "abcd":
                    team[name].tell(word)
                said = [await team[name].hear(word) for name in "abcd"]
            assert said == ["rests 0 0"] * 4
        finally:
            for life in team.values():
                await life.kill()

    async def bounded() -> None:
        async with asyncio.timeout(100):
            await main()

    asyncio.run(bounded())
    logs = {name: logged(tmp_path, name) for name in NAMES}
    assert [line for log in logs.values() for line in log if line[0] == "broken"] == []
    for src in NAMES:
        for dst in NAMES.replace(src, ""):
            accepted = [int(line[2]) for line in logs[src] if line[:2] == ["sent", dst]]
            got = [int(line[3]) for line in logs[dst] if line[:2] == ["got", src]]
            # In order; what was on its way into the journal at a kill may have been sent twice.
            assert got == sorted(got)
            if "e" not in (src, dst):
                assert set(accepted) <= set(got)
                assert len(accepted) > 20
