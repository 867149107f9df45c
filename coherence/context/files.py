"""One caller's files, and what it has been shown of them, for tools that name no versions.

The file tools of a framework read, write and replace passages by path.  `Files` remembers what its
caller has seen, so that a whole write derives only from a version that the caller was shown whole,
or that it wrote.  Looking (`Files.look`, `Files.look_all`) shows nothing to the caller: the adapter
says what a model was really given, by `Files.shown`.

`coherence.context.values` has the artifact of a path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

from coherence.conflict import Conflict, Conflicts
from coherence.contents import Content
from coherence.context.answers import file_refusal
from coherence.context.desk import Desk
from coherence.context.events import Event, Tell, was_published, was_read, was_refused, was_shown
from coherence.context.reader import OnUnread, Unread, check_unread, harmless
from coherence.context.sight import Lines, Sights
from coherence.errors import InvalidContent, UnknownArtifact, UnknownVersion
from coherence.messages import Version
from coherence.refs import Ref
from coherence.view import View
from coherence.workspace.agent import Agent, account_of
from coherence.workspace.transaction import AgentTransaction
from message_passing.errors import ToolkitError

#: The reason in the history of a version that `Files.replace` made: its author may not know the
#: rest of it.
PASSAGE = "replaced a passage"


class Files:
    """What one caller does with files; every call may block, and holds the caller's desk.

    A caller is one conversation: an agent in a session, a run of a subagent.  With
    ``unread="replace"`` a write replaces a file that the caller has not seen whole.  Events go to
    `tell`.  Raises `BadArgument`.
    """

    def __init__(self, desk: Desk, unread: OnUnread = "raise", tell: Tell | None = None) -> None:
        check_unread(unread, "raise")
        self.desk, self.tell = desk, tell
        #: What the caller has seen: see `coherence.context.sight`.
        self.sight = Sights(alone=True).part()
        self._replaces = unread == "replace"
        #: The newest version that was seen of each file, with its digest.
        self._refs: dict[str, Ref] = {}
        #: Files whose earlier versions the caller has lost; an empty name stands for all.
        self._forgotten: set[str] = set()
        #: File -> the calls from which the caller knows it; and the calls of this turn.
        self._calls: dict[str, set[str]] = {}
        self._new_calls: list[tuple[str, str, bool]] = []
        self._turn: Hashable = None
        #: What the calls of this turn have shown, which the model sees with the next turn.
        self._pending: list[tuple[Ref, Lines | None]] = []

    # Looking.

    def look(self, name: str) -> View:
        """The current version, for a search or a listing.  Raises as `Agent.read` does."""
        with self.desk.agent() as agent:
            view = agent.read(name)
            account_of(agent).unseen(view)
            return view

    def look_all(self, prefix: str = "") -> Mapping[str, View]:
        """The files whose names begin with `prefix`, as of one moment, sorted by name."""
        with self.desk.agent() as agent:
            views = agent.snapshot(prefix=prefix)
            for name in views:
                account_of(agent).unseen(views[name])
            return {name: views[name] for name in sorted(views)}

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin with `prefix`, sorted."""
        with self.desk.agent() as agent:
            return list(agent.list(prefix))

    def seen(self, name: str) -> Content | None:
        """What the caller has seen whole, or written, last; None if not known or not kept."""
        version = self.sight.base(name)
        if not version:
            return None
        with self.desk.agent() as agent:
            try:
                return account_of(agent).unseen(agent.read(name, version=version)).content
            except UnknownVersion:
                return None

    # What the caller sees.

    def read(self, name: str) -> View:
        """The current version, which the caller is shown whole.

        Raises as `Agent.read` does; the caller then knows that a missing file is missing.
        """
        with self.desk.agent() as agent:
            try:
                view = agent.read(name)
            except UnknownArtifact:
                self.absent(name)
                raise
            self._see(view.ref, None)
            self._note(was_read, view)
            return view

    def absent(self, name: str) -> None:
        """The caller is told that there is no such file, as a `look` has found."""
        with self.desk.busy:
            self._see(Ref(name, 0), None)

    def shown(self, view: View, lines: Lines | None = None, text: str = "") -> None:
        """The caller is shown `view`, of a `look`: the whole, or these lines of it.

        `text` is what was put into the prompt, for the counts and events.
        """
        with self.desk.busy:
            if text and (account := self.desk.account) is not None:
                account.told(view.ref.name, text)
                self._note(was_shown, view, text)
            self._see(view.ref, lines)

    def turn(self, key: Hashable) -> None:
        """The next calls are of the model's turn `key`.

        A model sees the answers of a turn after it has made all calls of the turn.  So a write does
        not derive from a read of the same turn.  Without turns, each call sees the ones before it.
        """
        with self.desk.busy:
            if key != self._turn:
                pending, self._turn, self._pending = self._pending, None, []
                for ref, lines in pending:
                    self._see(ref, lines)
                for name, call, whole in self._new_calls:
                    self._calls[name] = {call} if whole else self._calls.get(name, set()) | {call}
                self._turn, self._new_calls = key, []

    def forget(self, name: str | None = None) -> None:
        """The caller's context was compacted: it has lost what it had seen, of one file or all."""
        with self.desk.busy:
            self.sight.forget(name)
            self._forgotten.add(name or "")
            self._pending = [each for each in self._pending if name not in (None, each[0].name)]

    def known_from(self, name: str, call: str, whole: bool) -> None:
        """The caller knows the file from its call of that id: see `keep`.

        A `whole` read replaces earlier calls, windows and changes add to them.
        """
        with self.desk.busy:
            self._new_calls.append((name, call, whole))

    def keep(self, calls: Collection[str]) -> None:
        """The caller's context holds the answers of `calls`, and of this turn: the rest is lost."""
        with self.desk.busy:
            for name in [name for name, known in self._calls.items() if not known <= set(calls)]:
                del self._calls[name]
                self.forget(name)

    def holds(self, refs: Iterable[Ref]) -> None:
        """The caller's context holds these versions whole, and no others: see `evidence`."""
        with self.desk.busy:
            self.forget()
            for ref in refs:
                self._see(ref, None)

    def _see(self, ref: Ref, lines: Lines | None) -> None:
        if self._turn is not None:
            self._pending.append((ref, lines))
            return
        self.sight.shown(ref.name, ref.version, lines)
        if self.sight.base(ref.name) == ref.version:
            self._refs[ref.name] = ref

    # Changes.

    def write(self, name: str, content: Content) -> Ref:
        """Write the whole file, derived from what the caller has seen of it.

        A file that exists and was not seen whole is refused with `Unread`, unless its current
        version is the caller's own.  A write is not refused if what it derives from is current
        again.
        Raises as `Agent.write` does.
        """
        with self.desk.agent() as agent:
            seen = self._seen(name)
            base = self._unseen(name, agent) if seen is None else seen
            try:
                ref = agent.write(
                    name,
                    content,
                    expect=base,
                    overwrite=base is None,
                    merge=base is not None and self._may_return(name) and harmless,
                )
            except Conflict as conflict:
                self._note(was_refused, conflict)
                if seen is None and conflict.theirs is not None:
                    raise Unread(name, conflict.current, conflict.author) from conflict
                raise
            self._wrote(ref, content)
            return ref

    def create(self, name: str, content: Content) -> Ref:
        """Write a file that must be new, whatever the caller has seen.

        Raises `Conflict` if it exists, and as `Agent.write` does.
        """
        with self.desk.agent() as agent:
            try:
                ref = agent.write(name, content, expect=0)
            except Conflict as conflict:
                self._note(was_refused, conflict)
                raise
            self._wrote(ref, content)
            return ref

    def replace(self, name: str, change: Callable[[str], str]) -> View:
        """Apply `change` to the current text, whatever others change elsewhere in it.

        `change` may be called several times.  Raises its errors, `UnknownArtifact`,
        `InvalidContent` for a file of bytes, and as `Agent.update` does.
        """
        same = False

        def changed(content: Content) -> Content:
            nonlocal same
            made = change(_text(name, content))
            same = made == content
            return made

        with self.desk.agent() as agent:
            view = agent.update(name, changed, must_exist=True, reason=PASSAGE)
            if not same:
                before = view.version - 1
                self.sight.edited(name, before, view.version)
                self._moved(view.ref, before)
                self._note(was_published, view.ref, view.content)
            return view

    def delete(self, name: str) -> Ref:
        """Delete the file; if the caller has seen it, only the version that it has seen.

        Raises as `Agent.delete` does.
        """
        with self.desk.agent() as agent:
            base = self._seen(name)
            try:
                ref = agent.delete(name, expect=base, overwrite=base is None)
            except Conflict as conflict:
                self._note(was_refused, conflict)
                raise
            self._wrote(ref, None)
            return ref

    def move(self, name: str, to: str, change: Callable[[str], str] = str) -> Ref:
        """Apply `change` to the current text under the name `to`, which must be new, as one step.

        Raises as `replace` does, and `Conflict` if `to` exists.
        """
        before, made = 0, ""
        refs: Mapping[str, Ref] = {}

        def moved(tx: AgentTransaction) -> AgentTransaction:
            nonlocal before, made
            view = tx.read(name)
            before, made = view.version, change(_text(name, view.content))
            tx.write(to, made, expect=0, reason=PASSAGE)
            tx.delete(name)
            return tx

        with self.desk.agent() as agent:
            try:
                refs = agent.transact(moved).refs or refs
            except Conflicts as conflicts:
                self._note(was_refused, conflicts)
                raise conflicts.conflicts.get(to, conflicts) from None
            is_known = self.sight.base(name) == before
            self._wrote(refs[name], None)
            if is_known:
                self._wrote(refs[to], made)
            else:
                self.sight.forget(to)
                self._note(was_published, refs[to], made)
            return refs[to]

    def delete_all(self, name: str) -> list[str]:
        """Delete the file `name` and those below it, or none of them; the names of what is gone.

        Raises as `delete` does.
        """
        with self.desk.agent() as agent:
            gone = [each for each in agent.list(name) if f"{each}/".startswith(f"{name}/")]
            with agent.transaction() as tx:
                for each in gone:
                    base = self._seen(each)
                    tx.delete(each, expect=base, overwrite=base is None)
            for each in gone:
                self.sight.wrote(each, 0)
                self._moved(tx.refs[each] if tx.refs else Ref(each, 0), None)
            return gone

    def _seen(self, name: str) -> Ref | Version | None:
        """The version that the caller has seen whole, with its digest if that may come again."""
        base, ref = self.sight.base(name), self._refs.get(name)
        may_return = ref is not None and ref.version == base and self._may_return(name)
        return ref if base and may_return else base

    def _may_return(self, name: str) -> bool:
        """Whether what the caller has seen is its base again if others bring the content back.

        Its work derives from windows of what came between, too, if it was shown any.
        """
        windows = self.sight.windows(name)
        return windows is None or windows.version == self.sight.base(name)

    def _unseen(self, name: str, agent: Agent) -> Version | None:
        """The base of a write to what the caller has not seen: none, its own version, or any."""
        if self._replaces:
            return None
        if self._forgotten & {name, ""}:
            return 0
        try:
            history = self.desk.workspace.history(name)
        except UnknownArtifact:
            return 0
        version = history[-1].version
        for place, entry in enumerate(reversed(history)):
            if entry.author != agent.name or entry.version != version - place:
                return 0
            if not entry.reason and (entry.overwrite or entry.base == entry.version - 1):
                return version
            if entry.reason != PASSAGE:
                return 0
        return 0

    def _wrote(self, ref: Ref, content: Content | None) -> None:
        """The caller has made the whole of `ref`, a deletion if `content` is None."""
        self.sight.wrote(ref.name, 0 if content is None else ref.version)
        self._moved(ref, None)
        self._note(was_published, ref, content)

    def _moved(self, ref: Ref, before: Version | None) -> None:
        """The caller has made `ref`: what this turn has shown of the file is outdated.

        A replaced passage of `before` leaves the rest of it as it was shown.
        """
        name = ref.name
        if self.sight.base(name) == ref.version:
            self._refs[name] = ref
        self._pending = [
            (ref if seen.name == name else seen, lines)
            for seen, lines in self._pending
            if seen.name != name or (lines is None and seen.version == before)
        ]

    def _note(self, event: Callable[..., Event], *what: object) -> None:
        if self.tell is not None:
            self.tell(event(*what, self.desk.name))

    # Refusals.

    def refusal(self, error: ToolkitError, path: str) -> str:
        """The reason for a refusal as a text that a model can act on; its tokens are counted.

        `path` is how the model names the file.
        """
        name = error.current.name if isinstance(error, Conflict | Unread) else path
        why = file_refusal(error, self.desk, path, self.sight.windows(name))
        if (account := self.desk.account) is not None:
            account.told(name, why)
        return why


def _text(name: str, content: Content) -> str:
    if isinstance(content, str):
        return content
    raise InvalidContent(f"{name} holds bytes", remedy="write the whole file")
