"""Processes that take something of a workspace and can be killed, for tests.

``python mortals.py URL NAME VERB`` joins as NAME, does what VERB says, says so, and stays until its
input ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from coherence import Lazy, Visibility, Workspace

PLAN = "plan.md"
#: Longer than any test: what ends before it was ended by somebody.
LEASE_S = 3600.0
LEASE = Lazy(grant_lease=LEASE_S)
STRICT = Lazy(grant_lease=LEASE_S, visibility=Visibility.STRICT, validity=LEASE_S)


class Mortal:
    """One such process.  It is ready, and waits, once this has returned."""

    def __init__(self, url: str, name: str, verb: str = "join") -> None:
        self.name = name
        command = [sys.executable, __file__, url, name, verb]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self, *, collect: bool = True) -> None:
        """Kill it; collected or not, it has ended when this returns."""
        if self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)  # `Popen.kill` may collect it
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
            if collect:
                self.close()

    def stop(self) -> None:
        """Stop it: none of its threads runs once this returns, until `go_on`.

        The signal alone does not say so: the kernel stops the others when one has taken it.
        """
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Let it end, or collect it."""
        self.process.communicate()


def stay() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


def main(url: str, name: str, verb: str) -> None:
    workspace = Workspace(url, policy=STRICT if verb == "share" else LEASE)
    agent = workspace.agent(name)
    if verb == "hold":
        with agent.edit(PLAN):
            stay()
    elif verb == "queue":
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        with agent.edit(PLAN, wait_s=None):
            sys.stdin.read()
    elif verb == "share":
        agent.read(PLAN)
        stay()
    elif verb == "fork":
        # The child lives for as long as its parent's input is open, and outlives its parent.
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        stay()
    elif verb == "exec":
        stop = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"
        os.execv(sys.executable, [sys.executable, "-c", stop])
    else:
        stay()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
