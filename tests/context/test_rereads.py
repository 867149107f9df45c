"""What file tools have shown, and what a prompt proves of it; the callers of one adapter."""

import asyncio
import threading

import pytest

from coherence import BadArgument, Conflict, Ref, Workspace
from coherence.context.callers import Callers, Holder, answering, awaited
from coherence.context.desk import Desk
from coherence.context.evidence import Evidence
from coherence.context.files import Files
from coherence.context.reader import Unread
from coherence.context.rereads import Noted, Rereads, claim_of, note, noting
from coherence.context.sight import Lines

TEN = "".join(f"line {number} of ten, so that it is long enough\n" for number in range(1, 11))


@pytest.fixture
def workspace():
    with Workspace("memory://") as opened:
        yield opened


@pytest.fixture
def mine(workspace):
    return Files(Desk(workspace, "a"))


@pytest.fixture
def other(workspace):
    return Files(Desk(workspace, "b"))


# What a prompt proves.


def held(workspace, *said):
    """The versions that these claims prove, each beside its text."""
    evidence = Evidence(workspace.identity)
    for place, (claim, text) in enumerate(said):
        evidence.weigh_claim(claim, place, [text])
    return evidence


def test_windows_that_leave_no_line_out_prove_the_whole(workspace, other):
    ref = other.look(other.write("f", TEN).name).ref
    parts = {Lines(first, first + 4, 10): f"window {first}" for first in (1, 4, 6)}
    said = [(claim_of(ref, None, text, lines), text) for lines, text in parts.items()]
    assert held(workspace, *said[:2]).held == {}
    assert held(workspace, said[0], (said[2][0], "cut")).held == {}
    proved = held(workspace, *said)
    assert proved.held == {"f": ref}
    assert proved.held["f"].digest == ref.digest
    assert proved.needed == {0, 1, 2}
    assert held(workspace, said[2], said[0]).held == {"f": ref}, "in any order"


def test_windows_of_two_versions_prove_none(workspace, other):
    one, two = other.write("f", TEN), other.write("f", TEN + "more")
    said = [
        (claim_of(one, None, "a", Lines(1, 5, 10)), "a"),
        (claim_of(two, None, "b", Lines(6, 10, 10)), "b"),
    ]
    assert held(workspace, *said).held == {}


def test_a_text_with_more_around_it_proves_its_content(workspace, other):
    """The digest is of the content, so another content under the number is another version."""
    ref = other.write("f", TEN)
    text = f"@@ lines 1-10 @@\n{TEN}"
    assert held(workspace, (claim_of(ref, None, text), text)).held["f"].digest == ref.digest


# Answers of tools.


def read(run, call="1"):
    """The answer of a tool that shows the file in numbered lines."""
    view = run.files.look("f")
    text = "".join(f"{n} {line}" for n, line in enumerate(view.text.splitlines(keepends=True)))
    return run.answer(call, Noted(view.ref, view.text, view), "/f", text)


def test_a_reread_is_a_difference(mine, other):
    other.write("f", TEN)
    run = Rereads(mine)
    first, claim = read(run)
    assert first.startswith("0 line 1 of ten")
    proved = held(mine.desk.workspace, (claim, first)).held
    run.came(["2", "3"], proved)
    assert read(run, "2")[0] == "[/f is unchanged: its current text is above]"
    other.replace("f", lambda text: text.replace("line 3", "LINE 3"))
    said, claim = read(run, "3")
    assert "+LINE 3" in said
    assert len(said) < len(first)
    assert claim["have"] == "f@1"
    assert read(run, "4")[0].startswith("0 "), "of a call that came from another prompt"
    mine.write("f", "upon what it was shown")


def test_a_text_that_was_cut_is_not_seen(mine, other):
    other.write("f", TEN)
    run, view = Rereads(mine), mine.look("f")
    assert run.answer("1", Noted(view.ref, TEN, view), "/f", TEN[:-9]) == (TEN[:-9], None)
    with pytest.raises(Unread):
        mine.write("f", "mine")


def test_notes_are_of_the_innermost_block():
    seen = Noted(Ref("f", 1), "text")
    assert not note(seen)
    with noting() as outer:
        with noting(wanted=False) as inner:
            assert not note(seen)
        assert note(seen)
    assert (outer, inner) == ([seen], [])


# Files.


def test_a_context_holds_these_versions_and_no_others(mine, other):
    for name in ("f", "g"):
        other.write(name, "text")
        mine.read(name)
    mine.holds([mine.look("g").ref])
    mine.write("g", "mine")
    with pytest.raises(Unread):
        mine.write("f", "mine")


def test_a_folder_is_deleted_whole_or_not(mine, other):
    for name in ("d/f", "d/g", "d2"):
        other.write(name, "text")
    mine.read("d/g")
    other.write("d/g", "changed")
    with pytest.raises(Conflict):
        mine.delete_all("d")
    assert mine.names() == ["d/f", "d/g", "d2"]
    mine.read("d/g")
    assert mine.delete_all("d") == ["d/f", "d/g"]
    assert mine.delete_all("d") == []
    assert mine.names() == ["d2"]
    mine.write("d/g", "a new one")


# Callers.


def test_each_caller_has_seen_its_own(workspace, other):
    other.write("f", "text")
    callers = Callers(workspace, "raise", lambda files: files)
    ann = callers.of("ann", "agent", ["ann"])
    ann.read("f")
    assert callers.of("ann", "agent", ["ann"]) is ann
    bob = callers.of("bob", "agent", ["bob"])
    assert bob.desk.name != ann.desk.name
    with pytest.raises(Unread):
        bob.write("f", "bob's")
    ann.write("f", "ann's")


def test_the_mark_of_a_caller(workspace):
    """The same after a restart, where its key is known; no other's, where it is not."""

    def name(key, known):
        return Callers(workspace, "raise", lambda files: files.desk.name).of(key, "a/b", known)

    assert name(1, ["t"]) == name(2, ["t"]) != name(1, ["u"])
    assert name(1, None) != name(1, None)
    assert name(1, []) == "a%2Fb"


def test_one_that_was_left_out_has_seen_nothing(workspace, other):
    other.write("f", "text")
    callers = Callers(workspace, "raise", lambda files: files, most=2)
    for key in ("1", "2", "3"):
        callers.of(key, key, []).read("f")
    with pytest.raises(Unread):
        callers.of("1", "1", []).write("f", "mine")
    callers.of("3", "3", []).write("f", "mine")


@pytest.mark.parametrize("settings", [("never", 1), ("raise", 0)])
def test_bad_settings_are_refused(workspace, settings):
    with pytest.raises(BadArgument):
        Callers(workspace, settings[0], lambda files: files, settings[1])


class Tools(Holder):
    @answering(dict, "Error: ")
    def read(self, path, wide=False):
        return {"text": self.workspace.agent("a").read(path).text, "wide": wide}

    aread = awaited(read)


def test_errors_are_in_the_results():
    with Tools("memory://") as tools:
        assert tools.read("f")["error"].startswith("Error: there is no artifact 'f'")
        assert tools.read(path="f")["error"].startswith("Error: ")
        tools.workspace.agent("a").write("f", "text")
        assert tools.read("f", wide=True) == {"text": "text", "wide": True}
        assert asyncio.run(tools.aread("f")) == {"text": "text", "wide": False}
    assert "closed" in tools.read("f")["error"]


def test_a_workspace_that_was_passed_in_stays_open(workspace):
    with Tools(workspace):
        pass
    assert workspace.names() == []


def test_a_call_that_waits_does_not_stop_the_loop(workspace):
    """It waits in a thread of ours."""
    workspace.agent("a").write("f", "text")
    gate, names = threading.Event(), []

    class Waiting(Tools):
        @answering(dict)
        def read(self, path):
            names.append(threading.current_thread().name)
            return {"met": gate.wait(30)}

        aread = awaited(read)

    async def play(tools):
        waiting = asyncio.ensure_future(tools.aread("f"))
        while not names:
            await asyncio.sleep(0)
        gate.set()
        return await waiting

    with Waiting(workspace) as tools:
        assert asyncio.run(play(tools)) == {"met": True}
    assert names[0].startswith("coherence")
