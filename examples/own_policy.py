"""A policy that an application supplies: push a commit to few readers, only invalidate for many.

From this folder (as `coherence.policy` shows, a policy is a subclass that overrides what differs)::

    coherence simulate run planning --import own_policy -s PushToFew -s lazy -s eager
    coherence specs --import own_policy check mesi --policy PushToFew
    python own_policy.py
"""

from coherence import Announce, Policy, Workspace
from coherence.states import HomeState


class PushToFew(Policy, frozen=True, kw_only=True):
    """Push the new version while at most `few` caches hold a copy."""

    #: The simulator and the checker use the defaults.
    few: int = 3

    def announce(self, home: HomeState) -> Announce:
        """The verdict on a commit that `home` has just made."""
        return Announce.UPDATE if len(home.sharers) <= self.few else Announce.INV


def main() -> None:
    """Read a plan again after a commit, first as one of two agents and then as one of five."""
    for agents in (2, 5):
        with Workspace(policy=PushToFew()) as workspace:
            writer, *readers = (workspace.agent(f"agent-{n}") for n in range(agents))
            writer.write("plan.md", "1. write the parser")
            for reader in readers:
                reader.read("plan.md")
            writer.write("plan.md", "1. write the parser\n2. test it")
            before = workspace.metrics()["messages"]
            for reader in readers:
                reader.read("plan.md")
            asked = workspace.metrics()["messages"] - before
            print(f"{agents} agents: {asked} messages to read the new version")


if __name__ == "__main__":
    main()
