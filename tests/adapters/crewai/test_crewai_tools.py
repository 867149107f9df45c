"""The tools in real crews: what a model reads, and CrewAI's guards against repetition."""

import pytest

pytest.importorskip("crewai")

READ = ("read_artifact", {"name": "plan.md"})


@pytest.mark.parametrize("hooks", [True, False])
def test_five_identical_reads_do_not_end_a_run(team, workspace, native, results, hooks):
    workspace.agent("planner").write("plan.md", "# Plan")
    coder = team.agent("coder", [READ] * 7 + ["done"], native=native)
    assert team.run(coder, hooks=hooks).raw == "done"
    answers = results(coder)
    assert len(answers) == 7
    assert all("plan.md" in answer and "I tried reusing" not in answer for answer in answers)
