"""Agents of Agent Framework on one workspace, and their tools without a model."""

import asyncio

import pytest

UNATTENDED = {"disable_readonly_tool_approval": True, "disable_write_tool_approval": True}


def run(awaited):
    return asyncio.run(awaited)


class Caller:
    """The tools of one agent in one session, called as a model would, each in a run of its own."""

    def __init__(self, files, agent="coder", session="s") -> None:
        from agent_framework import Agent, AgentSession
        from agent_framework_scripted import Script

        self.files = files
        self.agent = Agent(Script("done"), name=agent, context_providers=[files])
        self.session = AgentSession(session_id=session)

    def __getattr__(self, tool):
        def call(*given, **named):
            return run(self.call(f"file_access_{tool}", *given, **named))

        return call

    async def call(self, name, *given, **named):
        (tool,) = [tool for tool in await self.tools() if tool.name == name]
        if given:  # not in several threads at once, which pydantic cannot do for one schema
            named |= zip(tool.parameters()["properties"], given, strict=False)
        answer = await tool.invoke(arguments=named)
        return "".join(content.text for content in answer)

    async def tools(self):
        from agent_framework import SessionContext

        context = SessionContext(session_id=self.session.session_id, input_messages=[])
        await self.files.before_run(
            agent=self.agent, session=self.session, context=context, state={}
        )
        return context.tools


@pytest.fixture
def files(workspace):
    from coherence_agent_framework import CoherentFileAccess

    return CoherentFileAccess(workspace, **UNATTENDED)


@pytest.fixture
def stock():
    """The framework's own, for what it does in the same place."""
    from agent_framework import FileAccessProvider, InMemoryAgentFileStore

    return FileAccessProvider(InMemoryAgentFileStore(), **UNATTENDED)


@pytest.fixture
def caller():
    return Caller


@pytest.fixture
def unattended():
    return UNATTENDED
