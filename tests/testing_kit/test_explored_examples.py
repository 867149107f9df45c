"""Every adapter's example of lost work: found in the plain form, and none in ours, in every order.

The table of docs/testing.md is compared with what is counted here.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import explored_examples as examples

from coherence.testing import ExplorationVerdict, LostUpdate, explore

#: CrewAI's own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

GUIDE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
PROOF, UNDETERMINED = ExplorationVerdict.PROOF, ExplorationVerdict.UNDETERMINED


class Case(NamedTuple):
    """One example: what it needs, and what is counted."""

    make: object
    needs: tuple[str, ...]
    #: The schedule in which the plain form fails, and switches there between the two agents; None
    #: where the example has no plain form, or loses nothing.
    found: tuple[int, int] | None
    #: The schedules of the coherent form, all played.
    proved: int
    by: type[Exception] = LostUpdate
    verdict: ExplorationVerdict = PROOF
    slow: bool = False
    #: For `explore`; with a bound, `proved` are the schedules within it.
    settings: Mapping[str, object] = MappingProxyType({})


LANGGRAPH, DEEPAGENTS = ("langgraph", "langchain"), ("deepagents", "langgraph", "langchain")
ALL_THREE = (*LANGGRAPH, "crewai", "autogen_agentchat", "autogen_ext")
CASES = {
    "docs/adapters/langgraph.md": Case(partial(examples.page, "langgraph"), LANGGRAPH, (1, 2), 22),
    "langgraph_team.py": Case(examples.langgraph_team, LANGGRAPH, (1, 2), 20, slow=True),
    "docs/adapters/crewai.md": Case(
        partial(examples.page, "crewai"), ("crewai",), (1, 2), 72, slow=True
    ),
    "crewai_flow_state.py": Case(
        examples.crewai_flow_state, ("crewai",), (1, 1), 2, verdict=UNDETERMINED, slow=True
    ),
    "docs/adapters/autogen.md": Case(
        partial(examples.page, "autogen"), ALL_THREE[3:], (1, 3), 1, AssertionError
    ),
    "autogen_team.py": Case(examples.autogen_team, ALL_THREE[3:], None, 18, slow=True),
    "docs/adapters/agent-framework.md": Case(
        partial(examples.page, "agent-framework"), ("agent_framework",), (1, 0), 1, AssertionError
    ),
    "agent_framework_files.py": Case(
        examples.agent_framework_files, ("agent_framework",), (1, 0), 1, AssertionError
    ),
    "docs/adapters/deepagents.md": Case(
        partial(examples.page, "deepagents"), DEEPAGENTS, (1, 2), 2, AssertionError, slow=True
    ),
    "deepagents_team.py": Case(examples.deepagents_team, DEEPAGENTS, (1, 2), 22, slow=True),
    "deepagents_files.py: two subagents": Case(
        examples.deepagents_files("two_subagents"), DEEPAGENTS, (1, 0), 1, AssertionError, slow=True
    ),
    "deepagents_files.py: a restart": Case(
        examples.deepagents_files("after_a_restart"),
        DEEPAGENTS,
        (1, 0),
        1,
        AssertionError,
        slow=True,
    ),
    "deepagents_files.py: a compaction": Case(
        examples.deepagents_files("after_a_compaction"),
        DEEPAGENTS,
        (1, 0),
        1,
        AssertionError,
        slow=True,
    ),
    "deepagents_files.py: edits of threads": Case(
        examples.deepagents_edits, DEEPAGENTS, (3, 2), 1, slow=True
    ),
    "guarded_files.py": Case(
        examples.guarded_files,
        (),
        (3, 2),
        596,
        slow=True,
        settings={"find": ("deadlock", "error"), "seconds": 600},
    ),
    "lost_update.py": Case(examples.lost_update, (), (3, 2), 2),
    "stale_write.py": Case(examples.whole("stale_write"), (), None, 2),
    "write_skew.py": Case(examples.write_skew, (), (1, 2), 2, AssertionError),
    "false_unchanged.py": Case(examples.whole("false_unchanged"), (), None, 1),
}


def kept_both(program):
    def checked(team):
        kept = program(team)
        assert kept == 2, f"{kept} of 2 are kept"
        return kept

    return checked


def switches_between(token):
    """How often another of the agents goes on, apart from the program around them."""
    names = [word.partition("*")[0] for word in token.split()]
    agents = [name for name in names if name != "main"]
    if len({name.partition(".")[0] for name in agents}) > 1:  # with the tasks of each
        agents = [name.partition(".")[0] for name in agents]
    if len(set(agents)) > 2:  # and apart from the one that prepares
        agents = [agent for agent in agents if agent != agents[0]]
    return sum(one != other for one, other in pairwise(agents))


@pytest.fixture
def case(request, caplog):
    caplog.set_level(logging.CRITICAL)
    found = CASES[request.param]
    for package in found.needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            __import__(package)
    return found


def marked(names):
    return [pytest.param(n, marks=[pytest.mark.slow] * CASES[n].slow) for n in names]


@pytest.mark.parametrize("case", marked(n for n in CASES if CASES[n].found), indirect=True)
def test_the_plain_form_loses_work(case):
    found = explore(kept_both(case.make("plain")), raises=False, seconds=60).found
    assert isinstance(found.cause, case.by)
    assert (found.result.schedules, switches_between(found.token)) == case.found


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("case", marked(CASES), indirect=True)
def test_the_coherent_form_loses_nothing(case):
    settings = {"bound": None, "seconds": 60, **case.settings}
    for _ in range(1 if case.slow else 3):
        result = explore(kept_both(case.make("ours")), **settings)
        assert (result.verdict, result.preemptions) == (case.verdict, settings["bound"]), result
        assert result.exhaustive == (settings["bound"] is None)
        assert (result.schedules, set(result.outcomes)) == (case.proved, {"2"})


@pytest.mark.slow
def test_three_frameworks_at_once_lose_nothing(caplog):
    for package in ("langgraph", "crewai", "autogen_agentchat", "autogen_ext"):
        pytest.importorskip(package)
    caplog.set_level(logging.CRITICAL)
    program = kept_both(examples.three_frameworks)
    result = explore(program, bound=0, beyond=False, schedules=20, seconds=60)
    assert set(result.outcomes) == {"2"}


def test_the_guide_has_these_counts():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", GUIDE, flags=re.MULTILINE)
    told = {name.replace("`", ""): (plain, ours) for name, plain, ours in rows}
    for name, case in CASES.items():
        page = re.sub(r"docs/(adapters/(.+)[.]md)", r"[\2](\1)", name)
        plain, ours = told[page]
        assert plain == ("{}, {}".format(*case.found) if case.found is not None else "-")
        assert ours.split(",")[0] == str(case.proved)
        assert ("undetermined" in ours) == (case.verdict is UNDETERMINED)
