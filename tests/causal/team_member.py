"""One of five processes that send to each other at random, and check what they are handed.

Run by `test_kill.py`: `python team_member.py NAME FOLDER LIMIT URL...`.  It keeps a log of what was
accepted and what was handed over, so that a new life goes on counting where the last one ended.
Every message carries what its sender knew about who had sent how many messages to whom; on delivery
that is RST91's condition, and a message that came before its cause is logged as `broken`.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from causal.endpoint import AsyncEndpoint
from causal.journal import Journal
from causal.messages import DepartedPeer
from causal.transports.stream import StreamTransport

NAMES = "abcde"
KEY = b"0123456789abcdef"


def say(line: str) -> None:
    """Tell whoever started us."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Member:
    """The application of one process."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.sent: Counter[str] = Counter()  # "ab": messages from a to b that we know of
        self.got: Counter[str] = Counter()  # by sender
        self.ids: set[tuple[str, int]] = set()
        self.log.touch()
        for line in self.log.read_text().splitlines():
            word, peer, number, *_ = line.split()
            if word == "sent":
                self.sent[name + peer] += 1
            elif word == "got":
                self.got[peer] += 1
                self.ids.add((peer, int(number)))
        self.out = self.log.open("a", buffering=1)

    async def produce(self, me: AsyncEndpoint, limit: int) -> None:
        """Send to others at random."""
        rng = Random(f"{self.name} {len(self.ids)}")
        for _ in range(limit):
            dst = rng.choice(NAMES.replace(self.name, ""))
            if dst in me.state.gone:
                continue
            number = self.sent[self.name + dst] + 1
            try:
                await me.send(dst, msgspec.msgpack.encode((number, dict(self.sent))))
            except DepartedPeer:
                continue  # excluded while this message waited for its turn at the journal
            # Its recipient may have told us of it before we were told that it was accepted.
            self.sent[self.name + dst] = max(self.sent[self.name + dst], number)
            self.out.write(f"sent {dst} {number}\n")
            say("sent")

    async def consume(self, me: AsyncEndpoint) -> None:
        """Check and log what is handed over."""
        async for src, id, payload in me.deliveries():
            if (src, id) in self.ids:
                continue  # handed over before the kill, and not dealt with
            number, past = msgspec.msgpack.decode(payload)
            late = [
                k
                for k in NAMES
                if self.got[k] < past.get(k + self.name, 0) and k not in me.state.gone
            ]
            self.out.write(f"got {src} {id} {number}\n" + f"broken {src} {id}\n" * bool(late))
            self.ids.add((src, id))
            self.got[src] += 1
            for pair, count in past.items():
                self.sent[pair] = max(self.sent[pair], count)
            self.sent[src + self.name] = max(self.sent[src + self.name], number)


async def main(name: str, folder: str, limit: str, *urls: str) -> None:
    """Go on until there is nothing more to read; wait for what is asked for."""
    member, loop = Member(name, Path(folder)), asyncio.get_running_loop()
    transport = StreamTransport(dict(zip(NAMES, urls, strict=True)), key=KEY)
    journal = Journal(Path(folder) / f"{name}.journal")
    async with AsyncEndpoint(name, NAMES, transport, journal=journal, resend_after_s=0.1) as me:
        consuming = asyncio.create_task(member.consume(me))
        producing = asyncio.create_task(member.produce(me, int(limit)))
        while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
            if words[0] == "down":
                me.peer_down(words[1])
            elif words[0] == "flush":
                await producing
                await me.flush(timeout_s=60)
                say("flushed")
            elif words[0] == "rest":
                await me.settled(me.context(), timeout_s=60)
                while me._inbox.arrived:
                    await asyncio.sleep(0)
                say(f"rests {len(me.secrets())} {len(me.held())}")
        consuming.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
