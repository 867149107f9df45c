"""Events in AutoGen's log say what was read and what that saved."""

import asyncio
import json
import logging

import pytest

pytest.importorskip("autogen_core")

from autogen_core import EVENT_LOGGER_NAME

from coherence import Workspace
from coherence_autogen import ArtifactWorkbench, CoherentModelContext


def test_the_log_has_reads_and_versions(caplog):
    async def main(workspace):
        workbench = ArtifactWorkbench(CoherentModelContext(workspace, "bob"))
        await workbench.call_tool("read_artifact", {"name": "plan.md"})
        await workbench.call_tool("write_artifact", {"name": "new.md", "text": "new"})

    with Workspace() as workspace, caplog.at_level(logging.INFO, EVENT_LOGGER_NAME):
        workspace.agent("ann").write("plan.md", "x" * 400)
        asyncio.run(main(workspace))
        events = [
            json.loads(record.getMessage())
            for record in caplog.records
            if record.name == EVENT_LOGGER_NAME and '"type":"Artifact"' in record.getMessage()
        ]
        assert [(each["coherence"], each["ref"], each["tokens"]) for each in events] == [
            ("fill", "plan.md@1", 100),
            ("publish", "new.md@1", 1),
        ]
        assert workspace.stats().total.reads == 1
