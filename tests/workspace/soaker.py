"""Six processes at mixed work on one store, killed and replaced all the time, for the judge.

``python soaker.py URL FOLDER SECONDS [WEAKNESS]`` writes two histories of one run: that of the
clients, with contents that testify their order, in FOLDER/contents, and what the workspaces
observe, in FOLDER/seen.  At the end one more process reads everything.  A weakness is in these
processes alone; the judge must refuse it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from threading import Event

from coherence import (
    Conflict,
    GrantTimeout,
    Lazy,
    OutcomeUnknown,
    StoreFault,
    UnknownArtifact,
    UnknownVersion,
    Workspace,
)
from coherence.runtime import homes
from coherence.runtime.homes import Homes
from coherence.runtime.session import Session
from coherence.workspace.agent import Agent

PROCESSES = 6
KILL_EVERY_S = 0.5
#: The bytes of the history of a process that has worked, so that slow machines get work done, too.
WORKED = 1_000
#: So many names, which change so often: most are missing when they are first read.
NAMES, NAMES_FOR_S = 4, 0.5
VALIDITY_S = 1.0
THINK_S = 0.004
OF_TRANSACTIONS = ("reads unchecked", "torn", "rejudged", "absence unlocked")
REFUSALS = (Conflict, GrantTimeout, StoreFault, UnknownArtifact, UnknownVersion)


class Client:
    """One process at work."""

    def __init__(self, url: str, folder: Path, name: str, weakness: str) -> None:
        self.url, self.folder, self.name, self.weakness = url, folder, name, weakness
        self.chance = random.Random(name)
        self.out = (folder / "contents" / f"{name}.ndjson").open("ab", buffering=0)
        self.stale_s = VALIDITY_S if url.startswith("postgres") else 0.0
        self.number = 0

    def open(self) -> Workspace:
        """The workspace, once the store is there."""
        while True:
            with suppress(StoreFault):
                policy = Lazy(grant_lease=2.0, validity=VALIDITY_S)
                return Workspace(self.url, policy=policy, observe=self.folder / "seen")
            pause(0.05)

    def work(self, until: float) -> None:
        """Calls of all kinds."""
        parent = os.getppid()
        with self.open() as workspace:
            self.agent = self.joined(workspace)
            works = [self.read, self.append, self.update, self.edit, self.others]
            if self.weakness in OF_TRANSACTIONS:
                works = [self.transaction]
            elif hasattr(Agent, "transaction"):
                works += [self.transaction] * 4 + [self.snapshot]
            while time.monotonic() < until and os.getppid() == parent:
                period = int(time.time() / NAMES_FOR_S)
                names = [f"g{period}/{number}" for number in range(NAMES)]
                self.chance.shuffle(names)
                with suppress(*REFUSALS):
                    self.chance.choice(works)(names)
                    continue
                pause(0.01)

    def joined(self, workspace: Workspace) -> Agent:
        while True:
            with suppress(StoreFault):
                return workspace.agent(self.name)
            pause(0.05)

    # The clients' own history.

    def invoke(self, written: list[str], stale_s: float = 0.0) -> str:
        self.number += 1
        token = f"{self.name}-{self.number}"
        self.say(type="invoke", i=token, w=written, stale_s=stale_s)
        return token

    def say(self, **line: object) -> None:
        self.out.write(json.dumps({"t": time.monotonic(), **line}).encode() + b"\n")

    def tell(self, token: str, how: str, seen: dict[str, list[str]], written: list[str]) -> None:
        self.say(type=how, i=token, r=seen, w=written)

    def ended(self, token: str, error: BaseException, seen: dict[str, list[str]]) -> None:
        self.tell(token, "info" if isinstance(error, OutcomeUnknown) else "fail", seen, self.writes)

    # Work.

    def tokens(self, name: str) -> list[str]:
        try:
            return self.agent.read(name).text.split()
        except UnknownArtifact:
            return []

    def read(self, names: list[str]) -> None:
        token = self.invoke([], self.stale_s)
        self.tell(token, "ok", {names[0]: self.tokens(names[0])}, [])

    def append(self, names: list[str]) -> None:
        """A read and a write that derives from it, or a loss of updates."""
        name, self.writes = names[0], names[:1]
        token = self.invoke(self.writes)
        try:
            seen = self.tokens(name)
            pause(self.chance.random() * THINK_S)
            careless = self.weakness == "overwriting"
            self.agent.write(name, " ".join([*seen, token]), overwrite=careless)
        except Exception as error:
            self.ended(token, error, {})  # its cached read may have been old
            raise
        self.tell(token, "ok", {} if careless else {name: seen}, self.writes)

    def update(self, names: list[str]) -> None:
        name, self.writes, seen = names[0], names[:1], {}
        token = self.invoke(self.writes)

        def add(text: str) -> str:
            seen[name] = text.split()
            return f"{text} {token}"

        try:
            self.agent.update(name, add)
        except Exception as error:
            self.ended(token, error, {})
            raise
        self.tell(token, "ok", seen, self.writes)

    def edit(self, names: list[str]) -> None:
        name, self.writes, seen = names[0], names[:1], {}
        token = self.invoke(self.writes)
        try:
            with self.agent.edit(name, wait_s=1.0) as draft:
                seen[name] = draft.text.split()
                draft.text += f" {token}"
                pause(self.chance.random() * THINK_S)
        except Exception as error:
            self.ended(token, error, {})
            raise
        self.tell(token, "ok", seen, self.writes)

    def transaction(self, names: list[str]) -> None:
        names = names[: self.chance.randrange(2, 4)]
        self.writes, seen = names[: self.chance.choice((1, 1, 2))], {}
        token = self.invoke(self.writes)
        try:
            with self.agent.transaction() as tx:
                for name in names:
                    view = tx.read(name, missing=None)
                    seen[name] = view.text.split() if view is not None else []
                    pause(self.chance.random() * THINK_S / 2)
                for name in self.writes:
                    # What is written is not read again, so it is noted here.
                    tx.write(name, " ".join([*seen[name], token]))
        except Exception as error:
            self.ended(token, error, seen)
            raise
        self.tell(token, "ok", seen, self.writes)

    def snapshot(self, names: list[str]) -> None:
        token = self.invoke([])
        snap = self.agent.snapshot(names)
        seen = {name: snap[name].text.split() if name in snap else [] for name in names}
        self.tell(token, "ok", seen, [])

    def others(self, names: list[str]) -> None:
        """Calls that no list of tokens shows; what the workspace observes of them is judged."""
        name, other = (f"other/{self.chance.randrange(6)}" for _ in range(2))
        text = f"{self.name} {self.number} {self.chance.random()}"
        match self.chance.randrange(5):
            case 0:
                self.agent.write(name, text, overwrite=True)
            case 1:
                self.agent.delete(name, overwrite=True)
            case 2 if name != other:
                self.agent.rename(name, other)
            case 3:
                self.agent.restore(f"{name}@{self.chance.randrange(1, 9)}")
            case _:
                self.agent.read(name)

    def read_all(self) -> None:
        """The last state."""
        with self.open() as workspace:
            self.agent = workspace.agent(self.name)
            for name in workspace.names(deleted=True):
                if name.startswith("other/"):
                    self.tokens(name)
                else:
                    self.read([name])


def pause(seconds: float) -> None:
    Event().wait(seconds)


# What the judge must refuse.


def weaken(weakness: str) -> None:
    """Leave out one thing that the product does."""
    asked = Session.ask_all
    if weakness == "reads unchecked":
        Session.ask_all = lambda self, requests, reads=None: asked(
            self, requests, None if reads is None else {}
        )
    elif weakness == "torn":

        def one_by_one(self, requests, reads=None):
            if reads is None:
                return asked(self, requests)
            every = []
            for number, request in enumerate(requests):
                every += asked(self, [request], {} if number else reads)
                pause(0.001)
            return every

        Session.ask_all = one_by_one
    elif weakness == "absence unlocked":
        from coherence.stores.postgres_transaction import PostgresTransaction

        # Meanwhile another transaction may find its own names missing.
        PostgresTransaction.absent = lambda self, artifact: pause(0.003)
    elif weakness == "rejudged":
        from coherence.joint import joint

        def rejudged(writer, written, read=()):
            written = list(written)
            found = joint(writer, (), read)
            return found if found.refused else joint(writer, written, ())

        homes.joint = rejudged
    elif weakness == "old copies":
        from coherence.stores.sqlite import SqliteStore

        SqliteStore.mark = lambda self: 0


def lose_answers(chance: random.Random, share: float) -> None:
    """Some store transactions take effect, and their process does not learn of it at once."""
    attempt = Homes._attempt

    def unheard(self, batch, *rest):
        done = attempt(self, batch, *rest)
        if chance.random() < share:
            pause(chance.random() * THINK_S * 5)
            raise OutcomeUnknown("on purpose")
        return done

    Homes._attempt = unheard


def child(work) -> int:
    """A process that does `work`."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return number


def main(url: str, folder: Path, seconds: float, weakness: str) -> None:
    (folder / "contents").mkdir(parents=True)
    chance = random.Random(1)
    count, killed = 0, 0

    def start(until: float) -> tuple[int, Path]:
        nonlocal count
        count += 1
        client = Client(url, folder, f"p{count}", weakness)

        def work() -> None:
            weaken(weakness)
            lose_answers(client.chance, 0.3 if weakness == "rejudged" else 0.03)
            client.work(until)

        return child(work), folder / "contents" / f"p{count}.ndjson"

    os.waitpid(child(lambda: Workspace(url).close()), 0)
    until = time.monotonic() + seconds
    team = [start(until) for _ in range(PROCESSES)]
    while time.monotonic() < until - KILL_EVERY_S:
        pause(KILL_EVERY_S)
        at_work = [place for place, (_, file) in enumerate(team) if file.stat().st_size > WORKED]
        if at_work and not weakness:
            place = chance.choice(at_work)
            os.kill(team[place][0], signal.SIGKILL)
            os.waitpid(team[place][0], 0)
            team[place] = start(until)
            killed += 1
    codes = [os.waitpid(number, 0)[1] for number, _ in team]
    codes.append(os.waitpid(child(Client(url, folder, "final", "").read_all), 0)[1])
    sys.stdout.write(f"{json.dumps({'killed': killed, 'codes': codes})}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), "".join(sys.argv[4:]))
