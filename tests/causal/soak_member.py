"""One process of a team that changes: it sends to every member at random, and judges what it gets.

Run by `test_soak_team.py`: ``python soak_member.py SETTINGS``, a JSON object.  It keeps a log, so
that a new life goes on counting where the last one ended.  Every message says what its sender knew
about who had sent how many messages to whom; on delivery that is RST91's condition.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from causal import (
    AsyncEndpoint,
    DepartedPeer,
    Excluded,
    Journal,
    NotAMember,
    StreamTransport,
    UnknownPeer,
)

KEY = b"0123456789abcdef"


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Member:
    """The application of one process."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.stopping = name, False
        path = folder / f"{name}.log"
        self.sent: Counter[tuple[str, str]] = Counter()  # messages between a pair that we know of
        self.got: Counter[str] = Counter()  # by sender
        self.ids: set[tuple[str, int]] = set()
        path.touch()
        for line in path.read_text().splitlines():
            word, peer, number, *_ = line.split()
            if word == "sent":
                self.sent[name, peer] = int(number)
            elif word == "got":
                self.got[peer] += 1
                self.ids.add((peer, int(number)))
        self.before = set(self.ids)
        self.log = path.open("a", buffering=1)

    async def produce(self, me: AsyncEndpoint, pause_s: float) -> None:
        """Send to members at random."""
        rng = Random(f"{self.name} {len(self.ids)}")
        while not self.stopping:
            await asyncio.sleep(pause_s * rng.random())
            others = [name for name in me.members() if name != self.name]
            if not others:
                continue
            dst = rng.choice(others)
            number = self.sent[self.name, dst] + 1
            gone = set(me.state.gone)
            past = [[*pair, n] for pair, n in self.sent.items() if not gone & {*pair}]
            try:
                await me.send(dst, msgspec.msgpack.encode((number, past)))
            except (DepartedPeer, NotAMember, UnknownPeer):
                continue
            self.sent[self.name, dst] = max(self.sent[self.name, dst], number)
            self.log.write(f"sent {dst} {number}\n")

    async def consume(self, me: AsyncEndpoint) -> None:
        """Judge and log what is handed over."""
        async for src, id, payload in me.deliveries():
            if (src, id) in self.before:
                self.before.discard((src, id))
                continue  # handed over before a kill, and not dealt with
            number, past = msgspec.msgpack.decode(payload)
            gone = me.state.gone
            late = [s for s, d, n in past if d == self.name and self.got[s] < n and s not in gone]
            if (src, id) in self.ids:
                self.log.write(f"twice {src} {id}\n")
            self.log.write(f"got {src} {id} {number}\n" + f"broken {src} {id}\n" * bool(late))
            self.ids.add((src, id))
            self.got[src] += 1
            for s, d, n in past:
                self.sent[s, d] = max(self.sent[s, d], n)
            self.sent[src, self.name] = max(self.sent[src, self.name], number)


def transport(settings: dict[str, Any]) -> Any:
    """The transport that the test asks for."""
    if url := settings.get("postgres"):
        from causal.transports.postgres import PostgresTransport

        return PostgresTransport(url, key=KEY)
    return StreamTransport(settings["addresses"], key=KEY)


async def obey(me: AsyncEndpoint, member: Member) -> None:
    """Do what the test says, until it says no more."""
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while words := (await commands.readline()).decode().split():
        match words:
            case ["down", peer]:
                with suppress(UnknownPeer):  # it has not heard that this one joined
                    me.peer_down(peer)
            case ["admit", peer, address]:
                with suppress(DepartedPeer):
                    me.admit(peer, address.strip("-"))
            case ["stop"]:
                member.stopping = True
            case ["flush"]:
                await me.flush(timeout_s=60)
                say("flushed")
            case ["rest"]:
                await me.settled(me.context(), timeout_s=60)
                while me._inbox.arrived or me.state.view.unsure:
                    await asyncio.sleep(0.01)
                members = " ".join(sorted(me.members()))
                say(f"rests {len(me.secrets())} {len(me.held())} {members}")
            case ["leave"]:
                member.stopping = True
                await me.leave(timeout_s=60)
                return


async def main(settings: dict[str, Any]) -> None:
    """Send, judge and obey until told otherwise, or excluded."""
    name, folder = settings["name"], Path(settings["folder"])
    member = Member(name, folder)
    me = AsyncEndpoint(
        name,
        settings["team"],
        transport(settings),
        joining=settings["joining"],
        journal=Journal(folder / f"{name}.journal", sync=False),
        resend_after_s=0.1,
    )
    await me.open()
    obeying = asyncio.create_task(obey(me, member))
    try:
        while name not in me.members():
            await asyncio.sleep(0.01)
        say("ready")
        consuming = asyncio.create_task(member.consume(me))
        producing = asyncio.create_task(member.produce(me, settings["pause_s"]))
        working = {obeying, consuming, producing}
        while obeying in working:
            done, working = await asyncio.wait(working, return_when="FIRST_COMPLETED")
            for task in done:
                task.result()
        await consuming
        say("left")
    except Excluded:
        say("excluded")
    finally:
        await me.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
