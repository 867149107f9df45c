"""The rules of the guard of files, as they run in its hooks: mistakes in them are refuted."""

import pytest

from specs.checker import Verdict, check
from specs.checker.errors import UsageError
from specs.code_swap import mistaken
from specs.models.guarded_file import guarded_file

RULES = "file_guard.rules"
TOLD, KNOWN = "what is lost is told", "what counts as seen is known"

#: The mistake, the model, and what it violates.
MISTAKES = {
    "a stale whole write passes": (("before", "or facts.seen == now", "or facts.seen"), {}, TOLD),
    "an unread file may be replaced": (
        ("before", "if facts.disk is None", "if facts.disk is None or facts.seen is None"),
        {"says_found": False},
        TOLD,
    ),
    "what others wrote meanwhile is not looked at": (
        ("after", "if each.digest not in kept", "if False"),
        {},
        TOLD,
    ),
    "what the tool found is not compared": (
        ("after", "checked is not None and base not in", "False and base not in"),
        {"outside": 1},
        TOLD,
    ),
    "a write that was replaced at once is there": (
        ("after", "not is_there and not onto", "False and not onto"),
        {},
        TOLD,
    ),
    "an edit that was replaced shows the file": (
        ("after", 'made and (call.kind == "write" or facts.seen == base)', "made"),
        {},
        KNOWN,
    ),
    "a part of another content changes nothing": (
        ("after", "if facts.seen in (None, now)", "if True"),
        {},
        KNOWN,
    ),
    "a part is the whole": (
        ("_has_read", "and call.whole is not False", ""),
        {},
        KNOWN,
    ),
    "an edit among others' changes shows the file": (
        ("after", "facts.seen == base and (is_there or not others)", "True"),
        {},
        KNOWN,
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_rules_is_refuted(name):
    mistake, constants, violated = MISTAKES[name]
    with mistaken(RULES, *mistake):
        result = check(guarded_file(**constants))
    assert result.verdict is Verdict.VIOLATED
    assert [f.name for f in result.findings if f.verdict is Verdict.VIOLATED] == [violated]


def test_kinds_of_calls_are_known():
    with pytest.raises(UsageError, match="not kinds of calls"):
        guarded_file(kinds="read paint")
    with pytest.raises(UsageError):
        guarded_file(kinds="")
