"""Rules for names of artifacts and agents, and refs such as ``plan.md@3``.

A name is a relative path in a single notation, so it means the same in a prompt, in a file system
and in a store's key.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from coherence.errors import BadRef, InvalidName

NAME_CHARS_MAX = 200
AGENT_CHARS_MAX = 100
#: The largest version that every store can hold.
VERSION_MAX = 2**63 - 1

# Letters, digits, marks, spaces and most punctuation are fine; these are not.  ``@`` would make
# refs ambiguous, a backslash or a colon is a path or a drive on some machine.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f@\\:*?"<>|\u2028\u2029]')
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\Z")
_REF = re.compile(r"(?P<name>.+)@(?P<version>[1-9][0-9]{0,18})", re.DOTALL)


class Ref(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One version of one artifact; prints as ``name@version``.

    `workspace` is the workspace of the ref and `digest` the digest of its content; both are empty
    in a parsed ref.  Refs are equal if name and version are.
    """

    name: str
    version: int
    workspace: str = ""
    digest: bytes = b""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ref):
            return NotImplemented
        return self.version == other.version and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def __repr__(self) -> str:
        return f"Ref({self.name!r}, {self.version})"

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: object) -> Ref:
        """The ref that `text` prints.  Raises `BadRef`."""
        found = _REF.fullmatch(text) if isinstance(text, str) else None
        if found is None or int(found["version"]) > VERSION_MAX:
            raise BadRef(f"{text!r} is not a ref")
        try:
            return cls(check_name(found["name"]), int(found["version"]))
        except InvalidName as error:
            raise BadRef(f"{text!r} is not a ref: {error}") from error


def check_name(name: object) -> str:
    """`name`, if it may name an artifact.  Raises `InvalidName`, which says what is wrong."""
    if not isinstance(name, str):
        raise InvalidName(f"an artifact's name is text, not {type(name).__name__}")
    if len(name) <= NAME_CHARS_MAX and _PLAIN.match(name):
        return name
    wrong = _fault(name)
    if wrong:
        raise InvalidName(f"{_show(name)} {wrong}")
    return name


def check_new_name(name: str) -> None:
    r"""Raises `InvalidName` if `name`, which may name an artifact, must not name a new one.

    Format controls do not show, or turn the text around them: of ``\u202egnp.exe`` a reader sees
    ``exe.png``.  Artifacts that have such a name already can be read, renamed and deleted.
    """
    if name.isascii():
        return
    for letter in name:
        if unicodedata.category(letter) == "Cf":
            raise InvalidName(
                f"{_show(name)} holds the format control {letter!a}",
                remedy="leave the control out: a reader of the name does not see it",
            )


def check_agent(name: object) -> str:
    """`name`, if it may name an agent.  Raises `InvalidName`."""
    if not isinstance(name, str):
        raise InvalidName(f"an agent's name is text, not {type(name).__name__}")
    wrong = _fault(name)
    if not wrong and len(name) > AGENT_CHARS_MAX:
        wrong = f"is longer than {AGENT_CHARS_MAX} characters"
    if wrong:
        raise InvalidName(f"{_show(name)} {wrong}", remedy="name an agent as you would a file")
    return name


def _fault(name: str) -> str:
    if not name:
        return "is empty"
    if len(name) > NAME_CHARS_MAX:
        return f"is longer than {NAME_CHARS_MAX} characters"
    if (bad := _FORBIDDEN.search(name)) is not None:
        return f"holds {bad.group()!r}"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's composed form (NFC)"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"has {part!r} as a part of its path"
        if part != part.strip() or part.endswith("."):
            return "has a part that begins or ends with a space, or ends with a dot"
    return ""


def _show(name: str) -> str:
    return ascii(name) if len(name) <= 80 else ascii(name[:77]) + "..."
