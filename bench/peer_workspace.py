"""What bench_workspace measures, on agent-coherence: run by the interpreter that has it.

Prints ``name<TAB>microseconds``.  Uses its public adapter core with the settings of its own users.
"""

from __future__ import annotations

import statistics
import threading
import time
import tracemalloc
import warnings

warnings.simplefilter("ignore")

from ccs.adapters.base import CoherenceAdapterCore  # noqa: E402

ROUNDS = 7


def say(name, value):
    print(f"{name}\t{value}")


def make(agents):
    core = CoherenceAdapterCore()
    for name in agents:
        core.register_agent(name)
    return core


def timed(work, calls, before=None):
    rounds = []
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(calls if before else 1):
            if before:
                before()
            start = time.thread_time()
            for _ in range(1 if before else calls):
                work()
            spent += time.thread_time() - start
        rounds.append(spent / calls * 1e6)
    return statistics.median(rounds)


def hits():
    for name, size, calls in (("4 KB", 4096, 2000), ("10 MB", 10_000_000, 3)):
        core = make(["ann"])
        artifact = core.register_artifact(name="a", content="y" * size).id

        def read(core=core, artifact=artifact):
            core.read(agent_name="ann", artifact_id=artifact, now_tick=1)

        read()
        say(f"hit, {name}", timed(read, calls))


def writes():
    for sharers in (1, 4, 16, 64):
        readers = [f"reader {i}" for i in range(sharers)]
        core = make(["ann", *readers])
        artifact = core.register_artifact(name="a", content="0").id

        def share(core=core, artifact=artifact, readers=readers):
            for reader in readers:
                core.read(agent_name=reader, artifact_id=artifact, now_tick=1)

        def write(core=core, artifact=artifact):
            core.write(agent_name="ann", artifact_id=artifact, content="text", now_tick=1)

        say(f"write, {sharers} sharers", timed(write, 20 if sharers < 64 else 3, share))


def pair_bytes():
    agents = [f"agent {i}" for i in range(200)]
    core = make(agents)
    artifacts = [core.register_artifact(name=f"a{i}", content="text").id for i in range(100)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for agent in agents[1:]:
        for artifact in artifacts:
            core.read(agent_name=agent, artifact_id=artifact, now_tick=1)
    say("pair, bytes", (tracemalloc.get_traced_memory()[0] - before) / (199 * 100))


def lost():
    """4 threads x 200 increments by read and write, as its adapters do: how many are left."""
    agents = [f"w{i}" for i in range(4)]
    core = make(agents)
    artifact = core.register_artifact(name="count", content="0").id
    refused = []

    def work(agent):
        for tick in range(200):
            try:
                core.read(agent_name=agent, artifact_id=artifact, now_tick=tick)
                number = int(core.content(agent_name=agent, artifact_id=artifact))
                core.write(
                    agent_name=agent, artifact_id=artifact, content=str(number + 1), now_tick=tick
                )
            except Exception as error:
                refused.append(error)

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    core.read(agent_name="w0", artifact_id=artifact, now_tick=999)
    say("increments kept of 800", int(core.content(agent_name="w0", artifact_id=artifact)))
    say("increments refused", len(refused))


if __name__ == "__main__":
    hits()
    writes()
    pair_bytes()
    lost()
