"""A popular agent: eight coordinators give it eager tasks, and it must still be able to answer.

Each task is a secret until a clerk whom its coordinator told first has acknowledged.  P4: a message
that is queued leaves as soon as the secrets that were kept *at that moment* are released, however
many come after it.

python examples/joined_popular_agent.py
"""

from random import Random

from causal import Unicast
from causal.history import History
from message_passing.netmodel import Exponential, NetworkModel
from message_passing.process import Invoke, Respond, Send
from message_passing.simulator import Simulator
from specs.models.joined import CARRIERS

COORDINATORS = tuple(f"coordinator{number}" for number in range(1, 9))
CLERKS = tuple(f"clerk{number}" for number in range(1, 5))
AGENT = "reviewer"
TEAM = (AGENT, *COORDINATORS, *CLERKS)
RTT = 1.0
DURATION = 200.0


class Run:
    """How long the agent's messages waited, in round trips, and whether P4 and causality held."""

    def __init__(self, carrier, rate, seed=0):
        machines = {name: CARRIERS[carrier](name, TEAM) for name in TEAM}
        self.machine, self.history = machines[AGENT], History()
        self.queued, self.left, self.released, self.kept = {}, {}, {}, frozenset()
        sim = Simulator(
            machines,
            network=NetworkModel(latency=Exponential(RTT / 2)),
            seed=seed,
            observers=[self.watch],
        )
        rng, now = Random(seed), 0.0
        while (now := now + rng.expovariate(rate)) < DURATION:
            coordinator = rng.choice(COORDINATORS)
            sim.invoke(coordinator, Unicast(rng.choice(CLERKS), "note"), at=now)
            sim.invoke(coordinator, Unicast(AGENT, "task"), at=now)
        for number in range(int(DURATION / 2)):
            answer = Unicast(CLERKS[number % len(CLERKS)], "answer")
            sim.invoke(AGENT, answer, at=2.0 * number)
        sim.run()
        self.waits = [self.left[id] - at for id, (at, _) in self.queued.items()]
        # P4: gone when the last of the secrets is that were kept when it was queued.
        self.late = sum(
            self.left[id] > max([at, *(self.released[secret] for secret in kept)])
            for id, (at, kept) in self.queued.items()
        )
        self.breaches = len(self.history.breaches())

    def watch(self, view, address, event, step):
        """Feed the oracle; note when the agent's messages are queued and leave, secrets end."""
        self.history.observe(address, event, step)
        if address != AGENT:
            return
        kept = frozenset(self.machine.secrets(step.state))
        self.released.update(dict.fromkeys(self.kept - kept, view.now))
        self.kept = kept
        for command in step.commands:
            if type(event) is Invoke and type(command) is Respond:
                self.queued[command.result] = (view.now, kept)
            elif type(command) is Send and hasattr(command.message, "payload"):
                self.left[command.message.id] = view.now


def main():
    """From a quiet agent to a popular one."""
    print("tasks a round trip      wait, mean    longest    later than P4 allows    not causal")
    for rate in (0.5, 1.0, 2.0):
        for carrier in ("bare", "cykas", "hybrid"):
            run = Run(carrier, rate)
            verdict = "BROKEN" if run.late or run.breaches else "holds"
            mean = sum(run.waits) / len(run.waits)
            print(
                f"{rate:6}  {carrier:12} {mean:10.2f} RTT {max(run.waits):6.2f} RTT {run.late:10} "
                f"of {len(run.waits)} {run.breaches:14}    {verdict}"
            )


if __name__ == "__main__":
    main()
