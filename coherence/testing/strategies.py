"""Hypothesis strategies for teams: names, contents, operations, whole programs, faults.

::

    from hypothesis import given
    from coherence.testing import explore
    from coherence.testing.strategies import programs

    @given(programs())
    def test_no_team_loses_work(program):
        explore(program, schedules=50)

Generate programs and faults; the schedules are the work of `explore`, which is deterministic.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from coherence.conflict import Conflict
from coherence.errors import BadArgument, InvalidName, UnknownArtifact
from coherence.refs import AGENT_CHARS_MAX, NAME_CHARS_MAX, check_agent, check_name
from coherence.testing.faults import AT_MOMENTS, AT_MOVES
from coherence.testing.team import ExploredTeam
from coherence.workspace.agent import Agent
from message_passing.errors import EnvironmentFault


class NoHypothesis(EnvironmentFault):
    """Hypothesis, which draws the examples, is not installed."""

    remedy = "pip install hypothesis"


try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError as error:
    raise NoHypothesis("coherence.testing.strategies needs Hypothesis") from error

#: What an agent of a generated program does to an artifact, without losing work of another agent.
KINDS = ("read", "write", "update", "edit", "delete")
#: Does lose it.
LOSING = "overwrite"
#: Few names, so that agents meet.
FEW = ("plan.md", "notes/plan.md")


# Names and contents


def names() -> SearchStrategy[str]:
    """Names that artifacts can have: short and long, nested, in any script."""
    return _names(NAME_CHARS_MAX, check_name)


def agent_names() -> SearchStrategy[str]:
    """Names that agents can have."""
    return _names(AGENT_CHARS_MAX, check_agent)


def _names(most: int, check: Callable[[object], str]) -> SearchStrategy[str]:
    def is_valid(name: str) -> bool:
        try:
            check(name)
        except InvalidName:
            return False
        return True

    letters = st.characters(
        exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters='/@\\:*?"<>|'
    )
    parts = st.text(letters, min_size=1, max_size=12).map(
        lambda part: unicodedata.normalize("NFC", part).strip(" .")
    )
    long = st.integers(most // 2, most).map(lambda size: ("deep/" * most)[:size].strip("/"))
    paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
    return (st.sampled_from(FEW) | paths | long).filter(is_valid)


def contents(*, max_size: int = 200) -> SearchStrategy[str | bytes]:
    """Contents that artifacts can have: text in any script, lines, and bytes."""
    characters = st.characters(exclude_categories=["Cs"])
    text = st.text(characters, max_size=max_size)
    lines = st.lists(st.text(characters, max_size=20)).map("\n".join)
    return text | lines.map(lambda joined: joined[:max_size]) | st.binary(max_size=max_size)


# Programs


@dataclass(frozen=True)
class AgentCall:
    """One call of an agent; it returns in a few words what came of it."""

    kind: str
    name: str
    text: str = ""

    def __call__(self, agent: Agent) -> str:
        """Make the call.  A refusal is an outcome too."""
        try:
            return str(getattr(self, f"_{self.kind}")(agent))
        except (Conflict, UnknownArtifact) as refused:
            return refused.code

    def _read(self, agent: Agent) -> str:
        return agent.read(self.name).text

    def _write(self, agent: Agent) -> str:
        return str(agent.write(self.name, self.text))

    def _update(self, agent: Agent) -> str:
        return str(agent.update(self.name, lambda text: text + self.text).ref)

    def _edit(self, agent: Agent) -> str:
        with agent.edit(self.name) as draft:
            draft.text += self.text
        return "edited"

    def _delete(self, agent: Agent) -> str:
        return str(agent.delete(self.name))

    def _overwrite(self, agent: Agent) -> str:
        before = agent.read(self.name).text
        return str(agent.write(self.name, before + self.text, overwrite=True))


def operations(
    artifacts: Sequence[str] = FEW, *, kinds: Sequence[str] = KINDS
) -> SearchStrategy[AgentCall]:
    """Calls of an agent on these artifacts; `kinds` may have "overwrite", which loses work."""
    if unknown := sorted(set(kinds) - {*KINDS, LOSING}):
        raise BadArgument(f"kinds has {unknown}", remedy=f"some of {[*KINDS, LOSING]}")
    return st.builds(
        AgentCall,
        st.sampled_from(tuple(kinds)),
        st.sampled_from(tuple(artifacts)),
        st.sampled_from("abc"),
    )


@dataclass(frozen=True)
class GeneratedProgram:
    """What each agent calls, one call after the other; give it to `explore`."""

    calls: dict[str, tuple[AgentCall, ...]]

    def __call__(self, team: ExploredTeam) -> tuple[object, ...]:
        """Run the agents, and return what came of each call and the texts at the end."""
        artifacts = sorted({call.name for calls in self.calls.values() for call in calls})
        for name in artifacts:
            team.agent("setup").write(name, "")

        def work(name: str) -> Callable[[], list[str]]:
            agent = team.agent(name)
            return lambda: [call(agent) for call in self.calls[name]]

        done = team.run(**{name: work(name) for name in self.calls})
        left = [AgentCall("read", name)(team.agent("setup")) for name in artifacts]
        return sorted(done.items()), left


def programs(
    agents: Sequence[str] = ("ann", "bob"),
    calls: SearchStrategy[AgentCall] | None = None,
    *,
    calls_max: int = 3,
) -> SearchStrategy[GeneratedProgram]:
    """Programs of `agents`, each with 1 to `calls_max` calls."""
    each: SearchStrategy[Any] = st.lists(
        operations() if calls is None else calls, min_size=1, max_size=calls_max
    ).map(tuple)
    return st.fixed_dictionaries(dict.fromkeys(agents, each)).map(GeneratedProgram)


def fault_plans() -> SearchStrategy[tuple[str, ...]]:
    """What may go wrong beside a program, for the `faults` of `explore`."""
    return st.lists(st.sampled_from((*AT_MOVES, *AT_MOMENTS)), unique=True).map(tuple)
