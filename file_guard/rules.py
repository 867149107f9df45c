"""The decisions: from contents alone to an answer, and what to remember and keep.

Pure: the caller reads files and the journal, and carries out the verdict.  Contents are compared by
digest and never by time, so a file that was touched, or changed and changed back, is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple

#: The digest of a file that does not exist.
ABSENT = ""
#: In the place of a digest: an agent has seen a content whole, and since then a part of another.
UNSURE = "unsure"
OUTSIDE = "a program without hooks (an editor, git, a formatter)"
#: Of a difference that is shown; an agent has not seen the rest.
SHOWN_LINES = 80
SHOWN_CHARS = 6_000
#: Beyond, no difference is computed: matching lines takes quadratic time at worst.
MATCHED_LINES = 4_000
#: Files that are named one by one in one message.
NAMED = 20
#: What clients show at most of a file, unless they say what they have shown: lines, their width.
READ_LINES, READ_WIDTH = 2_000, 2_000


def digest(data: bytes | None) -> str:
    """The digest of a content; `ABSENT` for None."""
    return ABSENT if data is None else blake2b(data, digest_size=16).hexdigest()


class Call(NamedTuple):
    """What one call of a tool does to one file."""

    #: read, write (whole), edit (exact replacements), patch (any other change) or delete.
    kind: str
    #: Of a write, or shown by a read, if the hook was told.
    content: bytes | None = None
    #: Of an edit: old text, new text, whether all occurrences are replaced.  Of a patch, as far as
    #: it is known: the new texts, each with an empty old one.
    edits: tuple[tuple[bytes, bytes, bool], ...] = ()
    #: The content that the tool says it has found, if it says so.
    found: bytes | None = None
    #: Of a read, whether all lines were shown: True, False, or None for a client that is silent.
    whole: bool | None = False


class Write(NamedTuple):
    """A write of a file that a hook reported."""

    digest: str
    agent: str
    label: str
    #: The content that it was certainly made from, and which it has not lost.
    base: str | None = None


class Facts(NamedTuple):
    """What is known of one file, for one agent, as a hook runs."""

    path: str
    agent: str
    disk: bytes | None
    #: The digest of what the agent has last seen whole; None if it has not.
    seen: str | None = None
    #: The digest of a change that the agent was told of.
    told: str | None = None
    #: The digest at the check before the agent's present call.
    check: str | None = None
    #: Those reported since the check, oldest first; without a check, the newest one.
    writes: tuple[Write, ...] = ()
    #: Who has written since the agent saw the file, as far as hooks reported it.
    authors: tuple[str, ...] = ()


class Loss(NamedTuple):
    """A content that is no longer on disk, and that its writer or replacer has to hear of."""

    text: str
    digest: str
    difference: str = ""


class Verdict(NamedTuple):
    """The answer, and what to remember.  Of `seen` and `told`, None leaves what was."""

    deny: str = ""
    tell: str = ""
    losses: tuple[Loss, ...] = ()
    seen: str | None = None
    told: str | None = None
    #: The digest to remember as this agent's newest write, and what it was made from.
    wrote: str | None = None
    base: str | None = None
    #: A content to keep beside the one on disk, as this agent's.
    keep: bytes | None = None


Texts = Callable[[str], bytes | None]


def before(facts: Facts, call: Call, texts: Texts) -> Verdict:
    """The check before a call: a stale whole write, or deletion, is denied."""
    now, name = digest(facts.disk), facts.path
    if call.kind not in ("write", "delete") or facts.seen == now or call.content == facts.disk:
        return Verdict()
    if facts.disk is None:
        if facts.seen is None or call.kind == "delete":
            return Verdict()
        gone = f"{name} was deleted since you read it, by {OUTSIDE} or an agent."
        return Verdict(f"{gone}\nNothing was written. To bring it back, write it again.", seen=now)
    if facts.seen is None:
        if call.kind == "delete":
            return Verdict()  # the content is kept
        what = f"{name} exists, and you have not read it whole in your present context."
    else:
        who = " and ".join(facts.authors) or _writer(facts, now)
        what = f"{name} was changed by {who} since you read it.\n"
        what += difference(texts(facts.seen), facts.disk)[0]
    rest = "Nothing was written. Read it again and write both changes as one, or edit the part."
    return Verdict(f"{what.rstrip()}\n{rest}")


def after(facts: Facts, call: Call, texts: Texts) -> Verdict:
    """What a call has done: what the agent has now seen, and what its write has replaced."""
    now = digest(facts.disk)
    if call.kind == "read":
        if _has_read(facts, call):
            return Verdict(seen=now)
        # A part of another content than it had seen: no content is all that it knows.
        return Verdict() if facts.seen in (None, now) else Verdict(seen=UNSURE, told=now)
    checked = facts.seen if facts.check is None else facts.check
    was = found = texts(checked) if checked is not None else None
    base = checked
    if call.found is not None and was is not None and not _same(call.found, was):
        base, found = digest(call.found), call.found
    others = [each for each in facts.writes if each.agent != facts.agent]
    mine = _made(call, found)
    is_there = mine is not None and _same(mine, facts.disk)
    # What a later write was made from is not lost, nor is what this call was made from.
    onto = {each.digest for each in others if _is_onto(call, each, facts, texts)}
    kept = {each.base for each in facts.writes} | {base} | onto
    kept |= {now} if mine is not None or call.edits else set()
    lost = list(dict.fromkeys(each.digest for each in others if each.digest not in kept))
    if call.kind != "edit" and checked is not None and base not in (None, checked, now):
        lost.insert(0, base)  # the tool found another content than the check did
    losses = []
    for each in lost:
        by = _writer(facts, each)
        unseen = f"Your write of {facts.path} replaced a change by {by} that you had not seen."
        if mine is None and call.kind != "delete":
            unseen = f"{by} changed {facts.path} at the same time. See whether both changes are in."
        losses.append(Loss(unseen, each, difference(was, texts(each))[0]))
    if mine is None and (parts := _missing(call, facts.disk)):
        mine = parts
    made = _made(call, found) is not None
    # The agent knows all of what it has made: of an edit, if it has seen the rest.
    knows = made and (call.kind == "write" or facts.seen == base)
    if mine is not None and not is_there and digest(mine) in {each.base for each in others}:
        # Another write was made from it meanwhile, and has not lost it.
        return Verdict(
            tell=_late(facts),
            losses=tuple(losses),
            seen=digest(mine) if knows else None,
            told=now,
            wrote=digest(mine),
            base=base,
            keep=mine,
        )
    if mine is not None and not is_there and not onto:
        hooked = any(each.digest == now for each in others)
        changed, whole = difference(mine, facts.disk)
        gone = f"{facts.path} is no longer as you wrote it"
        gone += f": {_writer(facts, now)} has changed it since."
        losses.append(Loss(gone, digest(mine), changed))
        seen = now if whole and not hooked else digest(mine)
        wrote = None if hooked or not made else digest(mine)
        return Verdict("", "", tuple(losses), seen if knows else None, now, wrote, keep=mine)
    made_from = base if is_there else None
    verdict = Verdict(losses=tuple(losses), wrote=now, base=made_from)
    whole = call.kind == "delete" or (call.kind == "write" and is_there)
    if whole or (facts.seen == base and (is_there or not others)):
        return verdict._replace(seen=now)
    if facts.seen is None or facts.told == now:
        return verdict
    return verdict._replace(tell=_late(facts), told=now)


def swept(
    files: Iterable[tuple[str, str, str | None, str]], moved: bool
) -> tuple[str, list[tuple[str, str]]]:
    """What changed on disk of files that an agent has seen: a message, and all that differ.

    Each file is its path, the digest that the agent has seen, the one that it was told of, and the
    one on disk.  `moved` says that git's HEAD has moved since the agent's last call.
    """
    late = [(path, told, now) for path, seen, told, now in files if seen != now]
    differ = [(path, now) for path, _, now in late]
    news = sorted(path for path, told, now in late if told != now)
    if not news:
        return "", differ
    more = f" and {len(news) - NAMED} more" if len(news) > NAMED else ""
    why = " (git's HEAD has moved)" if moved else ""
    said = f"Changed on disk since you read them{why}: {', '.join(news[:NAMED])}{more}."
    return f"{said} Read before you write.", differ


def difference(old: bytes | None, new: bytes | None) -> tuple[str, bool]:
    """The unified diff of two texts, and whether it is complete; empty for what is not text."""
    if old is None or new is None:
        return "", False
    try:
        before, now = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        return "", False
    if max(len(before), len(now)) > MATCHED_LINES:
        return "The file is too long to show the difference.", False
    from difflib import unified_diff

    lines = list(unified_diff(before, now, lineterm="", n=1))[2:]
    text = "\n".join(lines[:SHOWN_LINES])[:SHOWN_CHARS]
    cut = len(text) < len("\n".join(lines))
    return text + ("\n... more follows" if cut else ""), not cut


def _has_read(facts: Facts, call: Call) -> bool:
    """Whether a read has shown what is on disk, and the whole of it."""
    if facts.disk is None:
        return False
    if call.content is not None and _plain(call.content).rstrip() == _plain(facts.disk).rstrip():
        return True
    lines = facts.disk.split(b"\n")
    fits = max(map(len, lines)) <= READ_WIDTH and (call.whole or len(lines) <= READ_LINES + 1)
    # Equal before and after the read, so it is what the model was shown.
    same = facts.check == digest(facts.disk)
    return same and fits and call.whole is not False


def _made(call: Call, base: bytes | None) -> bytes | None:
    """What a call has made of `base`; None if that cannot be told."""
    if call.kind == "write":
        return call.content
    if call.kind != "edit" or base is None:
        return None
    for old, new, every in call.edits:
        if old not in base or (base and not old):
            return None
        base = base.replace(old, new, -1 if every else 1)
    return base


def _late(facts: Facts) -> str:
    late = f"{facts.path} also holds changes that you have not seen."
    return f"{late} Read it before you write it whole."


def _missing(call: Call, disk: bytes | None) -> bytes | None:
    """The new texts of a call, if one of them is not on disk."""
    parts = [new for _, new, _ in call.edits]
    there = _plain(disk or b"")
    return None if all(_plain(each) in there for each in parts) else b"\n".join(parts)


def _is_onto(call: Call, write: Write, facts: Facts, texts: Texts) -> bool:
    """Whether the disk holds an edit that was made on top of another's write."""
    made = _made(call, texts(write.digest)) if call.kind == "edit" else None
    return made is not None and _same(made, facts.disk)


def _writer(facts: Facts, wanted: str) -> str:
    """Who wrote a content, as far as hooks reported it."""
    found = [each.label for each in facts.writes if each.digest == wanted]
    return found[-1] if found else OUTSIDE


def _same(mine: bytes, disk: bytes | None) -> bool:
    """Whether the disk holds it; tools may use another form of line ends, or a mark of UTF-8."""
    return disk is not None and (mine == disk or _plain(mine) == _plain(disk))


def _plain(data: bytes) -> bytes:
    return data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
