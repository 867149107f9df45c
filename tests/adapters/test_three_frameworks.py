"""A LangGraph node, a CrewAI agent and an AutoGen agent at once, on one workspace."""

import asyncio

import pytest

from coherence.context.notices import NOTICE

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")
pytest.importorskip("crewai")
pytest.importorskip("langgraph")

# CrewAI's own classes use what CrewAI has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")


@pytest.fixture
def written(example):
    """Runs the example; the authors of the versions, without what tells stores apart."""
    return [author.partition(".")[0] for author in example("three_frameworks").main([])]


@pytest.mark.slow
def test_nobody_loses_anybodys_work(written, capsys):
    assert written[0] == "planner"
    assert sorted(written[1:]) == ["builder", "estimate", "reviewer"]


def test_a_refusal_is_heard_where_news_comes_after_it(example, workspace, monkeypatch):
    """Others write at the two moments that count: before its write, and before it is told."""
    script = example("three_frameworks")
    workspace.agent("planner").write(script.NAME, script.PLAN)
    last = []

    def builder_writes(old, new):
        workspace.agent("builder").update(script.NAME, lambda text: text.replace(old, new))

    class Between(script.CoherentModelContext):
        async def add_message(self, message):
            await super().add_message(message)
            if "Nothing was written" in str(message.content):
                builder_writes("build: open", "build: done")

        async def get_messages(self):
            messages = await super().get_messages()
            last.append(str(messages[-1].content))
            return messages

    class Met:
        def wait(self):
            builder_writes("estimate: open", "estimate: 3 days")

    monkeypatch.setattr(script, "CoherentModelContext", Between)
    asyncio.run(script.autogen_agent(workspace, Met(), None))
    assert last[2].startswith(NOTICE), "the refusal is not the last message"
    assert "open" not in workspace.agent("judge").read(script.NAME).text
