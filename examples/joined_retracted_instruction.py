"""A retracted instruction: the approval of a plan comes before the plan.

The planner tells the executor "use plan B", then tells the reviewer that the plan has changed.  The
reviewer approves step 1 of plan B at once.  Every link keeps its order, and on bare links the
executor still runs a step of the plan that it has.

python examples/joined_retracted_instruction.py
"""

from causal import Unicast
from message_passing.netmodel import Exponential, NetworkModel
from message_passing.simulator import Simulator
from specs.models.joined import CARRIERS

TEAM = ("planner", "executor", "reviewer")


class Run:
    """The three messages; `broken` counts approvals that were run before their plan was known."""

    def __init__(self, carrier, latency, seed=0):
        self.log, self.broken, self.plan = [], 0, "A"
        self.sim = Simulator(
            {name: CARRIERS[carrier](name, TEAM) for name in TEAM},
            network=NetworkModel(latency=latency),
            seed=seed,
            on_deliver=self.act,
        )
        self.sim.invoke("planner", Unicast("executor", ("use plan", "B")))
        self.sim.invoke("planner", Unicast("reviewer", ("the plan is", "B")))
        self.sim.run()

    def act(self, agent, src, message):
        """What each agent does on a message; P2 is judged where an approval is run."""
        text, plan = message.payload
        if agent == "reviewer":
            self.note(f"reviewer hears that {text} {plan}, and approves step 1")
            self.sim.invoke("reviewer", Unicast("executor", ("go: step 1 of", plan)), self.sim.now)
        elif text == "use plan":
            self.plan = plan
            self.note(f"executor hears: {text} {plan}")
        else:
            self.broken += plan != self.plan
            self.note(f"executor runs step 1 of plan {self.plan}, approved was plan {plan}")

    def note(self, text):
        """Add a line to the log."""
        self.log.append(f"  {self.sim.now:4.0f} ms  {text}")


def main():
    """Both carriers with a slow link to the executor, then on random delays."""

    def latency(rng, src, dst, message):
        return 60.0 if (src, dst) == ("planner", "executor") else 10.0

    for carrier in ("bare", "hybrid"):
        run = Run(carrier, latency)
        print(f"{carrier} links: P2 {'BROKEN' if run.broken else 'holds'}")
        print("\n".join(run.log), end="\n\n")
    print("P2 broken, in 300 runs with exponential delays:")
    for carrier in ("bare", "mf95", "cykas", "hybrid", "rst91"):
        broken = sum(Run(carrier, Exponential(10.0), seed).broken for seed in range(300))
        print(f"  {carrier:8} {broken:4}")


if __name__ == "__main__":
    main()
