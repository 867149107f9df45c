"""Mixed work on one store for some seconds: ``python mixer.py URL NAME SECONDS SEED``.

Prints, at a third of the time and at its end, the bytes of memory that this process holds.  What a
process remembers of versions up to a bound has a small bound here: it is reached in the first
third, so that a memory without a bound is all that can grow afterwards.
"""

from __future__ import annotations

import gc
import random
import sys
import time
import tracemalloc

from coherence import Conflict, GrantTimeout, Lazy, Retention, UnknownArtifact, Workspace
from coherence.runtime import served, token_counts

for module, bound in (served, "VERSIONS_MAX"), (token_counts, "KNOWN_MAX"):
    setattr(module, bound, 400)
NAMES = [f"notes/{number}.md" for number in range(20)]


def main(url: str, name: str, seconds: float, seed: int) -> None:
    chance = random.Random(seed)
    tokenizer = token_counts._installed()
    if tokenizer is not None:
        tokenizer.count("the vocabulary is loaded before anything is measured")
    start = time.monotonic()
    tracemalloc.start()
    third = False
    with Workspace(url, policy=Lazy(grant_lease=5.0), retention=Retention(versions=8)) as workspace:
        agent = workspace.agent(name)
        while (passed := time.monotonic() - start) < seconds:
            if passed > seconds / 3 and not third:
                third = True
                report()
            artifact = chance.choice(NAMES)
            try:
                match chance.randrange(10):
                    case 0 | 1:
                        agent.update(artifact, lambda text: (text + f"{name}\n")[-4000:])
                    case 2:
                        with agent.edit(artifact, wait_s=1.0) as draft:
                            draft.text = draft.text[-2000:] + "edited\n"
                    case 3:
                        agent.write(artifact, "anew\n", overwrite=True)
                    case 4:
                        agent.delete(artifact)
                    case 5 if chance.random() < 0.05:
                        agent.leave()
                        agent = workspace.agent(name)
                    case _:
                        agent.read(artifact)
            except (Conflict, GrantTimeout, UnknownArtifact):
                continue
        if not third:  # the first call took all of the time
            report()
        report()


def report() -> None:
    gc.collect()
    sys.stdout.write(f"{tracemalloc.get_traced_memory()[0]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
