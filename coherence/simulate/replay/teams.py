"""A team that does the work of a history: which agent makes a change, and what it reads for it.

Each changed file is one call of an agent's model, which writes that file and reads others.  What is
read is not in a history; the model of it is stated here, and drawn from a seed:

* *imports*: a file that the text names, as `naming` finds it;
* *directory*: a file of the same folder, the ones that changed last most often;
* *recent*: a file that the team changed last.

A read is of a kind that has any file, each as likely as the other.  The file of rank r among those
changed last is read with a weight of 1 / r.  Deletions, and commits of more than `Team.bulk` files,
are taken for the work of a program, outside the team: no agent reads so many texts to change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import islice
from random import Random
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from coherence.simulate.experiments.workload import OUTSIDE, Access, Turn, Workload
from coherence.simulate.replay.errors import EmptyHistory, OneAuthor
from coherence.simulate.replay.history import MEASURES, FileChange, History, RealContents

By: TypeAlias = Literal["author", "burst", "window"]
Readers: TypeAlias = Literal["imports", "directory", "recent"]
BY: Final[tuple[By, ...]] = get_args(By)
READERS: Final[tuple[Readers, ...]] = get_args(Readers)

NEAREST: Final = 8
"""Files of a folder, or of the whole team, that may be read because they changed last."""

_WEIGHTS: Final = [1 / rank for rank in range(1, NEAREST + 1)]


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """How the work of a history is dealt to agents."""

    #: *author*: each author is one of the agents, and an agent may be several.  *burst*: commits
    #: without a pause are of one agent, and the next burst of the next one.  *window*: the agents
    #: work side by side, each on one of as many commits.
    by: By = "author"
    agents: int = 4
    #: The pause that ends a burst.
    pause_s: int = 1_800
    #: Files that a call reads beside the one that it writes.
    reads: int = 2
    readers: tuple[Readers, ...] = READERS
    #: A commit of more files is a program's.
    bulk: int = 20
    #: The chance that an agent loses its context before a call.
    cuts: float = 1 / 40


def workload(
    history: History, team: Team, seed: int = 1, contents: RealContents | None = None
) -> Workload:
    """The calls of the team.  `contents` may be those of another seed: differences are shared.

    Raises `OneAuthor`, and `EmptyHistory` if no agent has anything to do.
    """
    dealt = list(_dealt(history, team))
    agents = 1 + max((agent for _, agent in dealt), default=-1)
    if agents == 0:
        raise EmptyHistory("every commit is a program's", remedy="raise --bulk")
    if contents is None:
        contents = RealContents(history.files, MEASURES[history.about.measure])
    turns = _Turns(history, team, seed)
    for (step, agent), revision in zip(dealt, history.revisions, strict=True):
        for change in revision.changes:
            turns.add(step, agent, change)
    created = frozenset(i for i, file in enumerate(history.files) if file.first == 0)
    return Workload(agents, len(history.files), contents, turns.made, created)


def _dealt(history: History, team: Team) -> Iterator[tuple[int, int]]:
    """The step and the agent of each revision."""
    outside = [len(revision.changes) > team.bulk for revision in history.revisions]
    agent = -1
    if team.by == "author":
        of_author = _by_author(history, team, outside)
        for step, revision in enumerate(history.revisions):
            yield step, OUTSIDE if outside[step] else of_author[revision.author]
    elif team.by == "window":
        done = 0
        for is_outside in outside:
            yield done // team.agents, OUTSIDE if is_outside else done % team.agents
            done += not is_outside
    else:
        last_s = None
        for step, revision in enumerate(history.revisions):
            if outside[step]:
                yield step, OUTSIDE
                continue
            if last_s is None or revision.time_s - last_s > team.pause_s:
                agent = (agent + 1) % team.agents
            last_s = revision.time_s
            yield step, agent


def _by_author(history: History, team: Team, outside: Sequence[bool]) -> dict[int, int]:
    """The agent of each author: the most active first, each to the agent with the least to do."""
    commits = Counter(
        revision.author
        for revision, is_outside in zip(history.revisions, outside, strict=True)
        if not is_outside
    )
    if len(commits) == 1:
        raise OneAuthor(f"{history.about.name}: all commits are of one author")
    loads = [(0, agent) for agent in range(min(team.agents, len(commits)))]
    heapify(loads)
    dealt = {}
    for author, count in sorted(commits.items(), key=lambda item: (-item[1], item[0])):
        load, agent = loads[0]
        dealt[author] = agent
        heapreplace(loads, (load + count, agent))
    return dealt


class _Turns:
    """The calls so far, and where every file is."""

    def __init__(self, history: History, team: Team, seed: int) -> None:
        self.made: list[Turn] = []
        self._files, self._team = history.files, team
        self._reads, self._cuts = Random(f"{seed}/reads"), Random(f"{seed}/cuts")
        self._begun: set[int] = set()
        self._folder_of: dict[int, bytes] = {}
        # In the order of their last change, as sets that keep it.
        self._folders: dict[bytes, dict[int, None]] = {}
        self._recent: dict[int, None] = {}
        for file, path in history.paths.items():
            self._put(file, path)

    def add(self, step: int, agent: int, change: FileChange) -> None:
        """One change of a commit."""
        file, version, path = change
        if version is not None:
            access: Access = file, True
            if path is None or agent == OUTSIDE:
                self.made.append(Turn(step, OUTSIDE, (access,), False))
            else:
                reads = self._drawn(file, version, _folder(path))
                is_cut = self._cuts.random() < self._team.cuts and agent in self._begun
                self._begun.add(agent)
                self.made.append(Turn(step, agent, (*((f, False) for f in reads), access), is_cut))
        self._take(file)
        self._recent.pop(file, None)
        if path is not None:
            self._put(file, path)
            if version is not None:
                self._recent[file] = None

    def _put(self, file: int, path: bytes) -> None:
        folder = _folder(path)
        self._folder_of[file] = folder
        self._folders.setdefault(folder, {})[file] = None

    def _take(self, file: int) -> None:
        folder = self._folder_of.pop(file, None)
        if folder is not None:
            del self._folders[folder][file]

    def _drawn(self, file: int, version: int, folder: bytes) -> list[int]:
        """The files that a call reads before it writes a version."""
        drawn: list[int] = []
        for _ in range(self._team.reads):
            kinds = [
                (kind, files)
                for kind in self._team.readers
                if (files := self._candidates(kind, file, version, folder, drawn))
            ]
            if not kinds:
                break
            kind, files = self._reads.choice(kinds)
            weights = None if kind == "imports" else _WEIGHTS[: len(files)]
            drawn += self._reads.choices(files, weights)
        return drawn

    def _candidates(
        self, kind: Readers, file: int, version: int, folder: bytes, drawn: Sequence[int]
    ) -> list[int]:
        """The files that may be read: they exist, and are read once."""
        without = {file, *drawn}
        if kind == "imports":
            tracked = self._files[file]
            named = tracked.named[version - tracked.first]
            return [other for other in named if other in self._folder_of and other not in without]
        pool = self._folders.get(folder, {}) if kind == "directory" else self._recent
        return list(islice((o for o in reversed(pool) if o not in without), NEAREST))


def _folder(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]
