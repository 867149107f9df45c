"""Real signals at random moments of blocking calls: ``interrupt_storm.py URL INTERRUPTS SEED``.

After each interrupt the interrupted agent, and one of another process, read, write and edit without
any lease ending: a grant lasts far longer than any wait here.  Prints one JSON object at the end.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import random
import signal
import sys
import time
from contextlib import suppress

from coherence import Conflict, Lazy, Workspace
from coherence.errors import UnknownArtifact

WAIT_S = 30.0
armed = False


def handler(*_: object) -> None:
    if armed:
        raise KeyboardInterrupt


class Storm:
    def __init__(self, url: str, seed: int) -> None:
        policy = Lazy(grant_lease=900.0)
        self.random = random.Random(seed)
        self.here = Workspace(url, policy=policy)
        apart = not url.startswith("memory")
        self.there = Workspace(url, policy=policy) if apart else self.here
        self.ann, self.bob = self.here.agent("ann"), self.there.agent("bob")
        self.ann.write("counter", "0")
        self.ann.write("doc", "")
        #: Increments that were acknowledged, and those of which nobody knows.
        self.acknowledged = self.open = 0

    def increment(self, agent) -> None:
        self.open += 1
        agent.update("counter", lambda text: str(int(text) + 1), wait_s=WAIT_S)
        self.open -= 1
        self.acknowledged += 1

    def one(self) -> None:
        """Any call."""
        ann, kind = self.ann, self.random.randrange(9)
        if kind <= 2:
            self.increment(ann)
        elif kind == 3:
            with ann.edit("doc", wait_s=WAIT_S) as draft:
                draft.text += "."
        elif kind == 4:
            ann.read("counter"), ann.read("doc"), ann.list(), ann.history("counter")
        elif kind == 5:
            ann.write(f"notes/{self.random.randrange(5)}", str(self.open), overwrite=True)
        elif kind == 6:
            self.here.agent("guest").leave()
        elif kind == 7:
            with suppress(UnknownArtifact):
                ann.delete("notes/0", overwrite=True)
        else:
            for old, new in (("notes/1", "moved"), ("moved", "notes/1")):
                with suppress(Conflict, UnknownArtifact):
                    ann.rename(old, new)

    def go_on(self) -> None:
        """What everybody can do."""
        for agent in (self.bob, self.ann):
            self.increment(agent)
            with agent.edit("doc", wait_s=WAIT_S) as draft:
                draft.text = agent.name
            agent.read("counter")

    def run(self, interrupts: int) -> dict[str, object]:
        global armed
        signal.signal(signal.SIGALRM, handler)
        seen = calls = 0
        longest_s = 0.0
        span_s = 0.002
        while seen < interrupts:
            interrupted = False
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, self.random.random() * span_s + 1e-6)
                began = time.monotonic()
                self.one()
                armed = False
                calls += 1
                # As long as a call lasts here, so that about half of them are interrupted.
                span_s = 0.9 * span_s + 0.1 * 2 * (time.monotonic() - began)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
            if interrupted:
                seen += 1
                began = time.monotonic()
                self.go_on()
                longest_s = max(longest_s, time.monotonic() - began)
        value = int(self.bob.read("counter").text)
        return {
            "interrupts": seen,
            "calls": calls,
            "acknowledged": self.acknowledged,
            "value": value,
            "kept": self.acknowledged <= value <= self.acknowledged + self.open,
            "damage": self.here.check(),
            "longest_s": round(longest_s, 3),
        }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    faulthandler.dump_traceback_later(400, exit=True)
    storm = Storm(sys.argv[1], int(sys.argv[3]))
    report = storm.run(int(sys.argv[2]))
    storm.there.close()
    storm.here.close()
    sys.stdout.write(json.dumps(report))
