"""A stale review: "please review" comes before the news that the copy at hand is dead.

The writer's commit returns at once, while home's invalidation is on a slow link.  The writer asks
for a review.  On bare links the reviewer reviews version 1; on causal links the word waits.

python examples/joined_stale_review.py
"""

from coherence.cache import Cache
from coherence.directory import Home
from coherence.messages import Commit, Committed, Load, Loaded
from coherence.policy import Lazy
from message_passing.netmodel import Exponential, NetworkModel
from message_passing.simulator import Simulator
from specs.models.joined import CARRIERS, acts_on_stale
from specs.models.joined_process import Joined, Tell

TEAM = ("home", "writer", "reviewer")
LATENCY_MS = {("home", "reviewer"): 60.0}  # one slow link; all others take 10 ms


class Run:
    """One write and one word about it; `log` is what happened, `broken` what broke P1."""

    def __init__(self, carrier, latency, seed=0):
        self.log, self.broken, self.start = [], 0, None
        self.sim = Simulator(
            {
                name: Joined(
                    Home(Lazy(), version=1, content="plan A")
                    if name == "home"
                    else Cache(Lazy(), "home"),
                    CARRIERS[carrier](name, TEAM),
                    then=self.ask if name == "writer" else lambda heard: (),
                )
                for name in TEAM
            },
            network=NetworkModel(latency=latency),
            seed=seed,
            on_respond=self.responded,
            on_deliver=self.act,
            observers=[self.judge],
        )
        for reader in ("writer", "reviewer"):
            self.sim.invoke(reader, Load())
            self.sim.run()
        self.start = self.sim.now
        self.sim.invoke("writer", Commit("plan B", base=1))
        self.sim.run()

    def ask(self, result):
        """What the writer says when its commit returns."""
        return [Tell("reviewer", "please review")] if type(result) is Committed else []

    def act(self, agent, src, letter):
        """The reviewer takes the word, and reads what it is to review."""
        self.note(f"{agent} takes {letter.body!r}")
        self.sim.invoke(agent, Load(), at=self.sim.now)

    def responded(self, agent, result):
        """A commit or a read has returned."""
        match result:
            case Committed(version):
                self.note(f"{agent}'s commit returns: version {version}")
            case Loaded(version, content):
                self.note(f"{agent} reads version {version}, {content!r}")

    def judge(self, view, agent, event, step):
        """P1: no word of version v is acted on beside an older copy that is marked valid."""
        self.broken += acts_on_stale(step)

    def note(self, text):
        """Add a line to the log; reads before the write are of no interest."""
        if self.start is not None:
            self.log.append(f"  {self.sim.now - self.start:4.0f} ms  {text}")


def main():
    """Both carriers on the slow link, then on random delays."""

    def latency(rng, src, dst, message):
        return LATENCY_MS.get((src, dst), 10.0)

    for carrier in ("bare", "hybrid"):
        run = Run(carrier, latency)
        print(f"{carrier} links: P1 {'BROKEN' if run.broken else 'holds'}")
        print("\n".join(run.log), end="\n\n")
    print("P1 broken, in 300 runs with exponential delays:")
    for carrier in ("bare", "mf95", "cykas", "hybrid", "rst91"):
        broken = sum(Run(carrier, Exponential(10.0), seed).broken for seed in range(300))
        print(f"  {carrier:8} {broken:4}")


if __name__ == "__main__":
    main()
