"""Three processes, one of them killed and restarted, and no message before its cause.

::

    python examples/causal_processes.py                    # over TCP, then over Unix sockets
    python examples/causal_processes.py --transport postgres --url postgresql://...

The planner tells the coder "use plan B" and then the reviewer "the plan has changed".  The reviewer
approves step 1 to the coder.  But the coder is not running yet, so it does not have the plan, and
now the planner is killed.  The approval waits in the reviewer until the planner has restarted with
its journal, which holds the plan.  So the coder is told of the plan first, then of the approval.
At the end all three leave the team.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from causal import AsyncEndpoint, Journal, StreamTransport
from message_passing.chart import text as chart
from message_passing.trace import Line, arrows

TEAM = ("planner", "reviewer", "coder")
PLAN, NEWS, APPROVAL, DONE = "use plan B", "plan changed", "step 1 approved", "step 1 done"
#: What a process sends when it begins, and when it has received a message.
SENDS = {
    ("planner", ""): (("coder", PLAN), ("reviewer", NEWS)),
    ("reviewer", NEWS): (("coder", APPROVAL),),
    ("coder", APPROVAL): (("planner", DONE), ("reviewer", DONE)),
}
#: After this message a process has nothing more to do.
LAST = {"planner": DONE, "reviewer": DONE, "coder": APPROVAL}


def note(name: str, event: dict[str, str], *sent: dict[str, str], at: float | None = None) -> None:
    """Print a line of a trace, as `coherence trace` reads it."""
    now = time.monotonic() if at is None else at  # one clock for all processes of a machine
    line = Line(now, name, event["type"], event, list(sent), "")
    print(msgspec.json.encode(line).decode(), flush=True)


async def agent(name: str, folder: Path, key: bytes, addresses: list[str]) -> None:
    """One process of the team."""
    if addresses[0].startswith(("tcp:", "unix:")):
        transport = StreamTransport(dict(zip(TEAM, addresses, strict=True)), key=key)
    else:
        from causal.transports.postgres import PostgresTransport

        transport = PostgresTransport(addresses[0], key=key, untaken_s=0.1)
    journal = Journal(folder / f"{name}.journal")
    is_first_life = not journal.path.exists()

    async def answer(heard: str) -> None:
        for dst, words in SENDS.get((name, heard), ()):
            now = time.monotonic()
            await me.send(dst, words.encode())
            sent = {"type": "Send", "dst": dst, "message": words}
            note(name, {"type": f"to {dst}:", "name": words}, sent, at=now)
        if me.held():
            note(name, {"type": "waits for a release"})

    async with AsyncEndpoint(name, TEAM, transport, journal=journal, resend_after_s=0.2) as me:
        note(name, {"type": "starts" if is_first_life else "restarts"})
        if is_first_life:  # a later life has its messages in the journal
            await answer("")
        words = ""
        while words != LAST[name]:
            message = await me.receive(timeout_s=30)
            words = message.payload.decode()
            note(name, {"type": "Receive", "src": message.src, "message": words})
            await answer(words)
        await me.leave(timeout_s=30)  # without a journal, the end of the block does this
    note(name, {"type": "leaves"})


def play(folder: Path, addresses: list[str]) -> None:
    """Start the processes, kill one and restart it; draw what happened."""
    key = secrets.token_hex()
    environment = {**os.environ, "TEAM_KEY": key, "TEAM_ADDRESSES": "\n".join(addresses)}

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, __file__, "--agent", name, str(folder)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)

    rows: list[bytes] = []

    def until(life: subprocess.Popen[bytes], words: str) -> None:
        for row in life.stdout or ():
            rows.append(row)
            if words.encode() in row:
                break

    lives = planner, reviewer = [start("planner"), start("reviewer")]
    until(planner, NEWS)
    until(reviewer, APPROVAL)
    planner.kill()
    planner.wait()
    killed = Line(time.monotonic(), "planner", "killed", {"type": "is killed"}, [], "")
    lives.append(start("coder"))
    until(lives[-1], "starts")
    lives.append(start("planner"))
    for life in lives:
        with life:
            rows += life.stdout or ()
    lines = [killed, *(msgspec.json.decode(row, type=Line) for row in rows)]
    lines.sort(key=lambda line: line.time)
    drawn = [arrow._replace(time=arrow.time - lines[0].time) for arrow in arrows(lines)]
    print(chart(drawn, width=100, order=TEAM))
    print(f"\nexit codes: {[life.returncode for life in lives]}; the first planner was killed")


@contextmanager
def places(transport: str, folder: str, url: str) -> Iterator[list[str]]:
    """An address for each process, or that of a new schema of the database."""
    if transport == "unix":
        yield [f"unix://{folder}/{name}" for name in TEAM]
    elif transport == "tcp":
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in TEAM]  # free ports
        addresses = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        yield addresses
    else:
        import psycopg
        from psycopg.conninfo import make_conninfo

        schema = f"causal_processes_{secrets.token_hex(4)}"
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(f"CREATE SCHEMA {schema}")
            try:
                yield [make_conninfo(url, options=f"-csearch_path={schema}")]
            finally:
                database.execute(f"DROP SCHEMA {schema} CASCADE")


def main() -> None:
    """Play the story on each transport that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--transport", choices=["tcp", "unix", "postgres"], action="append")
    parser.add_argument("--url", help="of a PostgreSQL database; it gets a schema for a moment")
    parser.add_argument("--agent", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.agent:
        name, folder = options.agent
        key, addresses = os.environ["TEAM_KEY"].encode(), os.environ["TEAM_ADDRESSES"].split("\n")
        asyncio.run(agent(name, Path(folder), key, addresses))
        return
    transports = options.transport or ["tcp", "unix"]
    if "postgres" in transports and options.url is None:
        parser.error("--transport postgres needs --url")
    for transport in transports:
        print(f"\n{transport}:\n")
        with (
            tempfile.TemporaryDirectory() as folder,
            places(transport, folder, options.url) as addresses,
        ):
            play(Path(folder), addresses)


if __name__ == "__main__":
    main()
