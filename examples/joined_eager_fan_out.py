"""An eager fan-out: a job starts while eight invalidations are in flight.

The home of an artifact lives with the coordinator.  An editor commits, home invalidates the copies
of eight holders, and the coordinator at once gives a worker a job, which reports its progress to
every holder.  P3: the job starts within one one-way delay, and no holder sees its effects beside a
copy that is dead.

python examples/joined_eager_fan_out.py
"""

from random import Random

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Load
from coherence.policy import Lazy
from message_passing.faults import Stall, play
from message_passing.netmodel import NetworkModel
from message_passing.simulator import Simulator
from specs.models.joined import CARRIERS, acts_on_stale
from specs.models.joined_process import Joined, Letter, Tell

HOLDERS = tuple(f"holder{number}" for number in range(1, 9))
TEAM = ("coordinator", "editor", "worker", *HOLDERS)
ONE_WAY_S = 0.025
SLOW_S = 0.2  # from the coordinator to the last holder
TURN_S = 30.0


def latency(rng, src, dst, message):
    """One slow link."""
    return SLOW_S if (src, dst) == ("coordinator", HOLDERS[-1]) else ONE_WAY_S


class Run:
    """When the job started and its progress was seen, in seconds after it was given; P3's breaches.

    With `turns`, holders are in turns of 30 s, each at its own point of one, and take and
    acknowledge mail between them only.
    """

    def __init__(self, carrier, *, turns=False, seed=0):
        self.started_s = self.seen_s = None
        self.stale = 0
        self.sim = Simulator(
            {
                name: Joined(
                    Home(Lazy(), version=1) if name == "coordinator" else Cache(Lazy(), TEAM[0]),
                    CARRIERS[carrier](name, TEAM),
                    then=self.work if name == "worker" else lambda heard: (),
                )
                for name in TEAM
            },
            network=NetworkModel(latency=latency),
            on_deliver=self.delivered,
            observers=[self.judge],
        )
        for reader in ("editor", *HOLDERS):
            self.sim.invoke(reader, Load())
            self.sim.run()
        self.sim.invoke("editor", Commit("new", base=1))
        self.sim.run(until=self.sim.now + ONE_WAY_S)
        self.given = self.sim.now
        assert self.sim.states["coordinator"].role.version == 2
        self.sim.invoke("coordinator", Tell("worker", "job"))
        play(self.sim, self.turns(Random(seed)) if turns else (), until=self.given + 40 * TURN_S)

    def turns(self, rng):
        """Turn after turn of every holder; each starts at its own point of one."""
        for holder in HOLDERS:
            ends = self.given + rng.random() * TURN_S
            yield Stall(holder, self.given, ends)
            for number in range(38):
                yield Stall(holder, ends + number * TURN_S, ends + (number + 1) * TURN_S)

    def work(self, heard):
        """The worker's first act on the job: progress to everybody."""
        return [Tell(holder, "progress") for holder in HOLDERS] if type(heard) is Letter else []

    def delivered(self, agent, src, letter):
        """Note the times."""
        if agent == "worker":
            self.started_s = self.sim.now - self.given
        else:
            self.seen_s = self.sim.now - self.given

    def judge(self, view, agent, event, step):
        """The second half of P3."""
        self.stale += acts_on_stale(step)


def main():
    """Holders with a sidecar, then holders that read mail between turns."""
    for turns in (False, True):
        mail = "between 30 s turns (mean of 10 runs)" if turns else "by a sidecar"
        print(f"holders take their mail {mail}:")
        print("            job starts   progress seen by all   beside a dead copy")
        for carrier in ("bare", "mf95", "cykas", "hybrid", "rst91"):
            runs = [Run(carrier, turns=turns, seed=seed) for seed in range(10 if turns else 1)]
            started = sum(run.started_s for run in runs) / len(runs)
            seen = sum(run.seen_s for run in runs) / len(runs)
            stale = sum(run.stale for run in runs)
            p3 = started <= ONE_WAY_S + 1e-9 and not stale
            print(
                f"  {carrier:8} {started:9.3f} s {seen:18.3f} s {stale:16}      "
                f"P3 {'holds' if p3 else 'BROKEN'}"
            )
        print()


if __name__ == "__main__":
    main()
