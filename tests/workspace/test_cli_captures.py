"""What the commands show on terminals of 80 columns and more: nothing wraps, no version is cut."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from coherence import Lazy, Workspace, cli_status
from coherence.cli import app
from coherence.cli_text import ago, cut, fitted, moment
from coherence.errors import BadArgument
from coherence.stores.records import RefusedWrite

LONG = "src/engine/versions/table_of_everything.py"
DETAIL = "docs/section-07/engineering/detail.md"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The store of a team at work: two grants, a refused write, many copies."""
    url = f"sqlite:///{tmp_path_factory.mktemp('team')}/team.db"
    names = ("planner", "coder", "reviewer", *(f"agent-{n:02}" for n in range(9)))
    with Workspace(url, policy=Lazy(grant_lease=3000.0)) as workspace:
        agents = {name: workspace.agent(name) for name in names}
        agents["planner"].write("plan.md", "# Plan\n- parse\n")
        agents["coder"].update(
            "plan.md", lambda text: text + "- test " + "and test again " * 6 + "\n"
        )
        agents["coder"].write(LONG, "x = 1\n")
        agents["planner"].write(DETAIL, "detail\n")
        for agent in agents.values():
            agent.read(DETAIL)
        workspace._site.store.refuse(
            RefusedWrite(DETAIL, "reviewer", 0.0, 0, 1, "conflict", "in haste", 3, "+x\n"), 9
        )
        with agents["coder"].edit("plan.md") as plan, agents["reviewer"].edit(LONG) as table:
            yield url
            plan.discard()
            table.discard()


def shown(url, columns, *words, **env):
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm"}
    done = CliRunner(env=terminal | env).invoke(app, [words[0], "--store", url, *words[1:]])
    assert done.exit_code == 0, done.output
    return done.stdout


def plain(text):
    """The text of a capture, with other times."""
    lines = _WRITTEN.sub("2026-11-29 10:00:00", _ANSI.sub("", text)).splitlines()
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in lines) + "\n"


STATUS = """\
contested  held by  lease ends  refused
docs/section-07/engineering/detail.md@1  1
src/engine/versions/table_of_everything.py@1  reviewer  TIME
plan.md@2  coder  TIME

artifact  state  bytes  by  written  copies
docs/section-07/en…/detail.md@1  S  7  planner  TIME  agent-00 +11
src/engine/vers…everything.py@1  M  6  coder  TIME  coder, reviewer
plan.md@2  M  113  coder  TIME  coder

3 artifacts, 12 agents, 2 held, 1 refused
Joined: agent-00, agent-01, agent-02, agent-03, agent-04, agent-05, agent-06,
agent-07, agent-08, coder, planner, reviewer
States: M grant held, E one copy, S copies, I none known, S_A commit under way.
"""

BLAME = """\
version  by  written  line  text
@1  planner  2026-11-29 10:00:00  1  # Plan
@1  planner  2026-11-29 10:00:00  2  - parse
@2  coder  2026-11-29 10:00:00  3  - test and test again and test
  again and test again and test again
  and test again and test again
"""

LOG = """\
written  version  by  bytes  lines
2026-11-29 10:00:00  plan.md@1  planner  15  +2 -0
2026-11-29 10:00:00  plan.md@2  coder  113  +1 -0
"""

REFUSED = """\
2026-11-29 10:00:00  docs/section…/detail.md  reviewer  conflict: from nothing, current @1
"""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("status",), STATUS),
        (("blame", "plan.md"), BLAME),
        (("log", "plan.md", "--stat"), LOG),
    ],
)
def test_a_capture_at_80_columns(url, words, wanted, monkeypatch):
    monkeypatch.setattr(cli_status, "ago", lambda at, now: "TIME")
    assert plain(shown(url, 80, *words)) == wanted


@pytest.mark.parametrize("columns", [80, 100, 120])
@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--watch", "--count", "1"),
        ("status", "docs/*", "--agent", "agent-03"),
        ("log",),
        ("log", "--stat"),
        ("log", "--refused"),
        ("blame", "plan.md"),
        ("watch", "--since", "0", "--count", "4"),
    ],
)
def test_nothing_is_wider_than_the_terminal(url, columns, words):
    lines = _ANSI.sub("", shown(url, columns, *words)).replace("\r", "\n").splitlines()
    assert max(map(cell_len, lines)) <= columns
    cut_off = [line for line in lines if "…" in line and words != ("log", "--refused")]
    assert all(re.search(r"…\S*@\d+\b", line) for line in cut_off), "each version is shown"


def test_a_pipe_has_whole_names_and_no_colours(url):
    for words in (("status",), ("log",), ("blame", "plan.md")):
        text = shown(url, 80, *words, FORCE_COLOR="", TERM="dumb")
        assert "…" not in text
        assert "\x1b" not in text
    assert f"{DETAIL}@1" in shown(url, 80, "status", FORCE_COLOR="")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (-0.5, "now"),
        (-59, "59 s ago"),
        (-61, "1 min ago"),
        (-7200, "2 h ago"),
        (-3 * 86_400, "3 d ago"),
        (0.4, "in 1 s"),
        (12.9, "in 12 s"),
        (300, "in 5 min"),
    ],
)
def test_times_are_relative(seconds, words):
    assert ago(1000.0 + seconds, 1000.0) == words


def test_a_moment_is_a_span_or_a_date():
    assert moment("30min", 10_000.0) == 10_000.0 - 1800
    assert moment("2h", 10_000.0) == 10_000.0 - 7200
    assert moment("1.5 d", 0.0) == -1.5 * 86_400
    assert moment("2026-11-29", 0.0) < moment("2026-11-29 10:00", 0.0)
    for bad in ("soon", "", "5 years", "2026-13-01", "-3h"):
        with pytest.raises(BadArgument):
            moment(bad, 0.0)


def test_a_version_is_never_cut():
    assert cut(f"{DETAIL}@12", 30) == "docs/section-07/…/detail.md@12"
    assert cut(f"{DETAIL}@12", 6) == "do…@12"
    assert cut("an.agent@a.long.name", 12) == "an.ag…g.name"


def test_columns_are_left_out_before_names_are_unreadable():
    table = fitted(
        ("name", "more", "empty", "last"),
        [["n" * 40, "m" * 30, "", "end"]],
        names=("name",),
        optional=("more",),
        width=40,
    )
    assert [column.header for column in table.columns] == ["name", "last"]
