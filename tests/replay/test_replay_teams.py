"""A team that does the work of a history: whose a change is, and what is read for it."""

from __future__ import annotations

import shutil

import pytest

from coherence.simulate.experiments import prices
from coherence.simulate.experiments.billing import Prompting
from coherence.simulate.experiments.workload import OUTSIDE
from coherence.simulate.replay import pricing
from coherence.simulate.replay.counting import counter
from coherence.simulate.replay.errors import EmptyHistory, OneAuthor
from coherence.simulate.replay.git import Repository
from coherence.simulate.replay.history import History
from coherence.simulate.replay.naming import Places, names
from coherence.simulate.replay.reading import read
from coherence.simulate.replay.teams import Team, workload

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def history(folder) -> History:
    return read(Repository(folder), counter("estimate"), name="test", command="none")


def agents(found: History, **team: object) -> list[int]:
    made = workload(found, Team(cuts=0.0, reads=0, **team))
    return [turn.agent for turn in made.turns]


@pytest.fixture
def busy(made, text):
    """Nine commits of three authors, with a long pause after the fifth."""
    for number, author in enumerate("aababcaaa"):
        made.commit(author=author, minutes=1 if number != 5 else 31, a__txt=text(number + 3))
    return history(made.folder)


def test_an_author_is_always_the_same_agent(busy):
    # The most active author first, each to the agent with the least to do.
    assert agents(busy, by="author", agents=2) == [0, 0, 1, 0, 1, 1, 0, 0, 0]
    assert agents(busy, by="author", agents=9) == [0, 0, 1, 0, 1, 2, 0, 0, 0]


@pytest.mark.slow
def test_a_burst_ends_with_a_pause(busy):
    assert agents(busy, by="burst", agents=3) == [0] * 5 + [1] * 4
    assert agents(busy, by="burst", agents=3, pause_s=59) == [0, 1, 2] * 3


@pytest.mark.slow
def test_in_a_window_the_agents_work_side_by_side(busy):
    made = workload(busy, Team(by="window", agents=4, cuts=0.0, reads=0))
    assert [turn.agent for turn in made.turns] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert [turn.step for turn in made.turns] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_one_author_is_no_team(made):
    made.commit(a__txt="one\n")
    made.commit(a__txt="two\n")
    found = history(made.folder)
    with pytest.raises(OneAuthor, match="use --by burst or --by window"):
        workload(found, Team())
    assert agents(found, by="burst") == [0, 0]


def test_large_commits_and_deletions_are_not_an_agents(made):
    made.commit(author="bob", **{f"f{number}__txt": "x\n" for number in range(5)})
    made.git("rm", "-q", "f0.txt")
    made.commit()
    made.commit(f1__txt="y\n")
    found = history(made.folder)
    assert agents(found, by="window", agents=2, bulk=4) == [OUTSIDE] * 6 + [1]
    large = found._replace(revisions=found.revisions[:1])
    with pytest.raises(EmptyHistory, match="raise --bulk"):
        workload(large, Team(by="window", bulk=4))


@pytest.mark.slow
def test_a_creation_reads_nothing_of_itself_and_writes_are_whole(busy):
    made = workload(busy, Team(agents=2, reads=0))
    assert made.created == {0}
    assert made.contents.edit(0, 1) == made.contents.text(0, 1)
    assert 0 < made.contents.edit(0, 2) < made.contents.text(0, 2)


# What is read


@pytest.fixture
def project(made):
    made.write("app/core.py", "x = 1\n")
    made.write("app/util.py", "y = 1\n")
    made.write("docs/a.md", "a\n")
    made.commit(author="bob")
    made.write("app/main.py", "from .core import x\nimport os\n")
    made.commit(author="ann")
    return history(made.folder)


def read_by_last(found: History, **team: object) -> set[str]:
    paths = {c.file: c.path.decode() for r in found.revisions for c in r.changes if c.path}
    return {
        paths[artifact]
        for seed in range(20)
        for artifact, is_write in workload(found, Team(reads=1, **team), seed).turns[-1].accesses
        if not is_write
    }


def test_readers_follow_the_stated_model(project):
    assert read_by_last(project, readers=("imports",)) == {"app/core.py"}
    assert read_by_last(project, readers=("directory",)) == {"app/core.py", "app/util.py"}
    everything = {"app/core.py", "app/util.py", "docs/a.md"}
    assert read_by_last(project, readers=("recent",)) == everything
    assert read_by_last(project) == everything


def test_the_same_seed_reads_the_same(project):
    team = Team(cuts=0.5)
    assert workload(project, team, 3).turns == workload(project, team, 3).turns
    drawn = {tuple(workload(project, team, seed).turns) for seed in range(10)}
    assert len(drawn) > 1


def test_no_call_reads_twice_or_what_it_writes(project):
    for seed in range(20):
        for turn in workload(project, Team(reads=9), seed).turns:
            artifacts = [artifact for artifact, _ in turn.accesses]
            assert len(set(artifacts)) == len(artifacts)


@pytest.mark.parametrize(
    ("kind", "line", "meant"),
    [
        ("python", "from ..net.url import parse, join", "src/net/url.py"),
        ("python", "from app import util", "src/app/util.py"),
        ("python", "import net.url as url, os", "src/net/url.py"),
        ("python", "from net import other", "src/net/__init__.py"),
        ("script", "import { x } from '../net/url'", "src/net/url.py"),
        ("script", "const y = require('./util.js')", "src/app/util.py"),
        ("script", "} from './util'", "src/app/util.py"),
        ("include", '#include "net/url.h"', "src/net/url.py"),
        ("rust", "pub(crate) mod util;", "src/app/util.py"),
        ("link", "see [the page](../net/url.md#top)", "src/net/url.py"),
        ("link", ".. include:: util.rst", "src/app/util.py"),
        ("link", ":doc:`the tool <util>`", "src/app/util.py"),
        ("python", "import os", None),
        ("python", "# from app import util", None),
        ("script", "import x from 'https://example.org/util.js'", None),
        ("link", "[out](../../../../util)", None),
        ("", "from app import util", None),
    ],
)
def test_a_name_means_the_nearest_file(kind, line, meant):
    files = [
        "src/app/main.py",
        "src/app/util.py",
        "src/net/url.py",
        "src/net/__init__.py",
        "old/util.py",
    ]
    places = Places()
    for number, path in enumerate(files):
        places.add(number, path.encode())
    found = places.resolve(0, names(kind, line))
    assert [files[number] for number in found if meant or number][-1:] == ([meant] if meant else [])


# What it costs


@pytest.mark.slow
def test_every_strategy_is_priced_beside_the_references(busy):
    made = [workload(busy, Team(agents=2, reads=0), seed) for seed in (1,)]
    model = prices.shipped()["claude-opus-5"]
    rows = pricing.priced(
        "test", made, 1, [model], pricing.DEFAULT_STRATEGIES, "conditional_get", Prompting()
    )
    assert [row.strategy for row in rows] == list(pricing.DEFAULT_STRATEGIES)
    by_name = {row.strategy: row for row in rows}
    assert by_name["conditional_get"].saved_bill.value == 0
    for row in rows:
        if not row.strategy.startswith("slot"):
            assert row.above_of_floor.value >= row.above_of_append_only.value >= 1
    assert by_name["lazy"].stale_reads_mean == 0


@pytest.mark.slow
def test_agents_side_by_side_read_what_is_outdated(made, text):
    made.commit(a__txt=text(3))
    for number in range(12):
        made.commit(a__txt=text(4 + number), author="ann" if number % 2 else "bob")
    found = history(made.folder)
    model = prices.shipped()["none"]
    made_ = [workload(found, Team(by="window", agents=3, cuts=0.0), 1)]
    (row,) = pricing.priced("test", made_, 1, [model], ("lazy",), "lazy", Prompting())
    assert row.stale_reads_mean is not None
    assert row.saved_bill.value == 0
