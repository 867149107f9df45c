"""Many processes that work on one workspace until they are killed, for tests.

``python crowd.py URL COUNT`` forks COUNT processes before any of them opens the workspace, so that
they start quickly.  Each joins under a name of its own, says its process id, and then reads,
writes, holds drafts and waits for them at random.  The first process does not collect the others.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from contextlib import suppress

from coherence import Workspace
from message_passing.errors import CallerError

PLANS = ("plan.md", "design.md", "notes/a.md")


class Crowd:
    """Such processes, all at work."""

    def __init__(self, url: str, count: int) -> None:
        command = [sys.executable, __file__, url, str(count)]
        self._first = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
        assert self._first.stdout is not None
        self.pids = [int(self._first.stdout.readline()) for _ in range(count)]
        self._ends = {pid: os.pidfd_open(pid) for pid in self.pids}

    def kill(self, pid: int) -> None:
        """Kill that process; it has ended when this returns."""
        os.kill(pid, signal.SIGKILL)
        select.select([self._ends[pid]], [], [])

    def close(self) -> None:
        """Kill all that still run."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                self.kill(pid)
        self._first.kill()
        self._first.communicate()
        for end in self._ends.values():
            os.close(end)


def main(url: str, count: int) -> None:
    for number in range(count):
        if os.fork() == 0:
            work(url, f"bob{number}", random.Random(number))
    signal.pause()


def work(url: str, name: str, chance: random.Random) -> None:
    """Work at random, for ever."""
    agent = Workspace(url).agent(name)
    os.write(1, f"{os.getpid()}\n".encode())
    while True:
        plan = chance.choice(PLANS)
        with suppress(CallerError):
            if chance.random() < 0.5:
                agent.read(plan)
            elif chance.random() < 0.5:
                agent.update(plan, lambda text: f"{text[:200]}{name}\n")
            else:
                with agent.edit(plan, wait_s=chance.random()) as draft:
                    draft.text += name
                    agent.read(chance.choice(PLANS))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
