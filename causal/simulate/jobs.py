"""The long-running job: notices first, then a job that works for a while and reports.

Reconstructed from the abstract of arXiv 2603.14690 and measured in round trips.  Three shapes:

* ``notices``: a dispatcher sends notices to k peers, then gives a worker a job;
* ``fan-out``: a dispatcher gives k workers a job each and gathers their reports;
* ``pipeline``: each of k stages, when done, tells a log and gives the next stage its job.

The closed forms assume a constant one-way delay and acknowledgements at once.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from causal.simulate.record import Record
from causal.simulate.team import HALF, Team
from message_passing.process import Address, Time

Shape = Literal["notices", "fan-out", "pipeline"]
SHAPES: Final[tuple[Shape, ...]] = ("notices", "fan-out", "pipeline")

#: Protocols in which a job's recipient may answer its dispatcher at once.
_ANSWERS_AT_ONCE = ("cykas-refined", "hybrid", "announcing", "named", "rst91")
#: Protocols in which a stage may pass its job on while it keeps a secret.
_PASSES_ON = ("named", "rst91")


def run(protocol: str, shape: Shape, k: int, job_rtt: float) -> Record:
    """One run: when the job started (the last one), was reported (the last), and all was done."""
    peers = [f"p{i}" for i in range(k)]
    started: dict[Address, Time] = {}
    done: list[Time] = []

    def react(address: Address, src: Address, payload: Any, now: Time) -> None:
        if payload == "report":
            done.append(now)
        if payload != "job":
            return
        started[address] = now
        end = now + job_rtt
        if shape != "pipeline":
            team.send(end, address, src, "report")
            return
        done.append(end)
        stage = peers.index(address) + 1
        if stage < k:
            team.send(end, address, "log", "done")
            team.send(end, address, peers[stage], "job")

    team = Team(protocol, ["dispatcher", "worker", "log", *peers], react=react)
    if shape == "notices":
        for peer in peers:
            team.send(0.0, "dispatcher", peer, "notice")
        team.send(0.0, "dispatcher", "worker", "job")
    elif shape == "fan-out":
        for peer in peers:
            team.send(0.0, "dispatcher", peer, "job")
    elif k:
        team.send(0.0, "dispatcher", "log", "begins")
        team.send(0.0, "dispatcher", peers[0], "job")
    team.run()
    return team.record(
        "jobs",
        {"shape": shape, "k": k, "job_rtt": job_rtt},
        start=max(started.values(), default=None),
        report=max(done, default=None),
        makespan=max(done, default=None),
    )


def closed_form(protocol: str, shape: Shape, k: int, job_rtt: float) -> tuple[float, float]:
    """When the last job starts and when all is done, in round trips.

    An eager job starts after one one-way delay.  Its recipient is released three one-way delays
    after the send, or two if deliveries are announced, and its held messages go then.
    """
    told = 2 * HALF if protocol == "announcing" else 3 * HALF
    if shape == "pipeline":
        if protocol == "mf95":
            hop = 1 + HALF + job_rtt  # the log's acknowledgement, then the job
            first = 1 + HALF
        elif protocol in _PASSES_ON:
            hop, first = HALF + job_rtt, HALF
        else:
            hop, first = max(HALF + job_rtt, told), HALF
        start = first + (k - 1) * hop
        return start, start + job_rtt
    waits = k if shape == "notices" else k - 1  # messages before the last job
    if protocol == "mf95":
        start = waits + HALF
        return start, start + job_rtt + HALF
    eager = waits > 0
    if eager and protocol not in _ANSWERS_AT_ONCE:
        return HALF, max(HALF + job_rtt, told) + HALF
    return HALF, HALF + job_rtt + HALF
