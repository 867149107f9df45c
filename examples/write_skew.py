"""Write skew: two agents read the same two artifacts, and each writes another one of them.

python examples/write_skew.py
"""

from collections.abc import Callable
from threading import Barrier, Thread

from coherence import Conflicts, Workspace
from coherence.workspace.agent import Agent
from coherence.workspace.transaction import AgentTransaction

NAMES = ("ann", "bob")
ON_CALL, OFF = "on call\n", "off\n"


def team(workspace: Workspace) -> tuple[Agent, Agent]:
    """Two agents, both on call.  One of the two has to be."""
    ann, bob = (workspace.agent(name) for name in NAMES)
    ann.write("ann.md", ON_CALL)
    bob.write("bob.md", ON_CALL)
    return ann, bob


def on_call(reader: Agent | AgentTransaction) -> list[str]:
    """The agents on call."""
    return [name for name in NAMES if reader.read(f"{name}.md").text == ON_CALL]


def without() -> None:
    """Each write is compared with its own artifact, but the rule is about both."""
    with Workspace() as workspace:
        ann, bob = team(workspace)
        ann_sees, bob_sees = on_call(ann), on_call(bob)
        if len(ann_sees) > 1:
            ann.write("ann.md", OFF)
        if len(bob_sees) > 1:
            bob.write("bob.md", OFF)  # derived from the newest bob.md, so it is accepted
        print(f"on call: {on_call(ann)}")


def within() -> None:
    """A transaction stands only if everything that it has read is still so."""
    with Workspace() as workspace:  # or "sqlite:///team.db", across processes
        ann, bob = team(workspace)
        try:
            with ann.transaction() as first, bob.transaction() as second:
                ann_sees, bob_sees = on_call(first), on_call(second)
                if len(ann_sees) > 1:
                    first.write("ann.md", OFF)
                if len(bob_sees) > 1:
                    second.write("bob.md", OFF)
        except Conflicts as refused:
            print(refused.summary)
        print(f"on call: {on_call(ann)}")


PLAN, API = "1. call parse()\n", "def parse(): ...\ndef tokens(): ...\n"


def use_tokens(plan: str, api: str) -> tuple[str, str]:
    """The planner plans with a function of the interface."""
    return ("plan.md", plan + "2. call tokens()\n") if "tokens" in api else ("plan.md", plan)


def drop_tokens(plan: str, api: str) -> tuple[str, str]:
    """The coder drops a function that the plan does not need."""
    return ("api.md", api) if "tokens" in plan else ("api.md", "def parse(): ...\n")


def plan_and_interface(run: Callable[..., object]) -> None:
    """Both read plan and interface; one writes the plan, the other one the interface."""
    with Workspace() as workspace:
        planner, coder = workspace.agent("planner"), workspace.agent("coder")
        planner.write("plan.md", PLAN)
        coder.write("api.md", API)
        both_have_read, calls = Barrier(2, timeout=30), []
        jobs = ((planner, use_tokens), (coder, drop_tokens))

        def work(agent: Agent, job: Callable[[str, str], tuple[str, str]]) -> None:
            def once(store: Agent | AgentTransaction) -> None:
                plan, api = store.read("plan.md").text, store.read("api.md").text
                calls.append(agent.name)
                if calls.count(agent.name) == 1:
                    both_have_read.wait()
                store.write(*job(plan, api))

            run(agent, once)

        threads = [Thread(target=work, args=each) for each in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        plan, api = planner.read("plan.md").text, planner.read("api.md").text
        lost = "tokens" in plan and "tokens" not in api
        print(f"calls: {len(calls)}, plan and interface fit: {not lost}")


def plainly(agent: Agent, function: Callable[[Agent], None]) -> None:
    """Reads and a write, each by itself."""
    function(agent)


if __name__ == "__main__":
    print("With single writes neither is on call:\n")
    without()
    print("\nIn transactions the one that commits later is refused:\n")
    within()
    print("\nA plan and an interface, with single writes:\n")
    plan_and_interface(plainly)
    print("\nWith transact(), which calls the function again:\n")
    plan_and_interface(Agent.transact)
