"""What contending processes run, for tests and the bench: ``python contenders.py URL NAME N``.

Adds N lines of its own to one artifact, prints each number once it is acknowledged, and goes on
from where it was when it is started again under the same name.
"""

from __future__ import annotations

import sys

from coherence import Lazy, Workspace

ARTIFACT = "ledger.txt"


def say(word: object) -> None:
    """One line to whoever started this."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(url: str, name: str, count: int, lease_s: float) -> None:
    with Workspace(url, policy=Lazy(grant_lease=lease_s)) as workspace:
        agent = workspace.agent(name)
        say("ready")
        for number in range(count):
            line = f"{name} {number}\n"

            def add(text: str, line: str = line) -> str:
                return text if line in text else text + line

            agent.update(ARTIFACT, add)
            say(number)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
