import pytest

from coherence import Conflict, Workspace
from coherence.context import served
from coherence.context.many import Outdated
from coherence.context.served import (
    SERVED_MAX,
    SERVED_S,
    Claimable,
    ServedCallers,
    ServedCalls,
    answer,
    known,
    twice,
)
from coherence.errors import (
    AgentReadOnly,
    AgentSuperseded,
    BadArgument,
    BadRef,
    ForeignRef,
    InvalidContent,
    InvalidName,
    UnknownArtifact,
    UnknownVersion,
)
from coherence.refs import Ref


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workspace():
    with Workspace() as opened:
        yield opened


@pytest.fixture
def callers(workspace):
    return ServedCallers(workspace)


@pytest.fixture
def a(callers):
    return ServedCalls(lambda: callers["a"])


@pytest.fixture
def b(callers):
    return ServedCalls(lambda: callers["b"])


def calls_of(workspace):
    """The calls of `a` in a process that has served nothing."""
    callers = ServedCallers(workspace)
    return ServedCalls(lambda: callers["a"])


# Claims.


def test_a_claim_counts_for_what_was_served_lately(clock):
    there = Claimable(clock)
    there.add(Ref("plan.md", 3))
    clock.now = SERVED_S
    assert there.claimed("plan.md@3") == Ref("plan.md", 3)
    clock.now += 1
    assert there.claimed("plan.md@3") is None


def test_a_version_that_is_served_again_counts_from_then_on(clock):
    there = Claimable(clock)
    there.add(Ref("plan.md", 3))
    clock.now = SERVED_S
    there.add(Ref("plan.md", 3))
    clock.now *= 2
    assert there.claimed("plan.md@3")


def test_a_claim_counts_for_the_last_versions_only(clock):
    there = Claimable(clock)
    for number in range(SERVED_MAX + 1):
        there.add(Ref(f"{number}.md", 1))
    assert there.claimed("0.md@1") is None
    assert there.claimed("1.md@1")


@pytest.mark.parametrize("claim", [None, "", "plan.md@4", "plan.md", "@", "plan.md@3 "])
def test_any_other_claim_counts_for_nothing(claim, clock):
    there = Claimable(clock)
    there.add(Ref("plan.md", 3))
    assert there.claimed(claim) is None


def test_a_false_claim_is_answered_with_the_whole_text(a, b):
    a.write_artifact("plan.md", "one")
    assert b.read_artifact("plan.md", have="plan.md@1") == "[plan.md@1]\none"
    assert b.read_artifact("plan.md", have="plan.md@1") == (
        "[plan.md is unchanged since plan.md@1]"
    )


def test_a_claim_of_before_a_restart_is_answered_with_the_whole_text(workspace, a):
    a.write_artifact("plan.md", "one")
    again = calls_of(workspace)
    assert again.read_artifact("plan.md", have="plan.md@1") == "[plan.md@1]\none"


def test_a_base_of_before_a_restart_is_judged_as_ever(workspace, a, b):
    a.write_artifact("plan.md", "one")
    again = calls_of(workspace)
    assert again.write_artifact("plan.md", "two", "plan.md@1") == "[plan.md@2 is written]"
    with pytest.raises(Conflict):
        b.write_artifact("plan.md", "three", "plan.md@1")


def test_who_has_a_text_is_given_what_has_changed(a, b):
    text = "".join(f"line {n}\n" for n in range(100))
    a.write_artifact("plan.md", text)
    b.edit_artifact("plan.md", "line 7\n", "line seven\n")
    said = a.read_artifact("plan.md", have="plan.md@1")
    assert said.startswith("[plan.md@2: changes since plan.md@1]\n")
    assert "line seven" in said
    assert "line 50" not in said


def test_an_edit_of_a_text_that_was_served_is_known_whole(a):
    a.write_artifact("plan.md", "one\ntwo\n")
    a.edit_artifact("plan.md", "two", "2")
    assert "unchanged" in a.read_artifact("plan.md", have="plan.md@2")


def test_an_edit_of_a_text_that_was_not_served_is_not(a, b):
    a.write_artifact("plan.md", "one\ntwo\n")
    b.edit_artifact("plan.md", "two", "2")
    assert b.read_artifact("plan.md", have="plan.md@2") == "[plan.md@2]\none\n2\n"


# Reads.


def test_an_earlier_version_is_read_whole(a):
    a.write_artifact("plan.md", "one")
    a.write_artifact("plan.md", "two", "plan.md@1")
    assert a.read_artifact("plan.md", version=1) == "[plan.md@1]\none"
    with pytest.raises(UnknownVersion):
        a.read_artifact("plan.md", version=3)


def test_a_part_names_no_ref_and_serves_nothing(a, b):
    a.write_artifact("plan.md", "one\ntwo\nthree")
    said = b.read_artifact("plan.md", offset=1, limit=1)
    assert said == ("[plan.md: lines 2 to 2 of 3, not the whole]\ntwo\n[go on with offset=2]")
    assert b.read_artifact("plan.md", have="plan.md@1") == "[plan.md@1]\none\ntwo\nthree"


def test_a_part_beyond_the_end_is_refused(a):
    a.write_artifact("plan.md", "one\n")
    with pytest.raises(BadArgument, match=r"plan\.md has 1 lines"):
        a.read_artifact("plan.md", offset=5)


def test_a_part_that_is_all_is_the_whole(a, b):
    a.write_artifact("plan.md", "one\ntwo")
    assert b.read_artifact("plan.md", limit=9) == "[plan.md@1]\none\ntwo"
    assert "unchanged" in b.read_artifact("plan.md", have="plan.md@1")


@pytest.fixture
def short_answers(monkeypatch):
    monkeypatch.setattr(served, "ANSWER_CHARS_MAX", 500)


def test_a_text_that_is_too_long_for_an_answer_is_shown_in_parts(a, b, short_answers):
    lines = [f"line {n}\n" for n in range(200)]
    a.write_artifact("long.txt", "".join(lines))
    found, offset = "", 0
    while offset is not None:
        said = b.read_artifact("long.txt", offset=offset)
        assert len(said) <= 600
        text, _, more = said.partition("\n")[2].partition("[go on with offset=")
        found += text
        offset = int(more.rstrip("]")) if more else None
    assert found == "".join(lines)


def test_a_line_that_is_too_long_for_an_answer_is_cut_and_says_so(a, short_answers):
    a.write_artifact("long.txt", "word " * 200)
    said = a.read_artifact("long.txt")
    assert said.startswith("[long.txt: lines 1 to 1 of 1, not the whole]\nword ")
    assert said.endswith("\n[line 1 is too long, and was cut]\n")
    assert len(said) < 600


def test_a_difference_that_is_too_long_is_shown_in_parts(a, short_answers):
    a.write_artifact("long.txt", "".join(f"line {n}\n" for n in range(200)))
    a.write_artifact("long.txt", "".join(f"row {n}\n" for n in range(200)), "long.txt@1")
    assert "go on with offset=" in a.read_artifact("long.txt", have="long.txt@1")


def test_bytes_are_refused(workspace, a):
    workspace.agent("x").write("image", b"\0\1")
    for part in ({}, {"offset": 1}, {"have": "image@1"}):
        with pytest.raises(InvalidContent):
            a.read_artifact("image", **part)


def test_what_does_not_exist_is_refused(a):
    with pytest.raises(UnknownArtifact):
        a.read_artifact("nothing")
    with pytest.raises(UnknownArtifact):
        a.artifact_history("nothing")


def test_the_list_has_the_current_refs(a, monkeypatch):
    assert a.list_artifacts() == "There is no artifact."
    for name in ("b.md", "a.md", "c.md"):
        a.write_artifact(name, name)
    a.write_artifact("a.md", "more", "a.md@1")
    a.delete_artifact("c.md", "c.md@1")
    assert a.list_artifacts() == "a.md@2\nb.md@1"
    assert a.list_artifacts("b") == "b.md@1"
    monkeypatch.setattr(served, "NAMES_MAX", 1)
    assert a.list_artifacts() == "a.md@2\n[1 more: give a longer prefix]"


def test_the_history_has_who_and_what(workspace, a, b):
    a.write_artifact("plan.md", "one")
    b.write_artifact("plan.md", "two!", "plan.md@1")
    workspace.agent("c").write("plan.md", "three", expect=2, reason="shorter")
    a.delete_artifact("plan.md", "plan.md@3")
    assert a.artifact_history("plan.md").splitlines() == [
        "plan.md@1 by a, 3 bytes",
        "plan.md@2 by b, 4 bytes",
        "plan.md@3 by c, 5 bytes: shorter",
        "plan.md@4 by a, deletion",
    ]
    assert a.artifact_history("plan.md", last=1) == "plan.md@4 by a, deletion"


# Writes.


def test_a_write_without_a_ref_must_be_new(a, b):
    a.write_artifact("plan.md", "one")
    with pytest.raises(Conflict):
        b.write_artifact("plan.md", "two")


def test_a_merge_shows_what_others_changed(a, b):
    a.write_artifact("plan.md", "1\n2\n3\n4\n5\n")
    b.write_artifact("plan.md", "one\n2\n3\n4\n5\n", "plan.md@1")
    said = a.write_artifact("plan.md", "1\n2\n3\n4\nfive\n", "plan.md@1", merge=True)
    assert said == (
        "[plan.md@3 is written: your text, with these changes by others]\n@@ -1 +1 @@\n-1\n+one\n"
    )
    assert b.read_artifact("plan.md") == "[plan.md@3]\none\n2\n3\n4\nfive\n"
    assert "unchanged" in a.read_artifact("plan.md", have="plan.md@3")


def test_what_overlaps_is_not_merged(a, b):
    a.write_artifact("plan.md", "1\n")
    b.write_artifact("plan.md", "one\n", "plan.md@1")
    with pytest.raises(Conflict):
        a.write_artifact("plan.md", "eins\n", "plan.md@1", merge=True)


@pytest.mark.parametrize(
    ("expect", "error"),
    [
        ("plan.md@9", ForeignRef),
        ("other.md@1", BadRef),
        ("plan.md", BadRef),
        ("plan.md@0", BadRef),
        ("plan.md@" + "9" * 40, BadRef),
    ],
)
def test_a_base_that_is_none_of_this_artifact_is_refused(a, expect, error):
    a.write_artifact("plan.md", "one")
    with pytest.raises(error):
        a.write_artifact("plan.md", "two", expect)
    with pytest.raises(error):
        a.delete_artifact("plan.md", expect)
    assert a.read_artifact("plan.md") == "[plan.md@1]\none"


def test_a_clone_of_the_database_counts_its_own_versions(tmp_path):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as here:
        agent = here.agent("a")
        agent.write("plan.md", "one")
        here.backup(tmp_path / "clone.db")
        agent.write("plan.md", "two")
    with Workspace(f"sqlite:///{tmp_path}/clone.db") as clone:
        calls = calls_of(clone)
        with pytest.raises(ForeignRef, match=r"plan\.md@2 is not a version of this workspace"):
            calls.write_artifact("plan.md", "three", "plan.md@2")
        assert calls.read_artifact("plan.md", have="plan.md@2") == "[plan.md@1]\none"


def test_who_may_only_read_writes_nothing(workspace, a):
    readers = ServedCallers(workspace, read_only=True)
    calls = ServedCalls(lambda: readers["r"])
    a.write_artifact("plan.md", "one")
    assert calls.read_artifact("plan.md") == "[plan.md@1]\none"
    for call in (calls.write_artifact, calls.delete_artifact):
        with pytest.raises(AgentReadOnly):
            call("plan.md", "two" if call == calls.write_artifact else "plan.md@1")


def test_a_bad_name_is_refused(a):
    with pytest.raises(InvalidName):
        a.write_artifact("../x", "one")


def test_a_deletion_compares(a, b):
    a.write_artifact("plan.md", "one")
    b.write_artifact("plan.md", "two", "plan.md@1")
    with pytest.raises(Conflict):
        a.delete_artifact("plan.md", "plan.md@1")
    assert a.delete_artifact("plan.md", "plan.md@2") == "[plan.md@3: deleted]"


def test_several_are_written_as_one(a, b):
    a.write_artifact("x", "1")
    pieces = [served.ExpectingPiece(name="x", text="2", expect="x@1")]
    pieces.append(served.ExpectingPiece(name="y", text="2"))
    assert b.publish_many(pieces) == "[x@2, y@1 are written]"
    with pytest.raises(Outdated):
        a.publish_many(pieces)
    assert "unchanged" in b.read_artifact("y", have="y@1")


# News.


def test_who_was_served_a_version_is_told_once_that_others_replaced_it(callers, a, b):
    a.write_artifact("plan.md", "one")
    b.read_artifact("plan.md")
    b.write_artifact("plan.md", "two", "plan.md@1")
    latest = {"plan.md": 2}
    assert callers["a"].news(latest) == ["plan.md was changed by b; you were last shown plan.md@1."]
    assert callers["a"].news(latest) == []
    assert callers["b"].news(latest) == []
    a.write_artifact("plan.md", "three", "plan.md@2")
    assert callers["a"].news({"plan.md": 3}) == []
    assert len(callers["b"].news({"plan.md": 3})) == 1


def test_a_refusal_that_shows_a_version_is_news_enough(callers, a, b):
    a.write_artifact("plan.md", "one")
    b.write_artifact("plan.md", "two", "plan.md@1") if b.read_artifact("plan.md") else None
    with pytest.raises(Conflict) as refused:
        a.write_artifact("plan.md", "three", "plan.md@1")
    said = callers["a"].refusal(refused.value, "plan.md")
    assert 'expect="plan.md@2"' in said
    assert callers["a"].news({"plan.md": 2}) == []


def test_an_agent_whose_name_was_taken_is_told_what_to_do(callers):
    said = callers["a"].refusal(AgentSuperseded("another process has joined as 'a'"), None)
    assert said.endswith(
        "\nCall again. Tell the person you work for that two processes have the name of your agent."
    )
    asked = []

    def call():
        asked.append(1)
        raise AgentSuperseded("another process has joined as 'a'")

    with pytest.raises(AgentSuperseded):
        twice(call)
    assert asked == [1, 1]


def test_who_deletes_is_not_told_of_it(callers, a, b):
    a.write_artifact("plan.md", "one")
    b.read_artifact("plan.md")
    a.delete_artifact("plan.md", "plan.md@1")
    assert callers["a"].news({"plan.md": 2}) == []
    assert callers["b"].news({"plan.md": 2}) == [
        "plan.md was deleted by a; you were last shown plan.md@1."
    ]


def test_the_agents_that_called_first_are_forgotten(callers, monkeypatch):
    monkeypatch.setattr(served, "CALLERS_MAX", 2)
    first = callers["a"]
    callers["b"]
    assert callers["a"] is first
    callers["c"]
    assert callers["a"] is first
    callers["d"], callers["e"]
    assert callers["a"] is not first


def test_refs_of_another_workspace_are_refused(workspace, a):
    a.write_artifact("plan.md", "one")
    assert known(workspace, ["plan.md@1"]) == {"plan.md": Ref("plan.md", 1)}
    for ref in ("plan.md@2", "other.md@1"):
        with pytest.raises(ForeignRef):
            known(workspace, [ref])


def test_a_name_that_another_process_took_is_taken_back(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as here, Workspace(url) as there:
        callers = [ServedCallers(each)["a"] for each in (here, there)]
        ServedCalls(lambda: callers[0]).write_artifact("plan.md", "one")
        for caller in (*callers, *callers):
            assert caller.view("plan.md", None).text == "one"
            assert caller.view("plan.md", 1).text == "one"


def test_an_empty_text_is_whole(workspace, a):
    a.write_artifact("empty", "")
    assert a.read_artifact("empty", have="empty@1") == "[empty is unchanged since empty@1]"
    view = workspace.agent("x").read("empty")
    assert answer(view, 0, None) == ("[empty@1]\n", True)
