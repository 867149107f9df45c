"""Operations, and reads: the shortest answer that gives the caller the current version.

An operation is a generator, written once for threads and for tasks.  Its steps call the session.
Where it must wait, it leaves the waiting to `Waits`: for a thread that blocks, and the operation
never yields; for a task that yields what the event loop is to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from coherence.contents import Content, Kind
from coherence.delta import diff
from coherence.errors import BadRef, ForeignRef, UnknownArtifact, UnknownVersion
from coherence.messages import Digest, Load, Loaded, Request, Result, Version, digest_of
from coherence.refs import VERSION_MAX, Ref, check_name
from coherence.runtime.caches import Asked
from coherence.runtime.session import Session
from coherence.states import CacheState
from coherence.stores.port import Entry
from coherence.view import Served, View
from message_passing.errors import ToolkitError

T = TypeVar("T")
Operation: TypeAlias = Generator[Any, Any, T]

Given: TypeAlias = tuple[tuple[Version, Digest] | None, CacheState | None, bool]
"""The version of one artifact that the application was given: its base, or the state that implies
it; and whether the application has said that the model's context has lost it.
"""

LOAD = Load()

#: Texts of fewer characters than this are compared without another thread: that takes milliseconds.
COMPARED_AT_ONCE = 20_000


class Waits(Protocol):
    """How an operation waits."""

    #: Whether a call to the store may block the calling thread.
    may_block: bool

    def call(self, work: Callable[..., T], *arguments: object) -> Operation[T]:
        """The result of `work`, which may block."""
        ...

    def compute(self, work: Callable[[], T]) -> Operation[T]:
        """The result of `work`, which takes a while and does not ask the store."""
        ...

    def answer(self, session: Session, asked: Asked) -> Operation[Result]:
        """The answer, once it has come.  Raises as `Session.wait` does."""
        ...

    def value(self, made: Any) -> Operation[Any]:
        """What a function of the application has returned, once it is there."""
        ...


class Block(Protocol):
    """The block of a transaction."""

    is_open: bool

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended."""
        ...


class Call(msgspec.Struct, eq=False):
    """One call of an agent, from its beginning to its end."""

    #: The thread or the task that makes it.
    caller: Any
    #: The artifacts that it asked for, and the versions the application had before.
    touched: dict[str, Given] = msgspec.field(default_factory=dict)
    #: The enclosing call of the same caller, if the function of an `update` makes this one.
    within: Call | None = None
    #: Whether a function of the application runs, which may make calls too.
    lent: bool = False
    #: The error of that function.
    theirs: BaseException | None = None
    #: The transaction that the call runs, whose block ends with it at the latest.
    block: Block | None = None

    def is_cut_off_by(self, error: BaseException) -> bool:
        """Whether `error` ends the call in the middle.

        A typed error, or one of the application's function, leaves nothing behind.
        """
        return not (isinstance(error, ToolkitError) or error is self.theirs)


class Layer:
    """A layer around the operations of one agent: what it does not define is theirs."""

    def __init__(self, operations: Any) -> None:
        self.plain: Any = operations

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    @property
    def call(self) -> Call:
        """The call under way, see `Reading`."""
        found: Call = self.plain.call
        return found

    @call.setter
    def call(self, call: Call) -> None:
        self.plain.call = call


class Reading:
    """The reads of one agent, and the versions given so far."""

    def __init__(self, session: Session, waits: Waits) -> None:
        self.session = session
        #: The call under way.
        self.call = Call(None)
        self.account = session.account
        self._caches = session.caches
        self._waits = waits
        self._identity, self._served = session.shared.identity, session.shared.served
        self._hashed = session.shared.hashed
        self._forgotten: set[str] = set()
        self._forgot_all = False
        #: Whether `forget` has been called for an artifact.
        self.forgets = False
        self._remembered: set[str] = set()

    def wait_through(self, waits: Callable[[Waits], Waits]) -> None:
        """From now on, wait as `waits` makes of the way until now."""
        self._waits = waits(self._waits)

    # Steps of operations.

    def _ask(self, name: str, request: Request) -> Operation[Any]:
        """The answer of this agent's cache, after any wait."""
        touched = self.call.touched
        if name not in touched:
            touched[name] = self.given(name)
        session = self.session
        requests = ((name, request),)
        if self._waits.may_block:
            (asked,) = session.ask_all(requests)
        else:
            (asked,) = yield from self._waits.call(session.ask_all, requests)
        if asked.answer is not None:
            return asked.answer
        return (yield from self._waits.answer(session, asked))

    def _look(self, name: str) -> Operation[Loaded]:
        """What is current; the application does not see it, so no write derives from it."""
        given = self.given(name)
        loaded: Loaded = yield from self._ask(name, LOAD)
        self.give_back(name, given)
        return loaded

    def _fetch(self, name: str, version: Version) -> Operation[tuple[Entry, Content] | None]:
        """One version from the history, or None if it is not kept."""
        homes = self.session.homes
        found: tuple[Entry, Content] | None = yield from self._waits.call(
            homes.look, homes.store.read, name, version
        )
        return found

    def _compare(self, before: str, after: str) -> Operation[str]:
        """The difference of two texts, for a prompt."""

        def words() -> str:
            return diff(before, after).render(before)

        return (yield from self._compute(words, before, after))

    def _compute(self, work: Callable[[], T], *texts: Content | None) -> Operation[T]:
        """The result of `work`, which compares these contents, in a thread if that takes long."""
        if sum(len(text or "") for text in texts) < COMPARED_AT_ONCE:
            return work()
        return (yield from self._waits.compute(work))

    # Reads.

    def read(self, name: str, have: Ref | str | None) -> Operation[View]:
        """The current version, in the shortest form that the caller can use."""
        caches = self._caches
        if type(name) is not str or name not in caches.states:  # that name was checked before
            check_name(name)
        known = self._known(name, have) if have is not None else None
        claimed = self._claimed(known) if known is not None else None
        sent = caches.sent
        view, version = self._alive(name, (yield from self._ask(name, LOAD)))
        if self._hashed:
            self._served.note(name, version, view.handle.digest)
        if known is None or self._is_forgotten(name):
            if caches.sent == sent:
                self.hit(name)
                return view
            if self.forgets:
                self.remember(name)
            return self.account.read(View(view.ref, view.content, view.handle, Served.FULL))
        return (yield from self._since(known, claimed, view))

    def _since(self, known: Ref, claimed: bytes | None, view: View) -> Operation[View]:
        """`view` for a caller that has `known`, in the shortest form."""
        version = view.ref.version
        if known.version > version and not claimed:
            raise UnknownVersion(f"{known} has not been made yet, current is {view.ref}")
        if known.version == version and claimed == view.digest:
            return self.account.read(replace(view, served=Served.UNCHANGED, have=view.ref))
        changes = None
        if known.version < version and claimed is not None:
            changes = yield from self._changes(known, claimed, view)
        if changes is None:
            return self.account.read(replace(view, served=Served.FULL))
        return self.account.read(replace(view, served=Served.DELTA, have=known, changes=changes))

    def hit(self, name: str) -> None:
        """Note that the whole cached copy was given."""
        self.account.hit(name)
        self._caches.bases.pop(name, None)
        if self.forgets:
            self.remember(name)

    def read_version(self, name: str, version: Version) -> Operation[View]:
        """A version from the history, which becomes the base of the next write."""
        check_name(name)
        if type(version) is not int or not 1 <= version <= VERSION_MAX:
            raise UnknownVersion(f"there is no version {version!r}")
        entry, content = yield from self._kept(name, version)
        ref = Ref(name, version, self._identity, entry.handle.digest)
        self._caches.bases[name] = (version, entry.handle.digest)
        self._gave(name, version, entry.handle.digest)
        return self.account.read(View(ref, content, entry.handle, Served.FULL))

    def _kept(self, name: str, version: Version) -> Operation[tuple[Entry, Content]]:
        """A kept version.  Raises `UnknownVersion`, or `UnknownArtifact` for a deletion."""
        found = yield from self._fetch(name, version)
        if found is None:
            current = (yield from self._look(name)).version
            if not current:
                raise UnknownArtifact.named(name)
            raise UnknownVersion(f"{name}@{version} is not kept; current is {name}@{current}")
        entry = found[0]
        if entry.handle.kind is Kind.TOMBSTONE:
            raise UnknownArtifact(f"{name}@{version} is a deletion, by {entry.author}")
        return found

    # The versions given to the application, which an interrupted call must not change.

    def given(self, name: str) -> Given:
        """The version of `name` that the application has before a call."""
        caches = self._caches
        forgotten = self.forgets and self._is_forgotten(name)
        return caches.bases.get(name), caches.states.get(name), forgotten

    def give_back(self, name: str, given: Given) -> None:
        """The call gave the application nothing: restore the version that it had before."""
        base, state, forgotten = given
        if base is None:
            base = (state.version, digest_of(state.content)) if state is not None else (0, None)
        self._caches.bases[name] = base
        if forgotten:
            self.forget(name)

    def forget(self, name: str | None) -> None:
        """The model's context has lost what was read: the next read is full."""
        self.forgets = True
        if name is None:
            self._forgot_all = True
            self._remembered.clear()
            self._forgotten.clear()
        else:
            self._forgotten.add(check_name(name))
            self._remembered.discard(name)

    def _is_forgotten(self, name: str) -> bool:
        return name in self._forgotten or (self._forgot_all and name not in self._remembered)

    def remember(self, name: str) -> None:
        """The application was given the whole of `name` again."""
        self._forgotten.discard(name)
        if self._forgot_all:
            self._remembered.add(name)

    def _changes(self, known: Ref, claimed: bytes, view: View) -> Operation[str | None]:
        """The difference as text, if there is one that is shorter than the content."""
        if not isinstance(view.content, str):
            return None
        found = yield from self._fetch(known.name, known.version)
        if found is None or not isinstance(found[1], str) or found[0].handle.digest != claimed:
            return None
        changes = yield from self._compare(found[1], view.content)
        shown = replace(view, served=Served.DELTA, have=known, changes=changes)
        return changes if len(shown.for_prompt()) < len(view.content) else None

    def _alive(self, name: str, loaded: Loaded) -> tuple[View, Version]:
        self._caches.bases.pop(name, None)
        return self._existing(name, loaded)

    def _existing(self, name: str, loaded: Loaded) -> tuple[View, Version]:
        if isinstance(loaded.content, View):
            return loaded.content, loaded.version
        if loaded.content is not None:
            raise UnknownArtifact.deleted(name, loaded.content.ref)
        raise UnknownArtifact.named(name)

    def _gave(self, name: str, version: Version, digest: bytes) -> None:
        """The application now has that content under that number."""
        if self._hashed:
            self._served.note(name, version, digest)

    def _claimed(self, known: Ref) -> bytes | None:
        """The digest of the content that the caller claims to have, or None if it is not proved.

        A bare ref stands for the content that this process has served under its number.
        """
        if not self._hashed:
            return b""
        return known.digest or self._served.digest(known.name, known.version)

    def _known(self, name: str, have: Ref | str) -> Ref:
        ref = have if isinstance(have, Ref) else Ref.parse(have)
        if ref.workspace and ref.workspace != self._identity:
            raise ForeignRef(f"{ref} is a ref of another workspace")
        if ref.name != name:
            raise BadRef(f"{ref} is not a version of {name!r}")
        return ref
