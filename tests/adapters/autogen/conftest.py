"""AutoGen agents that play scripts on one workspace."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


def load(name: str) -> ModuleType:
    """An example as a module, by its file's name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Player:
    """An `AssistantAgent` that plays a script at a desk of the workspace."""

    def __init__(self, workspace, name, turns, *, inner=None, context=None, **settings):
        from autogen_agentchat.agents import AssistantAgent

        from coherence_autogen import ArtifactWorkbench, CoherentModelContext

        self.client = load("autogen_scripted").model(None, turns)
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
        texts = load("autogen_scripted").texts
        return ["\n".join(text for m in p for text in texts(m)) for p in self.client.prompts]


@pytest.fixture
def workspace():
    from coherence import Workspace

    with Workspace("memory://") as opened:
        yield opened


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


@pytest.fixture
def example():
    """Gives an example as a module, by its file's name."""
    load("autogen_scripted")  # which the others import
    return load
