"""What a conversation says about artifacts is read from its texts as it was written."""

import pytest

from coherence import Ref
from coherence.context.evidence import passage, written
from coherence.context.notices import NOTICE, Heard, heard, is_notice, message, outdated
from coherence.context.telling import Saying

ONE, TWO = Ref("plan.md", 1), Ref("plan.md", 2)


def test_a_message_is_read_as_it_was_written():
    change = passage(TWO, "@@ -1 +1 @@\n-a\n+b\n", ONE)
    line = outdated(Ref("notes/a b.md", 7), "ann; you were last shown it.", deleted=False)
    text = message([line, change])
    assert text.startswith(NOTICE)
    assert list(heard(text)) == [
        Heard(TWO, Saying.CHANGE, change),
        Heard(Ref("notes/a b.md", 7), Saying.SIGNAL),
    ]
    assert message([]) == ""
    assert list(heard("")) == []


def test_what_a_text_quotes_is_not_said():
    """An artifact may contain a message of ours, or a line of one."""
    quoted = message([outdated(ONE, "ann", deleted=True), passage(ONE, "text")])
    change = passage(Ref("log.md", 3), quoted)
    assert list(heard(message([change]))) == [Heard(Ref("log.md", 3), Saying.CHANGE, change)]


def test_a_deletion_and_a_change_are_both_signals():
    for deleted, what in ((True, "deleted"), (False, "changed")):
        line = outdated(ONE, "ann", deleted=deleted)
        assert f"was {what} by ann" in line
        assert "@2" not in line, "no version that could be claimed"
        assert list(heard(message([line]))) == [Heard(ONE, Saying.SIGNAL)]


def test_an_answer_is_an_access():
    whole = passage(ONE, "text")
    assert list(heard(f"look: {whole}", "read_artifact")) == [Heard(ONE, Saying.NOTHING, whole)]
    assert list(heard(f"look: {whole}")) == [], "a colleague's"
    assert list(heard(whole, "edit_artifact")) == [Heard(ONE, Saying.NOTHING)]
    assert list(heard(written(TWO, "text"), "write_artifact")) == [Heard(TWO, Saying.NOTHING)]
    assert list(heard("[plan.md is unchanged since plan.md@2]", "read_artifact")) == [
        Heard(TWO, Saying.NOTHING)
    ]
    assert not is_notice(whole)


@pytest.mark.parametrize(
    "text",
    [
        f"{NOTICE}\nplan.md was changed by ann; you were last shown plan.md.",
        f"{NOTICE}\nplan.md was changed by ann; you were last shown plan.md@0.",
        f"{NOTICE}\nplan.md was changed by ann",
        "[plan.md is unchanged since it was written]",
        '<artifact ref="plan.md" seal="0"/>',
    ],
)
def test_what_names_no_version_says_nothing(text):
    assert list(heard(text)) == list(heard(text, "read_artifact")) == []
