"""Docstrings, comments, messages and pages keep to plain technical English.

`BANNED` lists phrasings that a reader stops at, each with the words to write instead. `NOT_YET`
lists the folders and pages that have not been rewritten: strike an entry when its text is plain.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    *("adapters", "bench", "causal", "coherence", "docs", "examples", "message_passing"),
    *("coherence_console", "simulations", "specs"),
)

BANNED: dict[str, str] = {
    r"\b(?i:whom?ever|somebody|nobody|anybody)\b": "name the agent, process or reader",
    r"(?:^|[.:;] )Who\b(?![^.:;]*\?)": "begin with the noun: a waiting agent, a crashed process",
    r"(?<![Tt]here )\b(?:is|are|was|were) no\b(?! longer)": "is not a, does not, has no",
    r"\b(?:is|are|was|were) none\b": "none of, is missing, does not exist",
    r"\b[Aa]new\b": "again",
    r"\b(?:[Bb]ears?|bore|borne|[Bb]earing)\b": "carry, tolerate, apply to",
    r"\b[Ss]ave (?:for|that)\b": "except",
    r"\b(?:held|hold|holds|holding) on to\b": "keep, retain",
    r"\bon (?:the|its|their) way\b": "in transit, meanwhile",
    r"\b(?:gives?|gave|given|giving|makes?|made) way\b": "yields, is replaced",
    r"\b(?:go|goes|going|went|gone) (?:it|the way)\b": "name the path or the steps",
    r"\b[Oo]f (?:a|the) (?:user|caller|reader)'s own\b": "that the user supplies",
    r"\bas \w+ as may be\b": "as possible, or a figure",
    r"\blet(?:s|ting)? go\b": "release, prune, discard",
    r"\b[Ff]arewells?\b": "leave message",
    r"(?:^|[.:;] )What [^.:;?]*\bwhat\b": "make the thing itself the subject",
    r"\b(?:[Ll]est|[Tt]hereof|[Ww]hence|[Hh]itherto|[Tt]herein)\b": "so that not, its, from where",
    r"\bbut for\b": "except",
}
_PATTERNS = {re.compile(pattern): instead for pattern, instead in BANNED.items()}

# An entry is a folder without its sub-folders, with a slash at the end, or a single file.
NOT_YET: tuple[str, ...] = ()

_CODE = re.compile(r"```.*?```|``[^`]*``|`[^`\n]*`", re.DOTALL)


def python_texts(source: str) -> Iterator[str]:
    """Every string literal of a module, and every run of comment lines as one text."""
    for node in ast.walk(ast.parse(source)):
        # A word alone is an identifier.
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value
    lines: list[str] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield " ".join(lines)
                lines = []
            lines.append(token.string.lstrip("#: "))
            last = token.start[0]
    yield " ".join(lines)


def toml_texts(source: str) -> Iterator[str]:
    """Every run of comment lines as one text."""
    for run in re.findall(r"(?m)(?:^#.*\n)+", source):
        yield re.sub(r"(?m)^#+ ?", "", run)


def tla_texts(source: str) -> Iterator[str]:
    """Every run of comment lines as one text, and every comment at the end of a line."""
    for run in re.findall(r"(?m)(?:^\(\*.*\*\)\n)+", source):
        yield re.sub(r"(?m)^\(\*+|\*+\)$", " ", run)
    yield from re.findall(r"\\\*(.*)", source)


def findings(source: str, suffix: str) -> list[str]:
    """The banned words of one file, each with the words to write instead."""
    readers = {
        ".py": python_texts,
        ".toml": toml_texts,
        ".tla": tla_texts,
        ".cfg": tla_texts,
    }
    texts = readers[suffix](source) if suffix in readers else [source]
    found = []
    for text in texts:
        plain = " ".join(_CODE.sub("_", text).split())
        for pattern, instead in _PATTERNS.items():
            for match in pattern.finditer(plain):
                around = plain[max(0, match.start() - 30) : match.end() + 30]
                found.append(f"{match.group()!r} in '...{around}...': write {instead}")
    return found


def pages(root: Path = ROOT) -> list[Path]:
    found = [path for name in FOLDERS for path in (root / name).rglob("*") if path.is_file()]
    found += root.glob("*.md")
    return sorted(path for path in found if path.suffix in (".py", ".md", ".toml", ".tla", ".cfg"))


def unwritten(name: str) -> bool:
    return name in NOT_YET or name.rpartition("/")[0] + "/" in NOT_YET


def failures(root: Path = ROOT) -> list[str]:
    """The findings in every file that `NOT_YET` does not excuse, with the name of the file."""
    return [
        f"{name}: {finding}"
        for path in pages(root)
        if not unwritten(name := path.relative_to(root).as_posix())
        for finding in findings(path.read_text(encoding="utf-8"), path.suffix)
    ]


@pytest.mark.slow
def test_rewritten_folders_keep_to_plain_words():
    assert failures() == []


def test_the_list_of_unwritten_folders_names_what_exists():
    assert [entry for entry in NOT_YET if not (ROOT / entry).exists()] == []


SAMPLES = [
    ("x = 1  # Nobody waits here.\n", ".py"),
    ('"""Read.\n\nWho waits asks\nagain.\n"""\n', ".py"),
    ('raise ValueError(f"{name} is no message")\n', ".py"),
    ("# The copy is read\n# anew after a loss.\n", ".py"),
    ("A message is never lost,\nsave for a crash.\n", ".md"),
    ("# A farewell\n# of a cache.\nfarewell = 1\n", ".toml"),
    ("(* Each copy ends,     *)\n(* save for a dead one. *)\nSound == TRUE\n", ".tla"),
    ("VARIABLE up  \\* who is up, or none: it is no process\n", ".tla"),
    ("\\* Must fail: nobody waits.\nSPECIFICATION Spec\n", ".cfg"),
]


@pytest.mark.parametrize(("source", "suffix"), SAMPLES)
def test_a_banned_phrase_in_a_rewritten_folder_is_found(tmp_path, monkeypatch, source, suffix):
    monkeypatch.setitem(globals(), "NOT_YET", ("causal/transports/",))
    folder = tmp_path / "causal"
    folder.mkdir()
    (folder / f"plain{suffix}").write_text("# Text that is plain.\n")
    assert failures(tmp_path) == []
    (folder / f"page{suffix}").write_text(source)
    (failure,) = failures(tmp_path)
    assert failure.startswith(f"causal/page{suffix}: ")


def test_a_banned_phrase_in_an_unwritten_folder_is_excused(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "NOT_YET", ("causal/",))
    (tmp_path / "causal").mkdir()
    (tmp_path / "causal" / "page.md").write_text("Nobody waits.\n")
    assert failures(tmp_path) == []


PLAIN = [
    "if x is None:\n    print('there is no copy, and the copy is no longer valid')\n",
    "print('Who waits?', 'see `nobody`')\n",
    "nobody = {'nobody': 1}\n",
]


@pytest.mark.parametrize("source", PLAIN)
def test_names_questions_and_quoted_code_are_not_found(source):
    assert findings(source, ".py") == []
