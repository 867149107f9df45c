"""What a program that is explored is given: a workspace, agents, and ways to run them together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, TypeVar

from coherence.errors import BadArgument
from coherence.stores.port import Store
from coherence.testing.errors import Killed
from coherence.testing.faults import Striking
from coherence.testing.oracles import Thing, who_is
from coherence.testing.owned import Owned
from coherence.testing.sharing import Folder, SharedMapping
from coherence.testing.stage import Stage
from coherence.testing.staged import StagedWorkspace
from coherence.testing.tasks import TaskRun
from coherence.workspace.agent import Agent
from coherence.workspace.aio import AsyncAgent
from coherence.workspace.aio_workspace import AsyncWorkspace
from coherence.workspace.workspace import Workspace
from message_passing.process import Time

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class ExploredTeam:
    """The agents of one run.  A program gets a new one for each schedule."""

    def __init__(
        self,
        stage: Stage,
        striking: Striking,
        stack: ExitStack,
        store: str,
        settings: Mapping[str, Any],
    ) -> None:
        self._stage, self._striking, self._stack = stage, striking, stack
        self._store, self._settings = store, dict(settings)
        self._workspace: Workspace | None = None
        self._tasks: AsyncWorkspace | None = None
        self._shared: list[str] = []
        self._restarts: dict[str, Callable[[], Any]] = {}
        #: The agents whose processes have died.
        self.killed: set[str] = set()

    @property
    def now(self) -> Time:
        """The time of the run, in seconds: it passes only where no agent can make a move."""
        return self._stage.run.now

    # What they share.

    @property
    def workspace(self) -> Workspace:
        """The workspace of the run, on virtual time: in memory, unless `explore` names a store."""
        if self._workspace is None:
            self._workspace = self.open(self._store)
        return self._workspace

    @property
    def tasks(self) -> AsyncWorkspace:
        """The same workspace, for tasks."""
        if self._tasks is None:
            self._tasks = AsyncWorkspace(self.workspace)
            self._stack.callback(_at_once, self._tasks.close())
        return self._tasks

    def open(self, store: str | Store, **settings: Any) -> Workspace:
        """Another workspace, as another process would open one, closed after the run.

        The agents of a program may use several on one URL of SQLite or PostgreSQL.  Such a URL
        names a store of this run, which begins empty: a temporary file, or a schema of its own.
        Takes the arguments of `Workspace`, without its clock and its background.
        """
        run = self._stage.run
        given = {**self._settings, **settings}
        opened = self._stage.store(store, given.pop("retention", None))
        if opened.shared:  # in memory there is nothing to give back
            self._stack.callback(opened.close)
        workspace = Workspace(opened, clock=run.clock, background=Owned(), **given)
        if opened.shared:
            self._stack.callback(workspace.close)
        StagedWorkspace(self._stage, workspace)
        return workspace

    def agent(self, name: str) -> Agent:
        """The agent of that name in the workspace."""
        return self.workspace.agent(name)

    def async_agent(self, name: str) -> AsyncAgent:
        """The agent of that name, for a task."""
        return _at_once(self.tasks.agent(name))

    def shared(self, entries: Mapping[K, V], name: str = "shared") -> SharedMapping[K, V]:
        """A mapping that agents share without a workspace: each look and each change is a move."""
        number = self._shared.count(name)
        self._shared.append(name)
        return SharedMapping(self._stage, entries, f"{name} {number + 1}" if number else name)

    def folder(self) -> Path:
        """A new folder: each opening of a file in it is a move.  It is removed after the run."""
        path = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        folder = Folder(self._stage, path)
        self._stack.enter_context(folder.watched())
        return folder.path

    def looks_at(self, name: str) -> None:
        """The present agent looks at something that the kit does not know: a move.

        To be called before the look itself; see `changes`.
        """
        self._seen(name, writes=False)

    def changes(self, name: str) -> None:
        """The present agent replaces something that the kit does not know: a move.

        To be called before the change itself.  An update of it can be lost.
        """
        self._seen(name, writes=True)

    @contextmanager
    def one_move(self, name: str) -> Iterator[None]:
        """The block is one move that changes `name`, and nothing in it is seen.

        For a step that another process would take as a whole, such as a hook or a transaction of
        a database.  The block waits for no other agent; in a task, it does not await.
        """
        self.changes(name)
        with self._stage.unseen():
            yield

    def _seen(self, name: str, *, writes: bool) -> None:
        stage, thing = self._stage, Thing("file", name)
        stage.touch(((thing, writes),), f"{'change' if writes else 'look at'} {name}")
        if (who := stage.me()) is not None:
            (stage.world.wrote if writes else stage.world.saw)(who_is(who), thing)

    def always(self, check: Callable[[], object]) -> None:
        """Call `check` after each move, with no agent running: it raises what is wrong."""
        self._stage.run.watched.append(check)

    def think(self) -> None:
        """The present agent thinks, for any length of time: others may go on."""
        self._stage.threads.step((), "think")

    def restart(self, name: str, work: Callable[[], Any]) -> None:
        """If the process of the agent `name` of the run dies, `work` is what it does next."""
        self._restarts[name] = work

    # Running them.

    def run(self, **works: Callable[[], Any]) -> dict[str, Any]:
        """Run these functions at the same time, each in a thread; what they return, by name.

        Coroutine functions run in tasks instead.  Raises what the first to fail has raised.
        """
        if not works:
            raise BadArgument("no agents to run", remedy="run(ann=..., bob=...)")
        if all(iscoroutinefunction(work) for work in works.values()):
            return self.run_async(**works)
        self._require_outside()
        return self._run(self._stage.threads.all_of, works)

    def main(self, work: Callable[[], T]) -> T:
        """Run `work`, such as a framework's blocking call: the threads that it starts are agents.

        Each is blamed for what it does, with the threads that it starts in turn.  The program
        itself is no longer alone then: `work` is the agent "main".
        """
        self._require_outside()
        self._stage.run.sees_wakes = True
        with self._running():
            result: T = self._stage.threads.main(work)
        return result

    def run_async(self, **works: Callable[[], Coroutine[Any, Any, Any]]) -> dict[str, Any]:
        """As `run`, for functions that return coroutines: tasks of one event loop."""
        self._require_outside()
        tasks = TaskRun(self._stage.run, starts_are_moves=bool(self._shared))
        with self._stage.with_tasks(tasks):
            return self._run(tasks.all_of, works)

    def main_async(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """As `main`, for a framework's coroutine: the tasks that it starts are agents."""
        self._require_outside()
        tasks = TaskRun(self._stage.run, starts_are_moves=bool(self._shared))
        with self._running(), self._stage.with_tasks(tasks):
            result: T = tasks.main(work)
        return result

    def _require_outside(self) -> None:
        if self._stage.me() is not None:
            raise BadArgument(
                "an agent of this run calls run()", remedy="call it in the program, not in agents"
            )

    def _run(
        self, every: Callable[[Mapping[str, Any]], dict[str, Any]], works: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            with self._running():
                return every({name: self._living(name, work) for name, work in works.items()})
        finally:
            self.killed |= {a.name for a in self._stage.run.actors if a.is_killed}

    @contextmanager
    def _running(self) -> Iterator[None]:
        """In the block agents run; after it each workspace has heard of what they have done."""
        self._striking.begin()
        try:
            yield
            self._stage.run.settle()
        finally:
            self._striking.end()

    def _living(self, name: str, work: Callable[[], Any]) -> Callable[[], Any]:
        """`work`, and what comes after the death of its process."""
        if name not in self._restarts:
            return work
        again = self._restarts[name]

        def revive() -> None:
            actor = self._stage.me()
            assert actor is not None
            actor.is_killed = False
            self._stage.forget(actor)
            self.killed.add(name)

        def sync() -> Any:
            with suppress(Killed):
                return work()
            revive()
            return again()

        async def tasked() -> Any:
            with suppress(Killed):
                return await work()
            revive()
            return await again()

        return tasked if isinstance(self._stage.tasks, TaskRun) else sync


def with_agents(
    prepare: Callable[[ExploredTeam], Any],
    agents: Mapping[str, Callable[[Any], Any]] | None,
    check: Callable[[ExploredTeam], object] | None,
) -> Callable[[ExploredTeam], Any]:
    """The program that prepares, runs each function with its agent, and checks."""
    if agents is None and check is None:
        return prepare

    def program(team: ExploredTeam) -> Any:
        value = prepare(team)
        if agents:
            in_tasks = all(iscoroutinefunction(work) for work in agents.values())
            agent_of = team.async_agent if in_tasks else team.agent
            works = {name: partial(work, agent_of(name)) for name, work in agents.items()}
            value = team.run_async(**works) if in_tasks else team.run(**works)
        return value if check is None else check(team)

    return program


def _at_once(made: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that does not wait."""
    try:
        made.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits")
