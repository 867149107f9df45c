"""A LangGraph node, a CrewAI agent and an AutoGen agent at once, on one workspace."""

import pytest

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


def test_nobody_loses_anybodys_work(written, capsys):
    assert written[0] == "planner"
    assert sorted(written[1:]) == ["builder", "estimate", "reviewer"]
