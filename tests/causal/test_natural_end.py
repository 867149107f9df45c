"""A program of three processes ends by itself: no process waits for an answer that was lost."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
import sys

from causal import AsyncEndpoint, StreamTransport

HOSTS = {"p0": ["planner", "critic"], "p1": ["coder", "tester"], "p2": ["reviewer"]}
TEAM = [agent for agents in HOSTS.values() for agent in agents]
ADDRESSES = dict(zip(TEAM, sys.argv[2:], strict=True))
NEXT = {
    ("reviewer", "planner"): ("coder", b"step 1 of plan B is approved"),
    ("coder", "reviewer"): ("tester", b"test it"),
    ("tester", "coder"): ("critic", b"tested"),
}

async def agent(name):
    transport = StreamTransport(ADDRESSES, key=b"sixteen bytes or more")
    async with AsyncEndpoint(name, TEAM, transport) as me:
        if name == "planner":
            await me.send("coder", b"use plan B")
            await me.send("reviewer", b"the plan has changed")
        async for message in me.deliveries():
            print(name, message.src, message.payload.decode(), flush=True)
            if message.payload == b"stop":
                break
            if (name, message.src) in NEXT:
                await me.send(*NEXT[name, message.src])
            if name == "critic":
                for other in TEAM:
                    if other != name:
                        await me.send(other, b"stop")
                await me.flush(timeout_s=60)
                break
        await me.close(flush_s=20)
        assert me.backlog() == 0

async def main():
    await asyncio.gather(*map(agent, HOSTS[sys.argv[1]]))

asyncio.run(main())
"""
AGENTS = ("planner", "critic", "coder", "tester", "reviewer")


def addresses(kind: str, folder: Path) -> list[str]:
    if kind == "unix":
        return [f"unix://{folder}/{name}" for name in AGENTS]
    sockets = [socket.socket() for _ in AGENTS]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    urls = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return urls


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_three_processes_end_by_themselves(kind: str, tmp_path: Path) -> None:
    urls = addresses(kind, tmp_path)

    async def life(host: str) -> tuple[int | None, list[str], bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, host, *urls, stdout=-1, stderr=-1
        )
        try:
            said, complained = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode, said.decode().splitlines(), complained

    async def main() -> None:
        lives = await asyncio.gather(*map(life, ("p0", "p1", "p2")))
        assert [(code, complained) for code, _, complained in lives] == [(0, b"")] * 3
        said = [line for _, lines, _ in lives for line in lines]
        assert sorted(line for line in said if "stop" not in line) == [
            "coder planner use plan B",
            "coder reviewer step 1 of plan B is approved",
            "critic tester tested",
            "reviewer planner the plan has changed",
            "tester coder test it",
        ]
        assert sum("stop" in line for line in said) == 4
        assert said.index("coder planner use plan B") < said.index(
            "coder reviewer step 1 of plan B is approved"
        )

    asyncio.run(main())
