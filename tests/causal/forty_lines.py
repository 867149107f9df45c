"""Five agents in three processes: `python forty_lines.py PORT...`, or `HOST PORT...` for one."""

import asyncio
import subprocess
import sys

from causal import AsyncEndpoint, StreamTransport

HOSTS = {"p0": ["planner", "critic"], "p1": ["coder", "tester"], "p2": ["reviewer"]}
TEAM = [agent for agents in HOSTS.values() for agent in agents]
KEY = b"sixteen bytes or more"
#: What an agent sends to whom, once it has heard what from whom.
THEN = {
    ("reviewer", "planner"): ("coder", b"step 1 of plan B is approved"),
    ("coder", "reviewer"): ("tester", b"test it"),
    ("tester", "coder"): ("critic", b"tested"),
}


async def agent(name: str, addresses: dict[str, str]) -> None:
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
                for other in TEAM[:1] + TEAM[2:]:
                    await me.send(other, b"stop")
                break


async def main(host: str, ports: list[str]) -> None:
    addresses = {n: f"tcp://127.0.0.1:{port}" for n, port in zip(TEAM, ports, strict=True)}
    await asyncio.gather(*(agent(name, addresses) for name in HOSTS[host]))


if sys.argv[1] in HOSTS:
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
else:
    started = [subprocess.Popen([sys.executable, __file__, h, *sys.argv[1:]]) for h in HOSTS]
    try:
        print("exit codes", [process.wait(30) for process in started])
    finally:
        for process in started:
            process.kill()
