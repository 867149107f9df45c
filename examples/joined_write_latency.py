"""What a write costs its writer: strict visibility, or lazy visibility over causal links.

Four agents hold copies; the writer commits and then asks one of them for a review.  Measured in
virtual time from the commit: when it returns, and when the review may start.  Delays are constant
except in the last column, which counts runs that break P1 when they are exponential.

python examples/joined_write_latency.py
"""

from random import Random

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Committed, Load
from coherence.policy import Lazy, Visibility
from message_passing.faults import Stall, play
from message_passing.netmodel import Exponential, NetworkModel
from message_passing.simulator import Simulator
from specs.models.joined import CARRIERS, acts_on_stale
from specs.models.joined_process import Joined, Tell

HOLDERS = ("reviewer", "coder", "tester", "planner")
TEAM = ("home", "writer", *HOLDERS)
TURN_S = 30.0
WAYS = {
    "strict, bare links": ("bare", Lazy(visibility=Visibility.STRICT, validity=600.0)),
    "lazy, bare links": ("bare", Lazy()),
    "lazy, MF95": ("mf95", Lazy()),
    "lazy, hybrid": ("hybrid", Lazy()),
}


class Run:
    """One write.  With `turns`, holders take mail between turns only, each at its own point of one.

    No acknowledgement is sent for them meanwhile.
    """

    def __init__(self, way, latency, *, turns=False, seed=0):
        carrier, policy = WAYS[way]
        self.returned_s = self.review_s = None
        self.stale = 0
        self.sim = Simulator(
            {
                name: Joined(
                    Home(policy, version=1) if name == "home" else Cache(policy, "home"),
                    CARRIERS[carrier](name, TEAM),
                    then=self.ask if name == "writer" else lambda heard: (),
                )
                for name in TEAM
            },
            network=NetworkModel(latency=latency),
            seed=seed,
            on_respond=self.responded,
            on_deliver=self.delivered,
            observers=[self.judge],
        )
        for reader in ("writer", *HOLDERS):
            self.sim.invoke(reader, Load())
            self.sim.run(until=self.sim.now + 1.0)
        self.start = self.sim.now
        self.sim.invoke("writer", Commit("new", base=1))
        play(self.sim, self.turns(Random(seed)) if turns else (), until=self.start + 10 * TURN_S)

    def turns(self, rng):
        """Turn after turn of every holder; the write comes at a random point of each one's."""
        for holder in HOLDERS:
            ends = self.start + rng.random() * TURN_S
            yield Stall(holder, self.start, ends)
            for number in range(8):
                yield Stall(holder, ends + number * TURN_S, ends + (number + 1) * TURN_S)

    def ask(self, result):
        """What the writer says when its commit returns."""
        return [Tell("reviewer", "please review")] if type(result) is Committed else []

    def responded(self, agent, result):
        """Note when the commit returns."""
        if type(result) is Committed:
            self.returned_s = self.sim.now - self.start

    def delivered(self, agent, src, letter):
        """Note when the reviewer has the word."""
        self.review_s = self.sim.now - self.start

    def judge(self, view, agent, event, step):
        """P1: no word of version v is acted on beside an older copy that is marked valid."""
        self.stale += acts_on_stale(step)


def main():
    """Every way at 1 ms, at 50 ms, and with agents in their turns."""
    print("from the commit until it returns / until the review may start, in seconds")
    print("                        RTT 1 ms        RTT 50 ms     30 s turns,    longest      P1")
    print("                                                      mean of 100     commit    broken")
    for way in WAYS:
        near, far = Run(way, 0.0005), Run(way, 0.025)
        busy = [Run(way, 0.025, turns=True, seed=seed) for seed in range(100)]
        returned = sum(run.returned_s for run in busy) / len(busy)
        review = sum(run.review_s for run in busy) / len(busy)
        longest = max(run.returned_s for run in busy)
        broken = sum(Run(way, Exponential(0.025), seed=seed).stale for seed in range(200))
        print(
            f"{way:18} {near.returned_s:7.4f} / {near.review_s:.4f}"
            f" {far.returned_s:7.3f} / {far.review_s:.3f} {returned:7.2f} / {review:.2f}"
            f" {longest:10.2f} {broken:5} of 200"
        )


if __name__ == "__main__":
    main()
