"""A LangGraph node, a CrewAI agent and an AutoGen agent at once, on one workspace."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen_ext")
pytest.importorskip("crewai")
pytest.importorskip("langgraph")

# CrewAI's own classes use what CrewAI has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")
EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def written():
    """Runs the example; the authors of the versions, without what tells stores apart."""
    for name in ("autogen_scripted", "crewai_scripted"):
        load(name)
    return [author.partition(".")[0] for author in load("three_frameworks").main([])]


def test_nobody_loses_anybodys_work(written, capsys):
    assert written[0] == "planner"
    assert sorted(written[1:]) == ["builder", "estimate", "reviewer"]
