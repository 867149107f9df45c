"""AutoGen agents that play scripts on one workspace."""

import asyncio
import threading

import pytest
from scenarios import NAME, Edit, Read, Write


class Player:
    """An `AssistantAgent` that plays a script at a desk of the workspace."""

    def __init__(self, workspace, name, turns, *, inner=None, context=None, **settings):
        import autogen_scripted as scripted
        from autogen_agentchat.agents import AssistantAgent

        from coherence_autogen import ArtifactWorkbench, CoherentModelContext

        self.client = scripted.model(None, turns)
        self.context = context or CoherentModelContext(workspace, name, inner)
        settings.setdefault("max_tool_iterations", 20)
        self.agent = AssistantAgent(
            name,
            self.client,
            model_context=self.context,
            workbench=ArtifactWorkbench(self.context),
            system_message=None,
            **settings,
        )

    async def run(self, task="go"):
        """One task; what the agent answers."""
        return (await self.agent.run(task=task)).messages[-1].content

    @property
    def results(self):
        """What the tools have answered so far, as they answered it."""
        from autogen_core.models import FunctionExecutionResultMessage

        inner = self.context.inner
        return [
            result.content
            for message in inner._messages
            if isinstance(message, FunctionExecutionResultMessage)
            for result in message.content
        ]

    @property
    def prompts(self):
        """Every prompt as one text."""
        from autogen_scripted import texts

        return ["\n".join(text for m in p for text in texts(m)) for p in self.client.prompts]


@pytest.fixture
def player():
    return Player


@pytest.fixture
def play():
    """Runs coroutines together, in one event loop, to their ends."""

    def run(*work):
        async def together():
            async with asyncio.timeout(60):
                return await asyncio.gather(*work)

        return asyncio.run(together())

    return run


class ScenarioPlayer(Player):
    """An agent that plays turns of `scenarios`: its model never says which version it has."""

    def __init__(self, driver, name, turns, trims):
        from autogen_core.model_context import (
            BufferedChatCompletionContext,
            UnboundedChatCompletionContext,
        )
        from autogen_scripted import texts

        from coherence_autogen import CoherentModelContext

        class Dropping(UnboundedChatCompletionContext):
            async def get_messages(self):
                messages = await super().get_messages()
                lost = driver.lost(["\n".join(texts(m)) for m in messages])
                return [m for place, m in enumerate(messages) if place not in lost]

        inner = BufferedChatCompletionContext(4) if trims else Dropping()
        context = CoherentModelContext(driver.workspace, name, inner, **driver.informing)
        self.workspace = driver.workspace
        played = [self.played(turn) for turn in turns]
        super().__init__(driver.workspace, name, played, context=context)

    @property
    def parts(self):
        from autogen_scripted import texts

        return [["\n".join(texts(m)) for m in p] for p in self.client.prompts]

    def in_prompt(self):
        from coherence.context.evidence import survey
        from coherence_autogen.prompt import said

        return survey(said(self.messages), self.context.desk.identity)[0]

    @property
    def now(self):
        from autogen_scripted import texts

        return ["\n".join(texts(m)) for m in self.messages]

    @property
    def answers(self):
        return self.results

    def played(self, turn):
        """`turn` in the words of this framework, when it is its turn."""

        def play(messages):
            self.messages = messages
            match turn(self) if callable(turn) else turn:
                case Read(name):
                    return "read_artifact", {"name": name}
                case Write(text, anew):
                    return "write_artifact", {"name": NAME, "text": text, "new": anew}
                case Edit(old, new):
                    return "edit_artifact", {"name": NAME, "old": old, "new": new}
                case answer:
                    return answer

        return play


class Driver:
    """Players as a team of AutoGen, or each in a loop of its own."""

    partner = "langgraph"

    def __init__(self, workspace):
        self.workspace, self.informing, self.lost = workspace, {}, lambda texts: ()

    def on(self, workspace):
        return Driver(workspace)

    def agent(self, name, *turns, trims=False):
        return ScenarioPlayer(self, name, turns, trims)

    def run(self, *players):
        from autogen_agentchat.conditions import MaxMessageTermination
        from autogen_agentchat.teams import RoundRobinGroupChat

        everyone = [player.agent for player in players]
        stop = MaxMessageTermination(len(players) + 1)
        asyncio.run(RoundRobinGroupChat(everyone, termination_condition=stop).run(task="go"))

    def run_at_once(self, *players):
        runs = [threading.Thread(target=asyncio.run, args=(p.run(),)) for p in players]
        for run in runs:
            run.start()
        for run in runs:
            run.join(60)


@pytest.fixture
def driver(workspace):
    return Driver(workspace)
