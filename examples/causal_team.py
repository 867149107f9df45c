"""Five agents in three processes: each message arrives after its cause, and all end in good order.

python examples/causal_team.py             # or with five ports that are free
"""

import asyncio
import subprocess
import sys

from causal import AsyncEndpoint, StreamTransport

HOSTS = {"p0": ["planner", "critic"], "p1": ["coder", "tester"], "p2": ["reviewer"]}
TEAM = [agent for agents in HOSTS.values() for agent in agents]
KEY = b"sixteen bytes or more"
#: What an agent sends once it has heard from another.
THEN = {
    ("reviewer", "planner"): ("coder", b"step 1 of plan B is approved"),
    ("coder", "reviewer"): ("tester", b"test it"),
    ("tester", "coder"): ("critic", b"tested"),
}


async def agent(name: str, addresses: dict[str, str]) -> None:
    """One agent; at the end of the block it leaves the team, once its messages are delivered."""
    async with AsyncEndpoint(name, TEAM, StreamTransport(addresses, key=KEY)) as me:
        if name == "planner":
            await me.send("coder", b"use plan B")
            await me.send("reviewer", b"the plan has changed")
        async for heard in me.deliveries():
            print(f"{name} | {heard.src} | {heard.payload.decode()}\n", end="", flush=True)
            if heard.payload == b"stop":
                break
            if (name, heard.src) in THEN:
                await me.send(*THEN[name, heard.src])
            if name == "critic":
                for other in set(TEAM) - {name}:
                    await me.send(other, b"stop")
                break


async def main(host: str, ports: list[str]) -> None:
    """The agents of one process."""
    addresses = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(TEAM, ports, strict=True)}
    await asyncio.gather(*(agent(name, addresses) for name in HOSTS[host]))


if sys.argv[1:2] and sys.argv[1] in HOSTS:
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
else:
    ports = sys.argv[1:] or ["47100", "47101", "47102", "47103", "47104"]
    started = [subprocess.Popen([sys.executable, __file__, host, *ports]) for host in HOSTS]
    try:
        print("exit codes", [process.wait(30) for process in started])
    finally:
        for process in started:
            process.kill()
