"""Events on CrewAI's bus say what was read and what that saved."""

import pytest

pytest.importorskip("crewai")

from crewai.events import crewai_event_bus

from coherence_crewai import artifact_tools
from coherence_crewai.events import ArtifactEvent


def test_listeners_learn_of_reads_and_refusals(workspace):
    workspace.agent("ann").write("plan.md", "one more line\n" * 30)
    read, write, *_ = artifact_tools(workspace, "bob")
    heard = []
    with crewai_event_bus.scoped_handlers():
        crewai_event_bus.on(ArtifactEvent)(lambda source, event: heard.append(event))
        read.run(name="plan.md")
        read.run(name="plan.md", have="plan.md@1")
        write.run(name="plan.md", text="mine")
        assert crewai_event_bus.flush()
    found = {(event.coherence, event.served): event for event in heard}
    assert found.keys() == {("fill", "full"), ("fill", "unchanged"), ("conflict", "")}
    assert found["fill", "unchanged"].saved > 80
    assert found["conflict", ""].ref == "plan.md@1"
    assert workspace.stats().total.conflicts == 1
