"""What a caller of file tools may write: only what derives from what it was shown."""

from inspect import signature

import pytest

from coherence import (
    BadArgument,
    Conflict,
    InvalidContent,
    InvalidName,
    Retention,
    UnknownArtifact,
    Workspace,
)
from coherence.context.desk import Desk
from coherence.context.files import Files
from coherence.context.reader import Unread
from coherence.context.sight import Lines
from coherence.context.values import name_of_path, path_of, prefix_of_path

TEN = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.fixture
def workspace():
    with Workspace("memory://") as opened:
        yield opened


@pytest.fixture
def other(workspace):
    """Another caller."""
    return Files(Desk(workspace, "b"))


class TestFiles:
    """The rules.  A broken variant is a class that breaks one of them."""

    made = Files

    @pytest.fixture
    def mine(self, workspace):
        return self.made(Desk(workspace, "a"))

    @pytest.fixture
    def text(self, workspace):
        """The current text of f."""
        return lambda: workspace.agent("reader").read("f").text

    # Whole writes.

    def test_a_new_file_is_written(self, mine, text):
        assert str(mine.write("f", "one")) == "f@1"
        assert text() == "one"
        mine.write("f", "two")  # the caller knows its own version
        assert text() == "two"

    def test_a_file_that_was_not_read_is_not_written(self, mine, other, text):
        other.write("f", "theirs")
        with pytest.raises(Unread) as refused:
            mine.write("f", "mine")
        assert text() == "theirs"
        assert refused.value.author == "b"
        assert "last changed by b, and you have not read it" in mine.refusal(refused.value, "/f")
        mine.read("f")
        mine.write("f", "both")
        assert text() == "both"

    def test_a_stale_write_is_refused_with_both_changes(self, mine, other, text):
        other.write("f", "one\ntwo\nthree\n")
        mine.read("f")
        other.write("f", "1\ntwo\nthree\n")
        with pytest.raises(Conflict) as refused:
            mine.write("f", "one\ntwo\n3\n")
        assert text() == "1\ntwo\nthree\n"
        assert mine.refusal(refused.value, "/f") == (
            "/f was not written: b changed it after you saw it.\n"
            "What b changed:\n@@ -1 +1 @@\n-one\n+1\n"
            "What you tried to change:\n@@ -3 +3 @@\n-three\n+3\n"
            "Read it again, then write both changes as one, or replace only your passages."
        )
        with pytest.raises(Conflict):  # the refusal is not a read
            mine.write("f", "one\ntwo\n3\n")

    def test_a_file_that_was_missing_may_have_come_since(self, mine, other, text):
        with pytest.raises(UnknownArtifact) as missing:
            mine.read("f")
        assert mine.refusal(missing.value, "/f") == "There is no file /f."
        other.write("f", "theirs")
        with pytest.raises(Conflict) as refused:
            mine.write("f", "mine")
        assert "it exists now, made by b" in mine.refusal(refused.value, "/f")
        assert text() == "theirs"

    def test_a_file_may_be_gone_since(self, mine, other):
        other.write("f", "theirs")
        mine.read("f")
        other.delete("f")
        with pytest.raises(Conflict) as refused:
            mine.write("f", "mine")
        assert "b deleted it after you saw it" in mine.refusal(refused.value, "/f")
        with pytest.raises(UnknownArtifact):
            mine.read("f")
        mine.write("f", "mine")

    def test_a_write_that_loses_nothing_is_not_refused(self, mine, other, workspace, text):
        other.write("f", "one")
        mine.read("f")
        other.write("f", "two")
        workspace.agent("b").restore("f@1")
        mine.write("f", "three")  # what it derives from is current again
        assert text() == "three"

    def test_a_window_of_what_came_between_is_not_what_is_current_again(self, mine, other, text):
        other.write("f", TEN)
        mine.read("f")
        other.write("f", TEN.replace("line 5\n", ""))
        mine.shown(mine.look("f"), Lines(1, 6, 9))
        other.write("f", TEN)
        with pytest.raises(Conflict):
            mine.write("f", "from what the window shows\n")
        assert text() == TEN
        mine.shown(mine.look("f"), Lines(1, 6, 10))  # a window of the very text it has read
        mine.read("f")
        other.write("f", "other")
        other.write("f", TEN)
        mine.write("f", "mine")

    def test_two_equal_writes_are_a_conflict(self, mine, other, text):
        other.write("f", "0")
        mine.read("f")
        other.write("f", "1")
        with pytest.raises(Conflict):  # both may have counted
            mine.write("f", "1")

    def test_a_host_may_let_unseen_files_be_replaced(self, workspace, other, text):
        mine = self.made(Desk(workspace, "a"), unread="replace")
        other.write("f", "theirs")
        mine.write("f", "mine")
        assert text() == "mine"
        other.read("f")
        other.write("f", "again")
        with pytest.raises(Conflict):  # what it has seen is compared all the same
            mine.write("f", "mine")
        with pytest.raises(BadArgument):
            self.made(Desk(workspace, "a"), unread="overwrite")

    # Windows.

    def test_a_window_is_not_the_file(self, mine, other, text):
        other.write("f", TEN)
        mine.shown(mine.look("f"), Lines(1, 4, 10))
        with pytest.raises(Unread) as refused:
            mine.write("f", "line 1\n")
        assert "you have seen only lines 1 to 4 of 10." in mine.refusal(refused.value, "/f")
        mine.shown(mine.look("f"), Lines(7, 10, 10))
        with pytest.raises(Unread) as refused:
            mine.write("f", "line 1\n")
        assert "only lines 1 to 4, 7 to 10 of 10." in mine.refusal(refused.value, "/f")
        assert text() == TEN
        mine.shown(mine.look("f"), Lines(4, 6, 10))
        mine.write("f", "line 1\n")

    def test_windows_of_different_versions_are_not_the_file(self, mine, other):
        other.write("f", TEN)
        mine.shown(mine.look("f"), Lines(1, 5, 10))
        other.replace("f", lambda text: text.replace("line 2", "LINE 2"))
        with pytest.raises(Unread) as refused:
            mine.write("f", "line 1\n")
        assert "lines 1 to 5 of 10, of an earlier version" in mine.refusal(refused.value, "/f")
        mine.shown(mine.look("f"), Lines(6, 10, 10))
        with pytest.raises(Unread):
            mine.write("f", "line 1\n")

    def test_an_empty_file_has_no_line_to_miss(self, mine, other):
        other.write("f", "")
        mine.shown(mine.look("f"), Lines(1, 0, 0))
        mine.write("f", "mine")

    # Looking.

    def test_looking_shows_nothing(self, mine, other, text):
        other.write("f", "theirs")
        assert mine.look("f").text == "theirs"
        assert [view.text for view in mine.look_all().values()] == ["theirs"]
        assert mine.names() == ["f"]
        with pytest.raises(Unread):
            mine.write("f", "mine")
        mine.read("f")
        other.write("f", "newer")
        mine.look("f")
        mine.look_all()
        with pytest.raises(Conflict):
            mine.write("f", "mine")
        assert text() == "newer"

    def test_what_was_seen_can_be_asked_for(self, mine, other, workspace):
        assert mine.seen("f") is None
        other.write("f", "one")
        mine.look("f")
        assert mine.seen("f") is None
        mine.read("f")
        other.read("f")
        other.write("f", "two")
        assert mine.seen("f") == "one"
        mine.forget("f")
        assert mine.seen("f") is None
        mine.read("f")
        mine.delete("f")
        assert mine.seen("f") is None

    def test_what_was_seen_may_not_be_kept(self, other):
        with Workspace("memory://", retention=Retention(versions=1)) as workspace:
            mine, other = (Files(Desk(workspace, name)) for name in "ab")
            mine.write("f", "one")
            other.read("f")
            other.write("f", "two")
            workspace.gc()
            assert mine.seen("f") is None

    def test_looking_is_below_a_folder(self, mine):
        for name in ("a/x", "a/y", "ab", "b/x"):
            mine.write(name, name)
        assert list(mine.look_all(prefix_of_path("/a"))) == ["a/x", "a/y"]
        assert mine.names(prefix_of_path("a/")) == ["a/x", "a/y"]
        assert len(mine.look_all(prefix_of_path("/"))) == 4

    # Passages.

    def test_replaced_passages_of_two_callers_are_both_kept(self, mine, other, text):
        other.write("f", "one\ntwo\n")
        mine.read("f")
        other.replace("f", lambda text: text.replace("one", "1"))
        mine.replace("f", lambda text: text.replace("two", "2"))
        assert text() == "1\n2\n"

    def test_a_passage_does_not_show_what_lies_beside_it(self, mine, other, text):
        other.write("f", "one\ntwo\n")
        mine.replace("f", lambda text: text.replace("two", "2"))
        with pytest.raises(Unread):  # the current version is its own, and not known to it
            mine.write("f", "2\n")
        mine.read("f")
        other.replace("f", lambda text: text.replace("one", "1"))
        mine.replace("f", lambda text: text.replace("2", "II"))
        with pytest.raises(Conflict) as refused:
            mine.write("f", "one\nii\n")
        assert text() == "1\nII\n"
        assert "b and you changed it" in mine.refusal(refused.value, "/f")

    def test_a_passage_of_a_known_file_keeps_it_known(self, mine, other, text):
        other.write("f", "one\ntwo\n")
        mine.read("f")
        mine.replace("f", lambda text: text.replace("two", "2"))
        mine.replace("f", lambda text: text)  # makes no version
        mine.write("f", "one\n2\n3\n")
        assert text() == "one\n2\n3\n"

    def test_a_passage_of_nothing_is_refused(self, mine, workspace):
        with pytest.raises(UnknownArtifact):
            mine.replace("f", str.upper)
        assert workspace.names() == []
        workspace.agent("b").write("f", b"\0")
        with pytest.raises(InvalidContent):
            mine.replace("f", str.upper)

    # Creation, and another name.

    def test_what_must_be_new_is_never_replaced(self, mine, other, text):
        other.write("f", "theirs")
        mine.read("f")
        with pytest.raises(Conflict) as refused:
            mine.create("f", "mine")
        assert "/f was not written: it exists now, made by b." in mine.refusal(refused.value, "/f")
        assert text() == "theirs"
        mine.create("g", "mine")
        mine.write("g", "mine again")
        mine.delete("g")
        mine.create("g", "mine")

    def test_a_moved_file_is_known_if_it_was(self, mine, other, workspace, text):
        other.write("g", "one\ntwo\n")
        mine.move("g", "f", str.upper)
        assert text() == "ONE\nTWO\n"
        assert workspace.names() == ["f"]
        with pytest.raises(Unread):
            mine.write("f", "mine")
        mine.read("f")
        mine.move("f", "h")
        mine.move("h", "f")
        mine.write("f", "mine")
        workspace.agent("c").write("g", "theirs")
        with pytest.raises(Conflict) as refused:
            mine.move("f", "g")
        assert refused.value.current.name == "g"
        assert sorted(workspace.names()) == ["f", "g"]
        with pytest.raises(UnknownArtifact):
            mine.move("missing", "new")

    # Deletions.

    def test_a_deletion_is_compared_where_the_file_was_seen(self, mine, other, text):
        other.write("f", "one")
        mine.read("f")
        other.write("f", "two")
        with pytest.raises(Conflict) as refused:
            mine.delete("f")
        assert "/f was not deleted: b changed it" in mine.refusal(refused.value, "/f")
        assert text() == "two"
        mine.read("f")
        mine.delete("f")
        with pytest.raises(UnknownArtifact):
            mine.delete("f")
        mine.write("f", "new")
        other.forget()
        other.delete("f")  # not seen

    # Compaction, restarts, turns.

    def test_what_was_forgotten_was_not_seen(self, mine, other, text):
        for name in ("f", "g"):
            mine.write(name, "mine")
        mine.forget("f")
        with pytest.raises(Unread):
            mine.write("f", "mine again")
        mine.write("g", "mine again")
        mine.forget()
        with pytest.raises(Unread):
            mine.write("g", "and again")
        assert text() == "mine"

    def test_after_a_restart_only_its_own_whole_version_is_known(self, mine, other, workspace):
        mine.write("f", "mine")
        mine.write("g", "mine")
        mine.replace("g", str.upper)
        other.write("h", "theirs")
        mine.replace("h", str.upper)
        other.write("i", "theirs")
        workspace.agent("a").restore("i@1")
        mine.write("j", "mine")
        other.read("j")
        other.write("j", "theirs")
        again = self.made(Desk(workspace, "a"))
        again.write("f", "mine again")
        again.write("g", "mine again")
        for name in ("h", "i", "j"):
            with pytest.raises(Unread):
                again.write(name, "mine again")

    def test_a_read_is_seen_after_its_turn(self, mine, other, text):
        other.write("f", "theirs")
        mine.turn(1)
        mine.read("f")
        with pytest.raises(Unread):  # the model made this call before it had the answer
            mine.write("f", "mine")
        mine.replace("f", lambda text: text + "!")
        mine.turn(1)
        with pytest.raises(Unread):
            mine.write("f", "mine")
        mine.turn(2)
        mine.write("f", "mine")
        mine.turn(3)
        mine.read("f")
        mine.write("f", "mine, again")
        mine.turn(4)
        mine.write("f", "mine, once more")
        mine.turn(5)
        mine.read("f")
        mine.forget("f")
        mine.turn(6)
        with pytest.raises(Unread):
            mine.write("f", "lost")
        assert text() == "mine, once more"

    def test_what_a_compaction_has_dropped_is_forgotten(self, mine, other, text):
        for name in ("f", "g"):
            other.write(name, "theirs")
        mine.turn(1)
        mine.known_from("f", "0", True)
        mine.known_from("f", "1", True)
        mine.read("f")
        mine.known_from("g", "2", True)
        mine.read("g")
        mine.turn(2)
        mine.known_from("f", "3", False)
        mine.write("f", "mine")
        mine.keep({"1", "2"})  # the answer of this turn is not in the context yet
        mine.write("f", "mine again")
        mine.turn(3)
        mine.keep({"1", "2", "3"})
        mine.write("f", "mine, once more")
        mine.keep({"2", "3"})
        with pytest.raises(Unread):
            mine.write("f", "lost")
        mine.write("g", "mine")
        assert text() == "mine, once more"


# Broken variants, each caught by the rules above.


class StampsOnLook(Files):
    def look(self, name):
        return self.read(name)


class StampsOnLookAll(Files):
    def look_all(self, prefix=""):
        found = super().look_all(prefix)
        for view in found.values():
            self.shown(view)
        return found


class TakesAWindowForTheWhole(Files):
    def shown(self, view, lines=None, text=""):
        super().shown(view)


class TrustsWhatIsCurrentAgain(Files):
    def _may_return(self, name):
        return True


class TakesWindowsOfAnyVersion(Files):
    def shown(self, view, lines=None, text=""):
        windows = self.sight.windows(view.ref.name)
        if windows is not None:
            self.sight._windows[view.ref.name] = windows._replace(version=view.version)
        super().shown(view, lines)


class MovesOverAnUnseenVersion(Files):
    def replace(self, name, change):
        view = super().replace(name, change)
        self.sight.wrote(name, view.version)
        return view


class KnowsWhatItMoves(Files):
    def move(self, name, to, change=str):
        ref = super().move(name, to, change)
        self.sight.wrote(to, ref.version)
        return ref


class CreatesOverWhatIsThere(Files):
    def create(self, name, content):
        return self.write(name, content)


class TrustsEveryVersionOfItsOwn(Files):
    def _unseen(self, name, agent):
        history = self.desk.workspace.history(name)
        return history[-1].version if history[-1].author == agent.name else 0


class RefusalIsARead(Files):
    def refusal(self, error, path):
        self.sight.shown(error.current.name, error.current.version)
        return super().refusal(error, path)


class NeverForgets(Files):
    def forget(self, name=None):
        pass


class ForgetsButTrustsItsName(Files):
    def forget(self, name=None):
        super().forget(name)
        self._forgotten.clear()


class TakesEqualWrites(Files):
    def write(self, name, content):
        try:
            return super().write(name, content)
        except Conflict as conflict:
            if conflict.theirs != content:
                raise
            return conflict.current


class DeletesAnything(Files):
    def delete(self, name):
        self.sight.forget(name)
        return super().delete(name)


class KnowsNoTurns(Files):
    def turn(self, key):
        pass


class KeepsEverything(Files):
    def keep(self, calls):
        pass


class ForgetsTheTurnItself(Files):
    def known_from(self, name, call, whole):
        self._calls.setdefault(name, set()).add(call)


class KnowsFromTheLastCall(Files):
    def known_from(self, name, call, whole):
        super().known_from(name, call, True)


class LosesWhatATurnShowed(Files):
    def turn(self, key):
        if key != self._turn:
            self._pending = []
        super().turn(key)


RULES = {name: rule for name, rule in vars(TestFiles).items() if name.startswith("test_")}
BROKEN = [
    each for each in list(vars().values()) if isinstance(each, type) and each.__base__ is Files
]


def holds(rule, made):
    """Whether this rule holds for callers of the class `made`."""
    with Workspace("memory://") as workspace:
        given = {
            "self": type("Rules", (), {"made": made}),
            "mine": made(Desk(workspace, "a")),
            "other": Files(Desk(workspace, "b")),
            "workspace": workspace,
            "text": lambda: workspace.agent("reader").read("f").text,
        }
        try:
            rule(**{name: given[name] for name in signature(rule).parameters})
        except (Exception, pytest.fail.Exception):
            return False
    return True


def test_the_rules_hold():
    assert all(holds(rule, Files) for rule in RULES.values())


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_variant_is_caught(broken):
    assert not all(holds(rule, broken) for rule in RULES.values())


# Paths.


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/docs/a.md", "docs/a.md"),
        ("docs/a.md", "docs/a.md"),
        ("/docs//./a.md", "docs/a.md"),
        ("/a b.md", "a b.md"),
        ("/ü?.md", "%C3%BC%3F.md"),
        ("/C:\\x", "C%3A%5Cx"),
        ("/...", "..%2E"),
        ("/50%", "50%25"),
    ],
)
def test_a_path_names_one_artifact(path, name):
    assert name_of_path(path) == name
    assert name_of_path(path_of(name)) == name
    with Workspace("memory://") as workspace:
        workspace.agent("a").write(name, "a valid name")


@pytest.mark.parametrize("path", ["..", "/../a", "a/../../b", "a/..", "/a/../b"])
def test_a_path_that_leads_out_is_refused(path):
    with pytest.raises(InvalidName, match="leads out"):
        name_of_path(path)
    with pytest.raises(InvalidName, match="leads out"):
        prefix_of_path(path)


@pytest.mark.parametrize("path", ["", "/", "a/", ".", None, 3, b"a"])
def test_what_names_no_file_is_refused(path):
    with pytest.raises(InvalidName):
        name_of_path(path)
