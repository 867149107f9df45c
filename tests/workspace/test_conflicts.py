"""The text of a conflict for a model: bounded, and enough to answer from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence import BadArgument, Conflict, Fenced, Ref
from coherence.conflict import PROMPT_CHARS_MIN
from coherence.workspace import json

LINES = [f"{number}. step {number}\n" for number in range(1, 9)]
BASE = "".join(LINES)


def changed(number, text):
    return BASE.replace(LINES[number - 1], text + "\n")


def conflict(yours, theirs, base=BASE, *, kind=Conflict, base_version=1, version=2):
    return kind(
        "the write derives from plan.md@1, current is plan.md@2 by ann",
        yours=yours,
        base=base,
        base_version=base_version,
        theirs=theirs,
        current=Ref("plan.md", version),
        author="ann",
    )


def test_a_prompt_has_both_changes_and_the_merge():
    error = conflict(changed(7, "my seventh"), changed(2, "her second"))
    assert error.for_prompt() == (
        "Your write of plan.md was refused, and nothing was changed. It derives from version 1; "
        "current is version 2, by ann.\n"
        '<their_changes from="1" to="2">\n'
        "@@ -2 +2 @@\n-2. step 2\n+her second\n"
        "</their_changes>\n"
        '<your_changes from="1">\n'
        "@@ -7 +7 @@\n-7. step 7\n+my seventh\n"
        "</your_changes>\n"
        f"<merged>\n{error.merge()}\n</merged>\n"
        "Answer with the whole text that the artifact is to have, and nothing else. "
        "<merged> has both changes: answer with it, or mend it where they contradict."
    )


def test_a_prompt_without_a_merge_has_the_current_text():
    text = conflict(changed(2, "mine"), theirs := changed(2, "hers")).for_prompt()
    assert f'<current version="2">\n{theirs}\n</current>' in text
    assert "-2. step 2\n+mine\n" in text
    assert "-2. step 2\n+hers\n" in text
    assert "<merged>" not in text
    assert "Both sides touch the same lines" in text


def test_a_prompt_of_two_new_artifacts_has_both_whole():
    text = conflict("mine", "hers", None, base_version=0).for_prompt()
    assert '<current version="2">\nhers\n</current>\n<yours>\nmine\n</yours>' in text
    assert "derives from no version; current is version 2" in text


def test_a_prompt_whose_base_is_not_kept_has_both_whole():
    text = conflict("mine", "hers", None).for_prompt()
    assert "<yours>\nmine\n</yours>" in text
    assert "is not kept" in text


def test_a_prompt_names_what_is_not_text():
    text = conflict(b"\0\1", "hers").for_prompt()
    assert "[2 bytes that are not text]" in text
    assert "Answer which of the two is to be kept" in text


def test_a_prompt_of_a_deleted_artifact_says_so():
    text = conflict("mine", None).for_prompt()
    assert "current is version 2, a deletion by ann" in text
    assert "If your text is still needed" in text
    text = conflict("mine", None, None, version=0).for_prompt()
    assert "the artifact does not exist" in text


def test_a_prompt_of_a_refused_deletion_asks_again():
    text = conflict(None, "hers").for_prompt()
    assert text.startswith("Your deletion of plan.md was refused")
    assert "hers" in text
    assert "still to be deleted" in text


def test_a_prompt_of_a_draft_says_so():
    assert "Your draft of plan.md" in conflict("mine", "hers", kind=Fenced).for_prompt()


contents = st.one_of(st.none(), st.binary(max_size=50), st.text(max_size=6_000))


@given(
    contents,
    contents,
    contents,
    st.booleans(),
    st.integers(PROMPT_CHARS_MIN, 3_000),
    st.text(st.sampled_from("ab\n"), max_size=3_000),
)
def test_a_prompt_keeps_to_its_limit(yours, theirs, base, long, limit, more):
    yours, theirs = (x + more if isinstance(x, str) else x for x in (yours, theirs))
    error = conflict(yours, theirs, base)
    if long:
        error.current = Ref("n" * 200, 2**62)
        error.base_version = 2**62 - 1
        error.author = "a" * 100
    whole, text = error.for_prompt(1_000_000), error.for_prompt(limit)
    assert len(text) <= limit
    assert text == whole or "Some of this is cut" in text


@pytest.mark.parametrize("limit", [0, 999, None, 1e4, True, "long"])
def test_a_limit_is_a_number_of_characters(limit):
    with pytest.raises(BadArgument):
        conflict("mine", "hers").for_prompt(limit)


def test_a_summary_names_no_version_0(rooms):
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "by ann\n")
    with pytest.raises(Conflict) as new:
        bob.write("plan.md", "by bob\n")
    assert new.value.summary == (
        "You wrote from nothing; current is plan.md@1, by ann.\n"
        "What plan.md@1 holds:\n@@ -0,0 +1 @@\n+by ann\n"
        "What you wrote:\n@@ -0,0 +1 @@\n+by bob\n"
        "The two overlap: only you can say what is meant."
    )
    with pytest.raises(Conflict) as missing:
        bob.write("other.md", "text", expect=5)
    assert missing.value.summary == "You wrote from other.md@5; the artifact does not exist."
    ann.delete("plan.md")
    with pytest.raises(Conflict) as deleted:
        bob.write("plan.md", "text", expect=1)
    assert deleted.value.theirs is None
    assert (
        deleted.value.summary
        == "You wrote from plan.md@1; current is plan.md@2, a deletion by ann."
    )
    ann.write("plan.md", "again")
    with pytest.raises(Conflict) as deletion:
        bob.delete("plan.md", expect=1)
    assert deletion.value.yours is None
    assert deletion.value.summary.startswith("You deleted plan.md@1; current is plan.md@3")
    for error in (new, missing, deleted, deletion):
        assert "@0" not in f"{error.value} {error.value.summary} {error.value.for_prompt()}"


def test_values_are_merged_and_shown_line_by_line(rooms):
    ann, bob = rooms.agents("ann", "bob")
    base = {"goal": "x", "owner": "ann", "steps": ["parse", "print", "test"], "title": "Plan"}
    ann.write("plan.json", json.encode(base))
    bob.read("plan.json")
    ann.update("plan.json", json.applied(lambda plan: {**plan, "goal": "y"}))
    bob.write("plan.json", json.encode({**base, "title": "Our plan"}), merge=True)
    assert json.decode(ann.read("plan.json")) == {**base, "goal": "y", "title": "Our plan"}
    with pytest.raises(Conflict) as refused:
        bob.write("plan.json", json.encode({**base, "goal": "z"}), expect=1, merge=True)
    prompt = refused.value.for_prompt()
    assert '-  "goal": "x",\n+  "goal": "z",' in prompt
    assert '"title": "Our plan"' in prompt
