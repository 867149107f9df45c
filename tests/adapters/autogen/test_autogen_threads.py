"""What users have reported, each shown twice: plain AutoGen has it, with the adapter it is gone."""

import asyncio

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow

PLAN = "# Plan\n" + "".join(f"- step {number}: open\n" for number in range(40))
READ = ("read_artifact", {"name": "plan.md"})


class Files:
    """Tools over a dictionary, as a user would write them."""

    def __init__(self):
        self.texts = {"plan.md": PLAN}

    async def read_artifact(self, name: str) -> str:
        """Read a file."""
        return self.texts[name]

    async def write_artifact(self, name: str, text: str) -> str:
        """Write a file."""
        self.texts[name] = text
        return "written"

    @property
    def tools(self):
        return [self.read_artifact, self.write_artifact]


def flow(agents):
    """A graph: the first agent, then all others at once."""
    graph = DiGraphBuilder()
    for agent in agents:
        graph.add_node(agent)
    for agent in agents[1:]:
        graph.add_edge(agents[0], agent)
    return GraphFlow(participants=graph.get_participants(), graph=graph.build())


def rewriting(number, meet):
    """Reads; once both have, writes the plan with its own step done."""

    def done(text):
        return text.replace(f"step {number}: open", f"step {number}: done")

    async def write(messages):
        await meet.wait()
        return ("write_artifact", {"name": "plan.md", "text": done(PLAN)})

    return [READ, write], done


def test_nodes_of_a_graph_that_run_at_once_lose_each_others_work(player, workspace, play, example):
    """microsoft/autogen#6333, #6541: side effects on shared state of nodes in no defined order.

    Also anthropics/claude-code#43138: a later agent wrote an old version back.
    """
    script = example("autogen_scripted")
    files = Files()
    meet = asyncio.Barrier(2)
    plain = [AssistantAgent("start", script.model(None, ["go"]))]
    for name, number in (("ann", 3), ("bob", 30)):
        turns, _ = rewriting(number, meet)
        client = script.model(None, [*turns, "done"])
        plain.append(AssistantAgent(name, client, tools=files.tools, max_tool_iterations=5))
    play(flow(plain).run(task="go"))
    assert files.texts["plan.md"].count("done") == 1, "one of two is lost, and nobody was told"

    workspace.agent("planner").write("plan.md", PLAN)
    meet = asyncio.Barrier(2)

    def retried(done):
        def turn(messages):
            if "Nothing was written" not in script.answers(messages)[-1]:
                return "done"
            text = workspace.agent("judge").read("plan.md").text
            return ("write_artifact", {"name": "plan.md", "text": done(text)})

        return turn

    coherent = [player(workspace, "start", ["go"])]
    for name, number in (("ann", 3), ("bob", 30)):
        turns, done = rewriting(number, meet)
        coherent.append(player(workspace, name, [*turns, retried(done), "done"]))
    play(flow([each.agent for each in coherent]).run(task="go"))
    assert workspace.agent("judge").read("plan.md").text.count("done") == 2


def test_every_look_costs_the_whole_text_again(player, workspace, play, example):
    """microsoft/autogen#1070, #4648: prompts that grow with every turn, beyond need."""
    script = example("autogen_scripted")
    turns = [READ] * 8 + ["done"]
    client = script.model(None, turns)
    files = Files()
    plain = AssistantAgent(
        "coder", client, tools=files.tools, max_tool_iterations=20, system_message=None
    )
    play(plain.run(task="go"))
    workspace.agent("planner").write("plan.md", PLAN)
    coder = player(workspace, "coder", turns)
    play(coder.run())
    assert script.texts(client.prompts[-1][-1])[0] == PLAN
    assert sum(text == PLAN for m in client.prompts[-1] for text in script.texts(m)) == 8
    assert coder.prompts[-1].count("step 7: open") == 1
    assert script.spent(coder.client) < script.spent(client) / 2


def test_the_team_of_the_example_does_the_same_work_for_less(example):
    before, after = example("autogen_team").main([])
    assert after.plan == before.plan
    assert after.prompt_tokens < 0.6 * before.prompt_tokens
