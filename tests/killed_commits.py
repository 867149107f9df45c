"""A transaction on three artifacts, killed at a moment, for tests.

``python killed_commits.py URL`` reads a moment from each line of its input, carries the transaction
out in a process of its own that is killed at this moment, and prints how that process has ended.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from coherence.stores.faulty import Crash, Faulty
from coherence.stores.opening import open_store
from coherence.stores.promises import write

WRITTEN = ("a", "b", "c")
FOUND, MISSING = "found", "missing"


def commit(store: Any) -> None:
    """Publish the next version of each artifact, derived from one that is found and one missing."""
    with store.transaction(publishes=True) as tx:
        tx.load_all([*WRITTEN, FOUND, MISSING])
        assert tx.load(FOUND) is not None
        tx.absent(MISSING)
        for name in WRITTEN:
            stored = tx.load(name)
            version = stored.row.state.version if stored is not None else 0
            assert not version or tx.content(name, version) == str(version)
            write(tx, name, str(version + 1))


def die() -> BaseException:
    os.kill(os.getpid(), signal.SIGKILL)
    return Crash()


def main(url: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            commit(Faulty(open_store(url), int(line), die))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
