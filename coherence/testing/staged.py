"""A workspace whose calls are moves.

Nothing in a workspace is changed for that.  Its clock and its background are given, its operations
wait through `Waits`, and what does not is seen at `Homes`.  There is a move before each transaction
with the store, also where a cached copy would be served.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from coherence.errors import AgentLeft
from coherence.messages import Abandon, Acquire, Commit, Committed, Granted, Loaded, Refused, Result
from coherence.runtime.caches import Asked
from coherence.runtime.homes import Homes
from coherence.runtime.session import Session
from coherence.stores.port import Cut, Place
from coherence.testing.errors import Ended, Killed
from coherence.testing.moves import Access
from coherence.testing.oracles import Thing, Who
from coherence.testing.scheduler import Actor, At
from coherence.testing.stage import ALL, Regrain, Stage, Staged, hear
from coherence.workspace.agent import Agent
from coherence.workspace.reading import Layer, Operation, Waits
from coherence.workspace.workspace import Workspace, site_of
from message_passing.process import Time

T = TypeVar("T")

#: What the calls of a store are about, which `Homes.look` makes outside of transactions.
_ABOUT_NAMES = {"rows", "cut", "latest"}
_ABOUT_ONE = {"history", "row"}
_ABOUT_ALL = {"names", "listing", "members", "current", "since", "revisions", "tallies"}
_WORDS: Mapping[Any, str] = {Acquire: "ask for", Commit: "publish", Abandon: "give back"}


class StagedWorkspace(Staged):
    """One workspace on a stage."""

    def __init__(self, stage: Stage, workspace: Workspace) -> None:
        self.stage, self.site = stage, site_of(workspace)
        self._homes, self._inside = self.site.homes, 0
        #: The last line of each workspace of the run, when this one has heard of them.
        self._heard: list[Place] = []
        self._look, self._carry = self._homes.look, self._homes.carry
        vars(self._homes).update(look=self._looked, carry=self._carried)
        self.site.trace_calls(self._through)
        stage.run.beside.append(self)
        stage.rooms.append(self)

    # SideWork the agents.

    def settle(self) -> bool:
        """See `SideWork.settle`."""
        before, keeper = self._inside, self.site.keeper
        self._hear()
        while not keeper.inbox.empty():
            keeper.work_within()
        due = keeper.due
        if due is not None and due <= self.stage.run.now:
            keeper.work_within()
        return self._inside != before

    def _hear(self) -> None:
        """Take in what other workspaces of the run have done, if there is anything."""
        stage, store = self.stage, self.site.store
        if not store.shared:
            return
        if not self.site.follower.validates:  # so it costs a trip to a server
            lines = [room.site.store.last for room in stage.rooms]
            is_ready = any(actor.at is At.READY for actor in stage.run.actors)
            if lines == self._heard or (stage.news_is_late and is_ready):
                return
            self._heard = lines
        hear(self.site)

    @property
    def due(self) -> Time | None:
        """See `SideWork.due`."""
        return self.site.keeper.due

    # What agents do outside of their operations.

    def _carried(self, *given: Any, **options: Any) -> Any:
        if self.stage.run.is_settling:
            self._inside += 1  # a keeper's, which is seen as the passing of time
        elif self._actor_alive() is not None and not self._is_within:
            access = tuple((self.thing(name), True) for name in given[0])
            self.stage.touch(access or ALL, "tell homes of " + ", ".join(given[0]))
        return self._carry(*given, **options)

    def _looked(self, work: Callable[..., T], *given: Any, **options: Any) -> T:
        called = work.func if isinstance(work, partial) else work
        arguments = work.args if isinstance(work, partial) else given
        name = getattr(called, "__name__", "")
        if name == "_join" and arguments[0] not in self.site.sessions:
            if self._actor_alive() is not None:
                self.stage.touch(((self.member(arguments[0]), True),), f"join as {arguments[0]}")
            return self._look(work, *given, **options)
        is_move = name in _ABOUT_ALL | _ABOUT_ONE and not self._is_within
        if is_move and not self.stage.run.is_settling and self._actor_alive() is not None:
            access = self._about(name, arguments)
            self.stage.touch(access, f"look at {'all' if access == ALL else arguments[0]}")
        return self._look(work, *given, **options)

    #: Whether the move under way is one of an operation, which has said what it touches.
    _is_within = False

    def _actor_alive(self) -> Actor | None:
        actor = self.stage.me()
        if actor is not None and actor.is_killed:
            raise Killed
        return actor

    def _about(self, name: str, arguments: Sequence[Any]) -> Access:
        if name in _ABOUT_NAMES:
            return tuple((self.thing(each), False) for each in arguments[0])
        if name in _ABOUT_ONE:
            return ((self.thing(arguments[0]), False),)
        return ALL

    def thing(self, name: Hashable) -> Thing:
        """The artifact of that name."""
        return self.stage.artifact(self.site.store.identity, name)

    def member(self, who: str) -> Thing:
        """The membership of the agent of that name, which another process can take over."""
        kind = self.stage.artifact(self.site.store.identity, "").kind
        return Thing(f"member of {kind}", who)

    # What they do in operations.

    def _through(self, agent: Any, operations: Any) -> Any:
        steps: list[Steps] = []

        def waits(plain: Waits) -> Waits:
            steps.append(Steps(self, agent.name, plain, blocks=isinstance(agent, Agent)))
            return steps[0]

        operations.wait_through(waits)
        return WholeCalls(operations, steps[0]) if self.stage.grain == "call" else operations

    def before(
        self, who: str, work: Callable[..., Any], given: Sequence[Any]
    ) -> tuple[Access, str] | None:
        """What `work` of the agent `who` touches, and words for it; None if it is not a move."""
        function = getattr(work, "__func__", work)
        if function is Session.ask_all:
            requests, reads = given[0], given[1] if len(given) > 1 else None
            touched: Access = (
                *((self.thing(name), _writes(request)) for name, request in requests),
                *((self.thing(name), False) for name in reads or ()),
                (self.member(who), False),
            )
            label = ", ".join(
                f"{_WORDS.get(type(request), 'read')} {name}" for name, request in requests
            )
            return touched, label + (f", having read {', '.join(reads)}" if reads else "")
        if function is Homes.look or work == self._homes.look:
            called = getattr(given[0], "__name__", "")
            if called in _ABOUT_NAMES | _ABOUT_ONE | _ABOUT_ALL:
                access = self._about(called, given[1:])
                words = ", ".join(str(thing) for thing, _ in access)
                return access, "look at all" if access == ALL else f"look at {words}"
        return None

    def carry_out(self, who: str, work: Callable[..., T], given: Sequence[Any]) -> T:
        """The move itself."""
        self._is_within = True
        try:
            done = work(*given)
        finally:
            self._is_within = False
        if getattr(work, "__func__", None) is Session.ask_all:
            for (name, request), asked in zip(given[0], done, strict=True):  # type: ignore[call-overload]
                self.answered(who, name, request, asked.answer)
        elif isinstance(done, tuple) and isinstance(done[0], dict):
            for name, cut in done[0].items():
                if isinstance(cut, Cut):
                    self.stage.world.saw(Who((who,)), self.thing(name), cut.version)
        return done

    def answered(self, who: str, name: str, request: Any, answer: Result | None) -> None:
        """Note what has become of a request."""
        self.stage.run.said(_shown(answer))
        if answer is not None:
            self.stage.world.answered(Who((who,)), self.thing(name), request, answer)

    def check_wait(self, name: str, request: Any) -> None:
        """Raises `Regrain` for a wait that others' leases can outlast."""
        if self.stage.grain == "call" and type(request) is Acquire and request.wait is not None:
            lease_s = self.site.policy_of(name).grant_lease
            if lease_s is not None and request.wait < lease_s:
                self.stage.run.fail(Regrain())
                raise Ended

    def bury(self, session: Session) -> None:
        """The process of this agent has ended: no message leaves, and no grant is renewed."""
        session.fault = AgentLeft(f"the process of {session.name!r} was killed")
        vars(session).update(say=lambda batch: None, renew=lambda grant: False)
        for artifact in list(session.caches.drafting):
            session.keeper.release(session, artifact)
        with session.shared.caches.lock:
            agents = session.shared.caches.agents
            if agents.get(session.name) is session.caches:
                del agents[session.name]


class Steps:
    """Waits of one agent: a move before each call at the store."""

    may_block = False

    def __init__(
        self, room: StagedWorkspace, who: str, plain: Waits, *, blocks: bool = True
    ) -> None:
        self._room, self._who, self._plain, self._blocks = room, who, plain, blocks
        self._asked: dict[int, tuple[str, Any]] = {}
        #: The call that is one move, and how many moves there were when it began.
        self.whole: tuple[int, Access] | None = None

    def call(self, work: Callable[..., T], *arguments: object) -> Operation[T]:
        """See `Waits.call`."""
        room, stage = self._room, self._room.stage
        actor = stage.me()
        if actor is None:
            stage.doubt(self._who)
            return work(*arguments)
        stage.driving[self._who] = actor
        move = room.before(self._who, work, arguments)
        if move is not None:
            if getattr(work, "__func__", None) is Session.ask_all:
                for name, request in arguments[0]:  # type: ignore[attr-defined]
                    room.check_wait(name, request)
            access, label = move
            if not self._is_in_whole(access):
                yield from self._step(actor, access, label)
        done = room.carry_out(self._who, work, arguments)
        if getattr(work, "__func__", None) is Session.ask_all:
            for given, asked in zip(arguments[0], done, strict=True):  # type: ignore[call-overload]
                if asked.answer is None:
                    self._asked[id(asked)] = given
        return done

    def _step(self, actor: Actor, access: Access, label: str) -> Operation[None]:
        if actor.parent is not None:
            label += f", as {self._who}"
        if self._blocks:  # in a task no other one can come between
            self._room.stage.touch(access, label)
        else:
            yield from self._room.stage.step(access, label)

    def begin_whole(self, name: str) -> Operation[None]:
        """Begin a call that is one move, as long as no other move comes in between."""
        stage = self._room.stage
        if (actor := stage.me()) is not None:
            stage.driving[self._who] = actor
            access: Access = (
                (self._room.thing(name), True),
                (self._room.member(self._who), False),
            )
            yield from self._step(actor, access, f"update {name}")
            self.whole = len(stage.run.moves), access

    def _is_in_whole(self, access: Access) -> bool:
        if self.whole is None:
            return False
        begun, whole = self.whole
        if begun == len(self._room.stage.run.moves) and {n for n, _ in access} <= {
            n for n, _ in whole
        }:
            return True
        self.whole = None
        return False

    def compute(self, work: Callable[[], T]) -> Operation[T]:
        """See `Waits.compute`: at once, in no other thread."""
        yield from ()
        return work()

    def answer(self, session: Session, asked: Asked) -> Operation[Result]:
        """See `Waits.answer`."""
        result = yield from self._plain.answer(session, asked)
        if (given := self._asked.pop(id(asked), None)) is not None:
            name, request = given
            self._room.stage.world.answered(
                Who((self._who,)), self._room.thing(name), request, result
            )
            run, actor = self._room.stage.run, self._room.stage.me()
            if actor is not None:
                word = _WORDS.get(type(request), "read")
                run.later(actor, f"{word} {name}, at last: {_shown(result)}")
        return result

    def value(self, made: Any) -> Operation[Any]:
        """See `Waits.value`."""
        return (yield from self._plain.value(made))


class WholeCalls(Layer):
    """The operations of one agent, of which an `update` is one move."""

    def __init__(self, plain: Any, steps: Steps) -> None:
        super().__init__(plain)
        self._steps = steps

    def update(self, name: str, *given: Any) -> Operation[Any]:
        """See `Writing.update`."""
        yield from self._steps.begin_whole(name)
        try:
            return (yield from self.plain.update(name, *given))
        finally:
            self._steps.whole = None


def _writes(request: object) -> bool:
    return type(request) in _WORDS


def _shown(answer: Result | None) -> str:
    if answer is None:
        return "has to wait"
    if isinstance(answer, Refused):
        return f"refused ({answer.reason.name.lower()}), current is @{answer.version}"
    if isinstance(answer, Granted):
        return f"granted @{answer.version}"
    if isinstance(answer, Loaded | Committed):
        return f"@{answer.version}"
    return "done"
