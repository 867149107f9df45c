"""The roles of docs/operations.md suffice for what the page says, and for no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coherence import Workspace
from coherence.cli import app
from coherence.errors import StoreFault

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ROLES = ("team_admin", "team_writer", "team_reader")


@pytest.fixture
def urls(postgres):
    """The address of a workspace for each role, after the page's statements."""
    (statements,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    postgres.run(statements)
    yield {role: postgres.url("team").replace("tester@", f"{role}@") for role in ROLES}
    owned = "; ".join(f"DROP OWNED BY {role}; DROP ROLE {role}" for role in ROLES)
    postgres.run(f"DROP SCHEMA team CASCADE; {owned}")


def command(*arguments: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_each_role_can_do_what_the_page_says(urls, tmp_path):
    admin, writer, reader = urls.values()
    with pytest.raises(StoreFault):
        Workspace(writer)
    Workspace(admin).close()
    with Workspace(writer) as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        with agent.edit("plan.md") as draft:
            draft.text = "two"
        agent.rename("plan.md", "notes.md")
        agent.delete("notes.md")
        agent.write("plan.md", "three")
        assert workspace.pin("plan.md@1")
        workspace.gc()
        assert workspace.check() == []
    backup = tmp_path / "backup.db"
    for line in ("status", "log", "show plan.md", "diff plan.md@1", "check"):
        command(*line.split(), "--store", reader)
    command("export", str(tmp_path / "files"), "--store", reader)
    command("backup", str(backup), "--store", reader)
    with pytest.raises(StoreFault), Workspace(reader) as workspace:
        workspace.agent("bob").read("plan.md")
    command("backup", "--restore", str(backup), "--yes", "--store", writer)
