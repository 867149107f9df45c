"""The calls of a model whose conversation cannot be read: it names the versions that it has.

A model remembers a ref longer than the text: its context is compacted, or belongs to a subagent
that was never shown the text, and no client says so.  So a claim to have a version counts only if
this process itself has served it lately, by number of answers and by time; any other is answered
with the whole text.  This bounds the damage of a false claim without any help of the client.  A
false base of a write does no harm: the write is refused.

Answers are text, with the ref in the text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from threading import Lock
from time import monotonic
from typing import Annotated, Final, NamedTuple, TypeVar

from pydantic import Field

from coherence.conflict import Conflict
from coherence.contents import Content, Kind
from coherence.context.answers import refusal, window
from coherence.context.before_call import changed
from coherence.context.calls import Calls, Limit, Name, New, Offset, Old, Prefix, Text
from coherence.context.desk import Desk
from coherence.context.events import was_read, was_shown
from coherence.context.evidence import header
from coherence.context.following import versions_of
from coherence.context.many import BasedPiece, Piece
from coherence.context.reader import harmless
from coherence.context.recording import record
from coherence.delta import diff, split
from coherence.errors import AgentSuperseded, BadRef, ForeignRef
from coherence.messages import Version
from coherence.refs import Ref
from coherence.view import View
from coherence.workspace.agent import account_of
from coherence.workspace.workspace import Workspace
from message_passing.errors import EnvironmentFault, ToolkitError

T = TypeVar("T")

Have = Annotated[
    str | None,
    Field(description="Ref of the text, only if it is still above in your context: plan.md@3"),
]
Expect = Annotated[
    str | None, Field(description="Ref that your text derives from; none if the artifact is new")
]
Judged = Annotated[str, Field(description="Ref of what you have read, such as plan.md@3")]
Merge = Annotated[
    bool, Field(description="Where others changed other lines meanwhile, write both changes")
]
Number = Annotated[int | None, Field(ge=1, description="An earlier version, whole")]
Last = Annotated[int, Field(ge=1, le=200, description="How many versions")]

#: A claim counts for the versions that were served last...
SERVED_MAX: Final = 50
#: ...and for this long.
SERVED_S: Final = 900.0
#: The agents that are remembered.
CALLERS_MAX: Final = 1_024
#: A longer text is shown in parts: clients cut the answers of tools without a word.
ANSWER_CHARS_MAX: Final = 80_000
#: What follows a fault that no call of a model mends...
FAULT: Final = "If it stays so, tell the person you work for: they may have to restart this server."
#: ...and the loss of a name, which the next call takes back.
OTHERS_NAME: Final = (
    "Call again. Tell the person you work for that two processes have the name of your agent."
)
#: The names in one answer.
NAMES_MAX: Final = 500
#: How long a write waits for the grant of another agent: less than a client waits for an answer.
GRANT_WAIT_S: Final = 30.0


class ExpectingPiece(Piece):
    """One of several artifacts, with the version from which its text derives."""

    expect: Expect = None


Pieces = Annotated[
    list[ExpectingPiece], Field(description="The artifacts, each with its whole text")
]
Rests = Annotated[
    list[str] | None, Field(description="Refs of what they rest on beside, such as plan.md@3")
]


class Claimable:
    """The versions whose whole text an agent was served, or has written; for all of its threads."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now, self._busy = now, Lock()
        self._refs: OrderedDict[str, tuple[Ref, float]] = OrderedDict()
        #: Artifact -> the newest version that an answer has told of.
        self._told: dict[str, Version] = {}

    def add(self, ref: Ref) -> None:
        """The agent has the whole text of `ref` now."""
        with self._busy:
            self._refs.pop(str(ref), None)
            self._refs[str(ref)] = ref, self._now()
            if len(self._refs) > SERVED_MAX:
                self._refs.popitem(last=False)

    def claimed(self, ref: str | None) -> Ref | None:
        """The served version that a model claims to have; None if it must be served again."""
        with self._busy:
            found = self._refs.get(ref or "")
        return found[0] if found and self._now() - found[1] <= SERVED_S else None

    def told(self, ref: Ref) -> None:
        """An answer has told of this version: no line repeats it."""
        with self._busy:
            self._told[ref.name] = max(ref.version, self._told.get(ref.name, 0))

    def outdated(self, latest: Mapping[str, Version]) -> dict[str, Ref]:
        """Artifact -> the newest served version, where `latest` has a newer one.

        Each newer version is reported once.
        """
        with self._busy:
            refs = sorted((ref for ref, _ in self._refs.values()), key=lambda ref: ref.version)
            newest = {ref.name: ref for ref in refs}
            self._told = {name: self._told.get(name, 0) for name in newest}
            late = {
                name: ref
                for name, ref in newest.items()
                if latest.get(name, 0) > max(ref.version, self._told[name])
            }
            self._told |= {name: latest[name] for name in late}
        return late


class Caller(NamedTuple):
    """The agent that calls, and the versions that it was served."""

    desk: Desk
    claimable: Claimable

    def view(self, name: str, version: Version | None) -> View:
        """A version, or the current one.  Raises as `Agent.read` does."""

        def read() -> View:
            with self.desk.agent() as agent:
                return agent.read(name, version=version)

        return twice(read)

    def news(self, latest: Mapping[str, Version]) -> list[str]:
        """Lines about served versions that have been replaced; `latest` is known of the newest."""
        late = self.claimable.outdated(latest)
        return list(changed(self.desk.workspace, late).values()) if late else []

    def refusal(self, error: ToolkitError, name: object) -> str:
        """See `coherence.context.answers.refusal`."""
        if isinstance(error, Conflict):
            self.claimable.told(error.current)
        said = refusal(error, self.desk, name, "expect")
        if isinstance(error, AgentSuperseded):
            return f"{said}\n{OTHERS_NAME}"
        return f"{said}\n{FAULT}" if isinstance(error, EnvironmentFault) else said


def twice(call: Callable[[], T]) -> T:
    """The result of `call`, made again if another process has taken the name of its agent.

    A refused call has changed nothing, and the next one takes the name back.
    """
    try:
        return call()
    except AgentSuperseded:
        return call()


class ServedCallers:
    """The agents that call in a process, by name; those that called last are remembered.

    Raises `InvalidName`, `WorkspaceClosed`.
    """

    def __init__(self, workspace: Workspace, *, read_only: bool = False) -> None:
        self._workspace, self._read_only = workspace, read_only
        self._there: OrderedDict[str, Caller] = OrderedDict()

    def __getitem__(self, agent: str) -> Caller:
        there = self._there.pop(agent, None)
        if there is None:
            desk = Desk(self._workspace, agent, read_only=self._read_only)
            there = Caller(desk, Claimable())
        self._there[agent] = there
        if len(self._there) > CALLERS_MAX:
            self._there.popitem(last=False)
        return there


class ServedCalls:
    """The calls of a model.  `caller` is called at each call.  Every call raises as `Agent` does.

    Signatures and docstrings are the prompt: an adapter makes its tools from them.
    """

    def __init__(self, caller: Callable[[], Caller]) -> None:
        self._caller = caller
        self._calls = Calls(lambda: caller().desk, sealed=False, tell=lambda: record)

    def reads(self) -> list[Callable[..., str]]:
        """The calls that change nothing, in the order of the tools: prompts are cached with it."""
        return [self.read_artifact, self.list_artifacts, self.artifact_history]

    def writes(self) -> list[Callable[..., str]]:
        """The others."""
        return [self.write_artifact, self.edit_artifact, self.publish_many, self.delete_artifact]

    def read_artifact(
        self,
        name: Name,
        have: Have = None,
        version: Number = None,
        offset: Offset = 0,
        limit: Limit = None,
    ) -> str:
        """Read a shared artifact: its text, or what changed since the text that you have."""
        desk, claimable = self._caller()
        is_part = version is not None or offset != 0 or limit is not None
        with desk.agent() as agent:
            view = agent.read(name, None if is_part else claimable.claimed(have), version=version)
            said, is_whole = view.for_prompt() if view.have else "", True
            if 0 < len(said) <= ANSWER_CHARS_MAX:
                record(was_read(view, agent.name))
            else:
                said, is_whole = answer(view, offset, limit)
                account_of(agent).unseen(view)
                account_of(agent).told(name, said)
                record(was_shown(view, said, agent.name))
        if is_whole:
            claimable.add(view.ref)
        return said

    def list_artifacts(self, prefix: Prefix = "") -> str:
        """List the shared artifacts whose names begin with `prefix`, each as its current ref."""
        desk, _ = self._caller()
        with desk.agent() as agent:
            names = agent.list(prefix)
        current = versions_of(desk.workspace, list(names[:NAMES_MAX]))
        lines = [str(Ref(name, version)) for name, version in sorted(current.items())]
        if len(names) > NAMES_MAX:
            lines.append(f"[{len(names) - NAMES_MAX} more: give a longer prefix]")
        return "\n".join(lines) or "There is no artifact."

    def artifact_history(self, name: Name, last: Last = 20) -> str:
        """List who wrote which version of an artifact, newest last."""
        desk, _ = self._caller()
        with desk.agent() as agent:
            entries = agent.history(name)[-last:]
        lines = []
        for entry in entries:
            is_gone = entry.handle.kind is Kind.TOMBSTONE
            what = "deletion" if is_gone else f"{entry.handle.size_bytes} bytes"
            reason = f": {entry.reason}" if entry.reason else ""
            lines.append(f"{Ref(name, entry.version)} by {entry.author}, {what}{reason}")
        return "\n".join(lines)

    def write_artifact(
        self, name: Name, text: Text, expect: Expect = None, merge: Merge = False
    ) -> str:
        """Write a shared artifact. It is refused if others changed it since what you expect."""
        desk, claimable = self._caller()
        merged = text

        def solve(conflict: Conflict) -> Content | None:
            nonlocal merged
            taken = conflict.merge() if merge else harmless(conflict)
            merged = taken if isinstance(taken, str) else text
            return taken

        base = _base(desk.workspace, name, expect) if expect else 0
        with desk.agent() as agent:
            ref = agent.write(name, text, expect=base, merge=solve, wait_s=GRANT_WAIT_S)
            said = f"[{ref} is written]"
            if merged != text:
                said = f"[{ref} is written: your text, with these changes by others]\n"
                said += diff(text, merged).render(text)
            account_of(agent).told(name, said)
        claimable.add(ref)
        return said

    def edit_artifact(self, name: Name, old: Old, new: New) -> str:
        """Replace one passage of a shared artifact, whatever others change elsewhere in it."""
        _, claimable = self._caller()
        told = self._calls.edit_artifact(name, old, new)
        assert isinstance(told.claim, dict)
        ref = Ref.parse(told.claim["ref"])
        # The text before and the edit give the text after it.
        if claimable.claimed(str(Ref(name, ref.version - 1))):
            claimable.add(ref)
        return told.plain

    def publish_many(self, artifacts: Pieces, reads: Rests = None) -> str:
        """Write several artifacts as one: all or none. Refused if others changed one or a read."""
        _, claimable = self._caller()
        pieces = [BasedPiece(name=p.name, text=p.text, base=p.expect) for p in artifacts]
        told = self._calls.publish_many(pieces, reads)
        assert isinstance(told.claim, list)
        for each in told.claim:
            claimable.add(Ref.parse(each["ref"]))
        return told.plain

    def delete_artifact(self, name: Name, expect: Judged) -> str:
        """Delete a shared artifact; its history stays. Refused if others changed it meanwhile."""
        desk, claimable = self._caller()
        base = _base(desk.workspace, name, expect)
        with desk.agent() as agent:
            ref = agent.delete(name, expect=base, wait_s=GRANT_WAIT_S)
        claimable.told(ref)
        return f"[{ref}: deleted]"


def known(workspace: Workspace, refs: Iterable[str]) -> dict[str, Ref]:
    """Artifact -> the version that a model names.  Raises `BadRef`, `ForeignRef`."""
    parsed = {ref.name: ref for ref in map(Ref.parse, refs)}
    versions = versions_of(workspace, list(parsed))
    for ref in parsed.values():
        if versions.get(ref.name, 0) < ref.version:
            raise ForeignRef(f"{ref} is not a version of this workspace")
    return parsed


def _base(workspace: Workspace, name: str, expect: str) -> Ref:
    if Ref.parse(expect).name != name:
        raise BadRef(f"{expect} is not a version of {name!r}")
    return known(workspace, [expect])[name]


def answer(view: View, offset: int, limit: int | None) -> tuple[str, bool]:
    """A version for a model, or as many of the wanted lines as fit; and whether it is the whole.

    Raises `BadArgument`, and `InvalidContent` if the artifact holds bytes.
    """
    part, lines = window(view, offset, limit)
    if lines.are_whole and len(view.text) <= ANSWER_CHARS_MAX:
        return f"{header(view.ref)}{view.text}", True
    wanted = split(view.text)[offset : lines.last]
    fitting = sum(chars <= ANSWER_CHARS_MAX for chars in accumulate(map(len, wanted)))
    part, lines = window(view, offset, max(fitting, 1))
    if not fitting:
        part = part[:ANSWER_CHARS_MAX] + f"\n[line {lines.last} is too long, and was cut]\n"
    if lines.last < lines.total:
        part += f"[go on with offset={lines.last}]"
    return part, False
