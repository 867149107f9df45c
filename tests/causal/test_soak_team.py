"""Five processes whose team changes at random, behind a proxy that delays, cuts and partitions.

Processes are killed and come back, are killed for good, leave, join, and are excluded alive.
``SOAK=30`` has it run for ten minutes; ``SOAK_SEED`` repeats a run's choices.
"""

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from postgres_server import Server
from soaking import seconds

FOUNDERS = ["a", "b", "c", "d", "e"]
SCRIPT = Path(__file__).with_name("soak_member.py")
SECONDS = seconds(20)
SEED = int(os.environ.get("SOAK_SEED", "1"))


class Proxy:
    """Passes bytes on, late; cuts connections; stops all of them for a while."""

    def __init__(self, rng: Random, delay_s: float, cut: float) -> None:
        self.rng, self.delay_s, self.cut = rng, delay_s, cut
        self.open = asyncio.Event()
        self.open.set()
        self.servers: list[asyncio.Server] = []
        self.handling: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close all connections."""
        for server in self.servers:
            server.close()
        for task in self.handling:
            task.cancel()
        await asyncio.gather(*self.handling, return_exceptions=True)

    async def serve(self, at: str, target: str) -> None:
        """Listen at one address for another."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.handling.add(task)
            ends = [writer]
            try:
                theirs, ours = await dialled(target)
                ends.append(ours)
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self.pump(reader, ours, ends))
                    pumps.create_task(self.pump(theirs, writer, ends))
            except OSError:
                pass
            finally:
                for end in ends:
                    end.close()
                self.handling.discard(task)

        if at.startswith("unix"):
            self.servers.append(await asyncio.start_unix_server(handle, at[7:]))
            Path(at[7:]).chmod(0o777)
        else:
            host, _, port = at[6:].rpartition(":")
            self.servers.append(await asyncio.start_server(handle, host, int(port)))

    async def pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: list[asyncio.StreamWriter],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self.open.wait()
                await asyncio.sleep(self.delay_s * self.rng.random())
                if self.rng.random() < self.cut:
                    writer.write(data[: self.rng.randrange(len(data))])
                    break
                writer.write(data)
                await writer.drain()
        for end in ends:
            end.close()

    async def partition(self, pause_s: float) -> None:
        """Let nothing through for a while."""
        self.open.clear()
        await asyncio.sleep(pause_s)
        self.open.set()


async def dialled(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix"):
        return await asyncio.open_unix_connection(address[7:])
    host, _, port = address[6:].rpartition(":")
    return await asyncio.open_connection(host, int(port))


class Life:
    """One life of a process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.name = settings["name"]
        self.settings = settings
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.ready = asyncio.Event()

    async def start(self) -> "Life":
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), json.dumps(self.settings), stdin=-1, stdout=-1
        )
        self.reading = asyncio.create_task(self.read())
        return self

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode().strip():
            if line == "ready":
                self.ready.set()
            else:
                self.said.put_nowait(line)
        self.said.put_nowait("ended")

    async def hear(self, word: str) -> str:
        while not (line := await self.said.get()).startswith((word, "excluded", "ended")):
            pass
        return line

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write(f"{line}\n".encode())

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reading


class Soak:
    """The team, and what is done to it."""

    def __init__(self, folder: Path, rng: Random, kind: str, postgres: str) -> None:
        self.folder, self.rng, self.kind, self.postgres = folder, rng, kind, postgres
        self.lives: dict[str, Life] = {}
        self.dead: set[str] = set()
        self.excluded: set[str] = set()
        self.left: set[str] = set()
        self.addresses: dict[str, str] = {}
        self.proxies: list[Proxy] = []
        self.count = 0
        self.events: Counter[str] = Counter()

    async def address(self, name: str) -> tuple[str, str]:
        """Where a process listens, and where the others find it."""
        if self.kind == "unix":
            real, front = (f"unix://{self.folder}/{name}.{end}" for end in ("real", "front"))
        else:
            real, front = free(), free()
        proxy = Proxy(self.rng, 0.01, 0.002)
        await proxy.serve(front, real)
        self.proxies.append(proxy)
        self.addresses[name] = front
        return real, front

    async def start(self, names: list[str], *, joining: bool = False) -> None:
        """Start processes for the first time."""
        reals = {}
        for name in names:
            if self.kind != "postgres":
                reals[name], _ = await self.address(name)
        for name in names:
            known = {n: self.addresses.get(n, "") for n in {*FOUNDERS, name}}
            settings = {
                "name": name,
                "team": FOUNDERS,
                "folder": str(self.folder),
                "joining": joining,
                "pause_s": 0.02,
                "postgres": self.postgres,
                "addresses": {**known, name: reals.get(name, "")},
            }
            self.lives[name] = await Life(settings).start()

    def pick(self) -> Life:
        return self.rng.choice([life for life in self.lives.values() if life.ready.is_set()])

    async def join(self) -> None:
        """A new process; members are asked to admit it until one has."""
        self.count += 1
        name = f"n{self.count}"
        await self.start([name], joining=True)
        await self.admit(name)

    async def admit(self, name: str) -> None:
        while name in self.lives and not self.lives[name].ready.is_set():
            if any(life.ready.is_set() for life in self.lives.values()):
                self.pick().tell(f"admit {name} {self.addresses.get(name, '-')}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lives[name].ready.wait(), 3)
            if self.lives[name].process.returncode is not None:
                return

    async def gone(self, name: str) -> None:
        """Tell a survivor."""
        del self.lives[name]
        self.pick().tell(f"down {name}")

    async def change(self) -> None:
        """One thing happens."""
        full = len(self.lives) >= 5
        kinds = ["restart", "restart", "partition", "kill", "leave", "exclude"]
        kind = self.rng.choice(kinds if full else ["join"])
        self.events[kind] += 1
        if kind == "join":
            await self.join()
        elif kind == "partition" and self.proxies:
            await self.rng.choice(self.proxies).partition(self.rng.random() * 2)
        elif kind == "restart":
            life = self.pick()
            await life.kill()
            if life.said.empty() or "excluded" not in list(life.said._queue):  # type: ignore[attr-defined]
                self.lives[life.name] = await Life(life.settings).start()
                await self.lives[life.name].ready.wait()
        elif kind == "kill":
            life = self.pick()
            await life.kill()
            self.dead.add(life.name)
            await self.gone(life.name)
        elif kind == "exclude":
            life = self.pick()
            self.excluded.add(life.name)
            await self.gone(life.name)
            assert await asyncio.wait_for(life.hear("excluded"), 60) == "excluded", life.name
            await life.kill()
        elif kind == "leave":
            life = self.pick()
            life.tell("leave")
            del self.lives[life.name]
            assert await asyncio.wait_for(life.hear("left"), 60) == "left", life.name
            self.left.add(life.name)
            await life.kill()

    async def settle(self) -> None:
        """Nothing is sent any more: everything arrives, and no process is mute."""
        for word in ("stop", "flush", "rest"):
            for life in self.lives.values():
                life.tell(word)
            if word != "stop":
                said = [await life.hear(word[:4]) for life in self.lives.values()]
        members = " ".join(sorted(self.lives))
        assert said == [f"rests 0 0 {members}"] * len(self.lives)

    def judge(self) -> dict[str, int]:
        """The logs of all processes."""
        everyone = {
            p.stem: [line.split() for line in p.read_text().splitlines()]
            for p in self.folder.glob("*.log")
        }
        lines = [(name, line) for name, log in everyone.items() for line in log]
        assert [(n, line) for n, line in lines if line[0] in ("broken", "twice")] == []
        accepted = delivered = 0
        for src, log in everyone.items():
            for dst in self.lives:
                sent = {int(line[2]) for line in log if line[:2] == ["sent", dst]}
                got = [int(line[3]) for line in everyone[dst] if line[:2] == ["got", src]]
                assert got == sorted(got)
                if src in self.lives or src in self.left:
                    assert sent <= {*got}, (src, dst, sorted(sent - {*got})[:5])
                    accepted += len(sent)
                delivered += len(got)
        return {"accepted": accepted, "delivered": delivered, **self.events}


def free() -> str:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{each.getsockname()[1]}"


@asynccontextmanager
async def soaking(folder: Path, kind: str, postgres: str) -> AsyncIterator[Soak]:
    soak = Soak(folder, Random(SEED), kind, postgres)
    try:
        await soak.start(FOUNDERS)
        for life in soak.lives.values():
            await life.ready.wait()
        yield soak
    finally:
        for life in soak.lives.values():
            await life.kill()
        for proxy in soak.proxies:
            await proxy.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS + 150):
            await main()

    asyncio.run(bounded())


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 200)
@pytest.mark.parametrize("kind", ["tcp", "unix", "postgres"])
def test_a_team_that_changes_loses_nothing(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    async def main() -> None:
        url, proxy = "", Proxy(Random(SEED), 0.003, 0.0005)
        if kind == "postgres":
            real: str = request.getfixturevalue("postgres_url")
            server: Server = request.getfixturevalue("postgres")
            place = "/.s.PGSQL.5432"
            await proxy.serve(f"unix://{tmp_path}{place}", f"unix://{server._folder}{place}")
            url = real.replace(str(server._folder), str(tmp_path))
        async with soaking(tmp_path, kind, url) as soak:
            soak.proxies += [proxy] if url else []
            loop = asyncio.get_running_loop()
            end = loop.time() + SECONDS
            while loop.time() < end:
                await asyncio.sleep(soak.rng.random())
                await soak.change()
            await soak.settle()
            told = soak.judge()
        sys.stdout.write(f"{kind}, {SECONDS:g} s: {told}\n")

    run(main)
