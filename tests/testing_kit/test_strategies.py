"""Examples that Hypothesis draws: valid, varied, and explored."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from coherence import BadArgument, Workspace
from coherence.testing import ExplorationVerdict, Found, explore, strategies
from coherence.testing.strategies import AgentCall

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@given(strategies.names(), strategies.contents())
def test_names_and_contents_are_those_that_a_workspace_takes(name, content):
    with Workspace() as workspace:
        workspace.agent("ann").write(name, content)
        view = workspace.agent("bob").read(name)
        assert view.content == content


@given(strategies.agent_names())
def test_agents_can_have_these_names(name):
    with Workspace() as workspace:
        workspace.agent(name).write("plan.md", "")
        assert [member.agent for member in workspace.members()] == [name]


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "wanted",
    [
        lambda name: not name.isascii(),
        lambda name: " " in name,
        lambda name: name.count("/") == 2,
        lambda name: len(name) > 180,
    ],
    ids=["scripts", "spaces", "folders", "long"],
)
def test_names_of_all_kinds_come_up(wanted):
    assert wanted(find(strategies.names(), wanted))


@pytest.mark.slow
def test_no_name_holds_a_format_control_which_no_new_artifact_may():
    with pytest.raises(NoSuchExample):
        find(strategies.names(), lambda name: any(unicodedata.category(it) == "Cf" for it in name))


@pytest.mark.slow
@FEW
@given(strategies.programs())
def test_no_program_of_ordinary_calls_loses_work(program):
    result = explore(program, schedules=60)
    assert result.verdict is not ExplorationVerdict.COUNTEREXAMPLE


@pytest.mark.slow
@FEW
@given(strategies.programs(calls_max=2), strategies.fault_plans())
def test_no_fault_loses_work(program, faults):
    explore(program, schedules=40, faults=faults, find=["lost update", "deadlock"])


@pytest.mark.slow
def test_a_program_that_loses_work_is_found_and_made_small():
    calls = strategies.operations(["plan.md"], kinds=["read", "update", "overwrite"])

    def is_losing(program):
        return explore(program, raises=False, schedules=60).found is not None

    quick = settings(max_examples=300, deadline=None, database=None)
    program = find(strategies.programs(calls=calls), is_losing, settings=quick)
    kinds = sorted(call.kind for calls in program.calls.values() for call in calls)
    assert kinds in (["overwrite", "update"], ["overwrite", "overwrite"])
    with pytest.raises(Found, match="without having seen"):
        explore(program)


def test_a_program_says_what_it_does():
    program = strategies.GeneratedProgram({"ann": (AgentCall("update", "plan.md", "a"),)})
    assert repr(program) == (
        "GeneratedProgram(calls={'ann': (AgentCall(kind='update', name='plan.md', text='a'),)})"
    )
    result = explore(program)
    assert list(result.outcomes) == ["([('ann', ['plan.md@2'])], ['a'])"]


def test_an_unknown_kind_of_call_is_refused():
    with pytest.raises(BadArgument, match=r"kinds has \['shred'\] \(some of"):
        strategies.operations(kinds=["read", "shred"])
    assert isinstance(strategies.operations(), st.SearchStrategy)


@pytest.mark.slow
def test_without_hypothesis_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import coherence.testing\n"
        "try:\n    import coherence.testing.strategies\n"
        "except Exception as error:\n    print(type(error).__name__, error, error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == (
        "NoHypothesis coherence.testing.strategies needs Hypothesis (pip install hypothesis) "
        "no-hypothesis"
    )
