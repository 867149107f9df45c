"""Clients in processes of their own write one store through `coherence-mcp`, and are killed.

``python tests/adapters/mcp_soak.py --seconds 600`` needs mcp 2.  Each client is a process that
starts its own server over stdio, as a coding agent does.  A client edits shared artifacts: it
replaces the last line by its mark and that line, so that every acknowledged edit must be in the
text exactly once, and every other at most once.  One client more only subscribes, and takes the
time from the acknowledgement of a write to the notification of it.  The program prints what it
found, and ends with 1 if an acknowledged write is lost or doubled.  A negative time is that of a
notification that came before the answer.
"""

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = [f"notes/{n}.md" for n in range(4)]
END = "END\n"


def _client(arguments):
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    script = str(Path(sys.executable).with_name("coherence-mcp"))
    given = [arguments.url, "--agent", arguments.client]
    return stdio_client(StdioServerParameters(command=script, args=given, env=dict(os.environ)))


async def write(arguments):
    """Edit until killed; each acknowledged mark is a line of the file, which is synced before."""
    import anyio
    from mcp import Client

    draw = random.Random(arguments.client)
    with Path(arguments.log).open("a") as log:
        async with Client(_client(arguments)) as client:
            for number in range(1_000_000_000):
                name, mark = draw.choice(NAMES), f"{arguments.client}-{number}"
                log.write(f"try {name} {mark}\n")
                log.flush()
                edit = {"name": name, "old": END, "new": f"{mark}\n{END}"}
                answer = await client.call_tool("edit_artifact", edit)
                said = answer.content[0].text
                if answer.is_error:
                    log.write(f"refused {name} {mark} {said!r}\n")
                else:
                    ref = said[1:].split(" ", 1)[0]
                    log.write(f"done {name} {mark} {ref} {time.time()}\n")
                log.flush()
                await anyio.sleep(draw.uniform(0, 2 * arguments.pause))


async def listen(arguments):
    """Subscribe to every artifact; each notification is a line with its time."""
    from mcp import Client

    uris = [f"artifact:///{name}" for name in NAMES]
    with Path(arguments.log).open("a") as log:
        async with (
            Client(_client(arguments)) as client,
            client.listen(resource_subscriptions=uris) as events,
        ):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            async for event in events:
                log.write(f"heard {event.uri.removeprefix('artifact:///')} {time.time()}\n")
                log.flush()


def start(folder, arguments, role, name):
    log = folder / f"{name}.log"
    given = ["--role", role, "--client", name, "--log", log, "--url", arguments.url]
    given += ["--pause", arguments.pause]
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, given)],
        stdout=subprocess.PIPE,
        stderr=(folder / f"{name}.err").open("a"),
        start_new_session=True,
    )


def kill(process):
    """Kill the client and its server at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def soak(folder, arguments):
    """Run the clients, kill them at random, and judge what is in the store."""
    from coherence import Workspace

    draw = random.Random(arguments.seed)
    with Workspace(arguments.url) as workspace, workspace.agent("begin") as agent:
        for name in NAMES:
            agent.write(name, END, expect=0)
    listener = start(folder, arguments, "listen", "listener")
    assert listener.stdout.readline() == b"ready\n"
    begun, numbers, kills = time.monotonic(), iter(range(10**9)), 0
    clients = [start(folder, arguments, "write", f"c{next(numbers)}") for _ in range(8)]
    while (left := arguments.seconds - (time.monotonic() - begun)) > 0:
        time.sleep(min(left, draw.uniform(0, 2 * arguments.kill_every)))
        victim = draw.randrange(len(clients))
        kill(clients[victim])
        kills += 1
        clients[victim] = start(folder, arguments, "write", f"c{next(numbers)}")
    lasted = time.monotonic() - begun
    for process in clients:
        kill(process)
    time.sleep(1)
    kill(listener)
    return judge(folder, arguments, lasted, kills)


def judge(folder, arguments, lasted, kills):
    from coherence import Workspace

    lines = [line.split() for log in folder.glob("c*.log") for line in log.read_text().splitlines()]
    done = {line[2]: line for line in lines if line[0] == "done"}
    tried = {line[2] for line in lines if line[0] == "try"}
    refused = {line[2] for line in lines if line[0] == "refused"}
    found = []
    versions = 0
    with Workspace(arguments.url) as workspace:
        damage = workspace.check()
        for name in NAMES:
            versions += workspace.history(name)[-1].version - 1
            found += workspace.agent("judge").read(name).text.split("\n")[:-2]
    heard = [line.split() for line in (folder / "listener.log").read_text().splitlines()]
    times = {name: sorted(float(at) for _, n, at in heard if n == name) for name in NAMES}
    late = []
    for _, name, _, ref, at in done.values():
        # The subscriber has heard of every version but the first, in their order.
        place = int(ref.rpartition("@")[2]) - 2
        if place < len(times[name]):
            late.append(times[name][place] - float(at))
    said = {
        "seconds": round(lasted),
        "clients": 8,
        "killed": kills,
        "acknowledged": len(done),
        "writes_per_s": round(len(done) / lasted, 1),
        "refused": len(refused),
        "lost": len(set(done) - set(found)),
        "doubled": len(found) - len(set(found)),
        "unknown": len(set(found) - tried),
        "refused_but_written": len(refused & set(found)),
        "unacknowledged_but_written": len(set(found) - set(done)),
        "damage": damage,
        "notifications": len(heard),
        "versions": versions,
        "median_ms": round(1000 * statistics.median(late), 1) if late else None,
        "p95_ms": round(1000 * statistics.quantiles(late, n=20)[-1], 1) if len(late) > 20 else None,
        "load": os.getloadavg()[0],
    }
    sys.stdout.write(json.dumps(said) + "\n")
    return not (said["lost"] or said["doubled"] or said["unknown"] or damage or not done)


def main():
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--seconds", type=float, default=20)
    said.add_argument("--kill-every", type=float, default=3)
    said.add_argument("--pause", type=float, default=0.4)
    said.add_argument("--seed", type=int, default=1)
    said.add_argument("--url", default="")
    said.add_argument("--role", default="")
    said.add_argument("--client", default="")
    said.add_argument("--log", default="")
    arguments = said.parse_args()
    if arguments.role:
        import anyio

        anyio.run(write if arguments.role == "write" else listen, arguments)
        return
    with tempfile.TemporaryDirectory(prefix="mcp-soak-") as made:
        folder = Path(made)
        arguments.url = arguments.url or f"sqlite:///{folder}/team.db"
        good = soak(folder, arguments)
        for errors in folder.glob("*.err"):
            for line in re.findall(r"^.*Error.*$", errors.read_text(), re.MULTILINE)[:3]:
                sys.stderr.write(f"{errors.name} {line}\n")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
