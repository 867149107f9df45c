"""The decisions on files, without files."""

import pytest

from file_guard.rules import (
    ABSENT,
    NAMED,
    OUTSIDE,
    UNSURE,
    Call,
    Facts,
    Verdict,
    Write,
    after,
    before,
    difference,
    digest,
    swept,
)

OLD, NEW, OTHER = b"one\ntwo\n", b"ONE\ntwo\n", b"one\nTWO\n"
TEXTS = {digest(each): each for each in (OLD, NEW, OTHER, b"ONE\nTWO\n")} | {ABSENT: b""}
EDIT = Call("edit", edits=((b"one", b"ONE", False),))


def facts(disk=OLD, seen=OLD, **more):
    shown = None if seen is None else digest(seen or None)
    return Facts("plan.md", "ann", disk, shown, **more)


def check(content=OLD):
    return digest(content)


def by_bob(content, base=None):
    return Write(digest(content), "bob", "agent bob", base and digest(base))


PASSES = {
    "current": (facts(), Call("write", NEW)),
    "the same content": (facts(seen=None), Call("write", OLD)),
    "new file": (facts(disk=None, seen=None), Call("write", NEW)),
    "own deletion": (facts(disk=None, seen=b""), Call("write", NEW)),
    "edit of what is stale": (facts(disk=NEW), EDIT),
    "edit unread": (facts(seen=None), EDIT),
    "patch": (facts(seen=None), Call("patch")),
    "read": (facts(disk=NEW), Call("read")),
    "deletion of what was never read": (facts(seen=None), Call("delete")),
    "deletion of what is gone": (facts(disk=None), Call("delete")),
}


@pytest.mark.parametrize("case", PASSES)
def test_what_loses_nothing_passes(case):
    assert before(*PASSES[case], TEXTS.get) == Verdict()


DENIED = {
    "stale": (facts(disk=NEW), Call("write", OTHER), f"changed by {OUTSIDE} since"),
    "by hooked agents": (
        facts(disk=NEW, authors=("bob", "eve")),
        Call("write", OTHER),
        "changed by bob and eve since",
    ),
    "by the newest write": (facts(disk=NEW, writes=(by_bob(NEW),)), Call("write"), "by agent bob"),
    "unread": (facts(seen=None), Call("write", NEW), "you have not read it whole"),
    "gone": (facts(disk=None), Call("write", NEW), "was deleted since you read it"),
    "deletion": (facts(disk=NEW), Call("delete"), "changed by"),
    "a target of a move": (facts(seen=None), Call("write"), "you have not read it"),
}


@pytest.mark.parametrize("case", DENIED)
def test_what_would_lose_something_is_denied(case):
    known, call, said = DENIED[case]
    assert said in before(known, call, TEXTS.get).deny


def test_a_denial_shows_the_difference_where_both_texts_are_kept():
    assert "-one\n+ONE" in before(facts(disk=NEW), Call("write", OTHER), TEXTS.get).deny
    assert "@@" not in before(facts(disk=NEW), Call("write", OTHER), lambda _: None).deny


def test_a_write_is_seen_and_the_newest():
    done = after(facts(disk=NEW, check=check()), Call("write", NEW), TEXTS.get)
    assert done == Verdict(seen=digest(NEW), wrote=digest(NEW), base=digest(OLD))


@pytest.mark.parametrize("check_", [check(), None])
def test_a_change_between_check_and_write_is_a_loss(check_):
    known = facts(disk=NEW, check=check_, writes=(by_bob(OTHER),))
    (loss,) = after(known, Call("write", NEW), TEXTS.get).losses
    assert loss.digest == digest(OTHER)
    assert "replaced a change by agent bob that you had not seen" in loss.text
    assert loss.difference.endswith("-two\n+TWO")


@pytest.mark.parametrize(
    "writes",
    [
        (by_bob(OLD),),  # what the check found; only the report was late
        (Write(digest(OTHER), "ann", "agent ann"),),
        (by_bob(b"x"), by_bob(OLD, base=b"x")),
    ],
)
def test_what_the_check_knew_is_no_loss(writes):
    known = facts(disk=NEW, check=check(), writes=writes)
    assert after(known, Call("write", NEW), TEXTS.get).losses == ()


def test_of_writes_on_top_of_each_other_the_last_is_lost():
    eve = Write(digest(b"ONE\nTWO\n"), "eve", "agent eve", digest(OTHER))
    known = facts(disk=NEW, check=check(), writes=(by_bob(OTHER), eve))
    (loss,) = after(known, Call("write", NEW), TEXTS.get).losses
    assert loss.digest == eve.digest


def test_a_write_that_another_has_hidden_is_lost_all_the_same():
    """Bob's write was reported, this call replaced it, and Eve's edit was made on this one."""
    made = b"ONE\nTWO\n"
    eve = Write(digest(made), "eve", "agent eve", digest(NEW))
    known = facts(disk=made, check=check(), writes=(by_bob(OTHER), eve))
    done = after(known, Call("write", NEW), TEXTS.get)
    (loss,) = done.losses
    assert loss.digest == digest(OTHER)
    assert "replaced a change by agent bob" in loss.text
    assert "also holds changes that you have not seen" in done.tell


def test_what_others_have_made_of_a_write_does_not_lose_it():
    """Bob read the file between this call's write and its report."""
    made = b"ONE\nTWO\n"
    bob = Write(digest(made), "bob", "agent bob", digest(NEW))
    known = facts(disk=made, check=check(), writes=(bob,))
    done = after(known, Call("write", NEW), TEXTS.get)
    assert done.losses == ()
    assert "also holds changes that you have not seen" in done.tell
    assert (done.seen, done.told, done.wrote) == (digest(NEW), digest(made), digest(NEW))
    assert (done.keep, done.base) == (NEW, digest(OLD))
    # Bob's is not certain to be made from this one.
    (loss,) = after(known._replace(writes=(by_bob(made),)), Call("write", NEW), TEXTS.get).losses
    assert loss.digest == digest(NEW)


@pytest.mark.parametrize("writes", [(), (Write(digest(OTHER), "bob", "agent bob", digest(NEW)),)])
def test_an_edit_of_what_was_not_read_shows_nothing_of_it(writes):
    unread = facts(disk=OTHER, seen=None, check=check(), writes=writes)
    assert after(unread, EDIT, TEXTS.get).seen is None


def test_what_the_tool_found_counts():
    (loss,) = after(
        facts(disk=NEW, check=check()), Call("write", NEW, found=OTHER), TEXTS.get
    ).losses
    assert loss.digest == digest(OTHER)
    assert f"by {OUTSIDE}" in loss.text
    same = Call("write", NEW, found=OLD.replace(b"\n", b"\r\n"))
    assert after(facts(disk=NEW, check=check()), same, TEXTS.get).losses == ()


def test_a_write_that_is_replaced_is_kept():
    known = facts(disk=OTHER, check=check(), writes=(by_bob(OTHER),))
    done = after(known, Call("write", NEW), TEXTS.get)
    assert (done.keep, done.wrote, done.seen) == (NEW, None, digest(NEW))
    assert "no longer as you wrote it: agent bob has changed it since" in done.losses[0].text


def test_a_program_that_changes_a_write_is_shown_and_seen():
    done = after(facts(disk=b"ONE\nTWO\n", check=check()), Call("write", NEW), TEXTS.get)
    assert (done.keep, done.wrote, done.seen) == (NEW, digest(NEW), digest(b"ONE\nTWO\n"))


def test_a_part_of_another_content_leaves_no_content_seen():
    part = Call("read", whole=False)
    assert after(facts(check=check()), part, TEXTS.get) == Verdict()
    assert after(facts(seen=None, check=check()), part, TEXTS.get) == Verdict()
    done = after(facts(disk=NEW, check=check(NEW)), part, TEXTS.get)
    assert (done.seen, done.told) == (UNSURE, digest(NEW))
    back = facts()._replace(seen=done.seen, told=done.told)
    assert before(back, Call("write", OTHER), TEXTS.get).deny, "the old content is there again"


def test_an_edit_moves_the_sight_only_without_a_gap():
    assert after(facts(disk=NEW, check=check()), EDIT, TEXTS.get).seen == digest(NEW)
    gap = facts(disk=b"ONE\nTWO\n", check=check(content=OTHER))
    done = after(gap, EDIT, TEXTS.get)
    assert done.seen is None
    assert "also holds changes that you have not seen" in done.tell
    assert after(gap._replace(told=digest(gap.disk)), EDIT, TEXTS.get).tell == ""
    assert after(gap._replace(seen=None), EDIT, TEXTS.get).tell == ""


def test_an_edit_on_top_of_another_loses_nothing():
    known = facts(disk=b"ONE\nTWO\n", check=check(), writes=(by_bob(OTHER),))
    done = after(known, EDIT, TEXTS.get)
    assert done.losses == ()
    assert done.tell


def test_an_edit_that_lost_another_is_told():
    known = facts(disk=NEW, check=check(), writes=(by_bob(OTHER),))
    assert after(known, EDIT, TEXTS.get).losses[0].digest == digest(OTHER)


def test_a_patch_beside_a_write_is_uncertain_and_says_so():
    known = facts(disk=NEW, check=check(), writes=(by_bob(OTHER),))
    (loss,) = after(known, Call("patch"), TEXTS.get).losses
    assert loss.text.startswith("agent bob changed plan.md at the same time.")


def test_a_patch_whose_new_text_is_gone_is_told():
    call = Call("patch", edits=((b"", b"three", False), (b"", b"four", False)))
    assert after(facts(disk=b"three\r\nfour\r\n", check=check()), call, TEXTS.get).losses == ()
    for known in (facts(disk=b"three\n", check=check()), facts(disk=None, check=check())):
        done = after(known, call, TEXTS.get)
        assert done.keep == b"three\nfour"
        assert done.losses[0].digest == digest(done.keep)
        assert (done.seen, done.wrote) == (None, None)


def test_an_edit_of_a_content_that_the_check_did_not_see_is_told_if_it_is_gone():
    """The check came while another tool had emptied the file."""
    assert after(facts(disk=OTHER, check=check(b"")), EDIT, TEXTS.get).keep == b"ONE"
    assert after(facts(disk=NEW, check=check(b"")), EDIT, TEXTS.get).losses == ()


def test_beside_a_call_that_says_nothing_of_its_text_every_write_is_named():
    known = facts(disk=NEW, check=check(), writes=(by_bob(NEW),))
    (loss,) = after(known, Call("patch"), TEXTS.get).losses
    assert "changed plan.md at the same time" in loss.text


def test_a_deletion():
    known = facts(disk=None, check=check())
    assert after(known, Call("delete"), TEXTS.get) == Verdict(seen=ABSENT, wrote=ABSENT)
    known = known._replace(writes=(by_bob(OTHER),))
    assert after(known, Call("delete"), TEXTS.get).losses[0].digest == digest(OTHER)


READS = {
    "all lines": (Call("read", whole=True), check(), True),
    "silent": (Call("read", whole=None), check(), True),
    "a window": (Call("read", whole=False), check(), False),
    "changed meanwhile": (Call("read", whole=True), check(content=NEW), False),
    "without a check": (Call("read", whole=True), None, False),
    "the content itself": (Call("read", b"one\ntwo", whole=False), None, True),
}


@pytest.mark.parametrize("case", READS)
def test_a_read_is_seen_if_it_was_whole(case):
    call, check_, is_seen = READS[case]
    done = after(facts(seen=None, check=check_), call, TEXTS.get)
    assert done == Verdict(seen=digest(OLD) if is_seen else None)


def test_a_sweep_tells_of_each_change_once():
    files = [("a", "1", None, "1"), ("b", "1", None, "2"), ("c", "1", "2", "2")]
    said, late = swept(files, moved=False)
    assert said == "Changed on disk since you read them: b. Read before you write."
    assert late == [("b", "2"), ("c", "2")]
    assert swept([files[2]], moved=True) == ("", [("c", "2")])
    many = [(f"{n:03}", "1", None, "2") for n in range(NAMED + 5)]
    assert swept(many, moved=True)[0].count(",") == NAMED - 1
    assert "and 5 more" in swept(many, moved=True)[0]


def test_a_difference_is_cut():
    long = "".join(f"{n}\n" for n in range(200)).encode()
    text, complete = difference(b"", long)
    assert text.endswith("\n... more follows")
    assert not complete
    assert difference(b"a\n", b"b\n") == ("@@ -1 +1 @@\n-a\n+b", True)
    assert difference(b"\xff", b"") == difference(None, b"") == ("", False)
    assert "too long" in difference(b"x\n" * 5_000, b"")[0]


@pytest.mark.parametrize(
    ("edits", "base", "made"),
    [
        (((b"a", b"b", True),), b"aa", b"bb"),
        (((b"a", b"b", False),), b"aa", b"ba"),
        (((b"a", b"b", False), (b"b", b"c", False)), b"a", b"c"),
        (((b"", b"new", False),), b"", b"new"),
    ],
)
def test_what_an_edit_makes(edits, base, made):
    known = Facts("x", "ann", made, digest(base), check=digest(base))
    assert after(known, Call("edit", edits=edits), lambda _: base).seen == digest(made)
