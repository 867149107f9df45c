"""Git histories of every kind become versions of files; what is not one is refused by its name."""

from __future__ import annotations

import os
import shutil

import pytest

from coherence.simulate.replay.counting import counter
from coherence.simulate.replay.errors import (
    EmptyHistory,
    GitFailed,
    GitMissing,
    NoRepository,
    PartialClone,
    ShallowHistory,
    UnknownPath,
    UnknownRevision,
)
from coherence.simulate.replay.git import Repository
from coherence.simulate.replay.history import FileChange, History, LeftOut
from coherence.simulate.replay.reading import TEXT_BYTES_MAX, read

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

BYTES = counter("estimate")


def history(folder, **options) -> History:
    return read(Repository(folder), BYTES, name="test", command="none", **options)


def seen(found: History) -> list[list[tuple[str | None, int | None]]]:
    """What each commit does: paths and versions."""
    return [
        [(change.path and change.path.decode(), change.version) for change in revision.changes]
        for revision in found.revisions
    ]


def test_versions_count_from_the_creation(made, text):
    made.commit(a__txt=text(4))
    made.commit(a__txt=text(5), b__txt="one\n", author="bob")
    found = history(made.folder)
    assert seen(found) == [[("a.txt", 1)], [("a.txt", 2), ("b.txt", 1)]]
    assert [file.sizes for file in found.files] == [[0, 17, 22], [0, 1]]
    assert [revision.author for revision in found.revisions] == [0, 1]
    assert found.revisions[1].time_s - found.revisions[0].time_s == 60
    assert found.paths == {}
    about = found.about
    assert (about.commits, about.authors, about.files, about.date) == (2, 2, 2, "2020-09-13")


def test_what_is_there_before_the_time_asked_for_has_a_first_version(made, text):
    made.commit(a__txt=text(4), b__txt=text(3))
    since = made.time_s + 30
    made.commit(a__txt=text(5))
    made.commit(c__txt="x\n")
    found = history(made.folder, since_s=since)
    assert found.paths == {0: b"a.txt", 1: b"b.txt"}
    assert [file.first for file in found.files] == [1, 1, 0]
    assert seen(found) == [[("a.txt", 2)], [("c.txt", 1)]]
    assert history(made.folder, until_s=since).about.commits == 1


def test_an_empty_commit_is_left_out(made):
    made.commit(a__txt="one\n")
    made.commit()
    made.commit(a__txt="two\n")
    assert seen(history(made.folder)) == [[("a.txt", 1)], [("a.txt", 2)]]


def test_a_merge_is_one_change_of_the_author_of_the_branch(made, text):
    made.commit(a__txt=text(9))
    made.git("checkout", "-q", "-b", "topic")
    made.commit(author="bob", b__txt="one\n")
    made.commit(author="bob", b__txt="one\ntwo\n")
    made.git("checkout", "-q", "main")
    made.commit(author="cat", a__txt=text(10))
    made.merge("topic", author="ann")
    found = history(made.folder)
    assert seen(found) == [[("a.txt", 1)], [("a.txt", 2)], [("b.txt", 1)]]
    assert found.about.authors == 3
    assert found.revisions[2].author == 2


def test_a_rename_keeps_the_file_and_its_versions(made, text):
    made.commit(a__txt=text(20))
    made.git("mv", "a.txt", "b.txt")
    made.commit()
    made.git("mv", "b.txt", "c.txt")
    made.commit(c__txt=text(21))
    found = history(made.folder)
    assert seen(found) == [[("a.txt", 1)], [("b.txt", None)], [("c.txt", 2)]]
    assert found.revisions[1].changes == (FileChange(0, None, b"b.txt"),)


def test_two_files_that_change_places_stay_themselves(made, text):
    made.commit(a__txt=text(20, "red"), b__txt=text(30, "blue"))
    for old, new in (("a.txt", "c"), ("b.txt", "a.txt"), ("c", "b.txt")):
        made.git("mv", old, new)
    made.commit()
    made.commit(a__txt=text(31, "blue"))
    last = history(made.folder).revisions[-1].changes
    # Git sees two changed files: both paths are there before and after.
    assert [change.path for change in last] == [b"a.txt"]
    assert history(made.folder).about.files == 2


def test_a_deleted_file_ends_and_another_begins(made):
    made.commit(a__txt="one\n")
    made.git("rm", "-q", "a.txt")
    made.commit()
    made.commit(a__txt="two\n")
    found = history(made.folder)
    assert seen(found) == [[("a.txt", 1)], [(None, 2)], [("a.txt", 1)]]
    assert [file.sizes for file in found.files] == [[0, 1, 0], [0, 1]]


def test_a_changed_mode_is_not_a_version(made):
    made.commit(a__sh="one\n")
    os.chmod(made.folder / "a.sh", 0o755)
    made.commit()
    assert seen(history(made.folder)) == [[("a.sh", 1)]]


def test_what_is_not_a_text_is_left_out_and_counted(made):
    made.write("image.png", b"\x89PNG\0\0")
    made.write("large.txt", b"x" * (TEXT_BYTES_MAX + 1))
    os.symlink("a.txt", made.folder / "link")
    made.commit(a__txt="one\n")
    made.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    made.git("commit", "-q", "-m", "a submodule")
    found = history(made.folder)
    assert seen(found) == [[("a.txt", 1)]]
    assert found.about.left_out == LeftOut(binary=1, large=1, links=1, submodules=1)


def test_a_text_that_becomes_binary_ends(made):
    made.commit(a__txt="one\n")
    made.write("a.txt", b"\0")
    made.commit()
    made.commit(a__txt="two\n")
    assert seen(history(made.folder)) == [[("a.txt", 1)], [(None, 2)], [("a.txt", 1)]]


def test_a_file_that_becomes_a_link_ends(made):
    made.commit(a__txt="one\n", b__txt="two\n")
    (made.folder / "a.txt").unlink()
    os.symlink("b.txt", made.folder / "a.txt")
    made.commit()
    assert seen(history(made.folder))[1] == [(None, 2)]


def test_names_and_texts_need_not_be_utf_8(made):
    try:
        made.write(b"caf\xe9.txt", b"caf\xe9\n")
    except OSError:
        pytest.skip("the file system refuses such names")
    made.write('new\nline \t"quoted".txt', "x\n")
    made.commit()
    found = history(made.folder)
    paths = {change.path for change in found.revisions[0].changes}
    assert paths == {b"caf\xe9.txt", b'new\nline \t"quoted".txt'}
    assert all(file.sizes[-1] > 0 for file in found.files)


def test_paths_narrow_a_history(made):
    made.commit(a__txt="one\n")
    made.write("docs/b.txt", "two\n")
    made.commit(a__txt="three\n")
    assert seen(history(made.folder, paths=["docs"])) == [[("docs/b.txt", 1)]]
    assert seen(history(made.folder, paths=[":!docs"])) == [[("a.txt", 1)], [("a.txt", 2)]]
    assert seen(history(made.folder, paths=["*.txt", ":(exclude)a.txt"])) == [[("docs/b.txt", 1)]]


def test_every_kind_of_clone_has_the_same_history(made, tmp_path, text):
    made.commit(a__txt=text(9))
    made.commit(a__txt=text(10), author="bob")
    whole = history(made.folder)
    bare = tmp_path / "bare.git"
    made.git("clone", "-q", "--bare", ".", str(bare))
    tree = tmp_path / "tree"
    made.git("worktree", "add", "-q", "--detach", str(tree))
    for folder in (bare, made.folder / ".git", tree):
        assert history(folder).revisions == whole.revisions


def test_settings_of_the_user_change_nothing(made, tmp_path, monkeypatch, text):
    made.commit(a__txt=text(9))
    made.git("mv", "a.txt", "b.txt")
    made.commit()
    expected = history(made.folder).revisions
    made.write(
        "mine",
        "[diff]\nrenames = false\nnoprefix = true\n[log]\nshowSignature = true\n"
        "decorate = full\n[core]\nquotePath = true\npager = false\n[color]\nui = always\n",
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(made.folder / "mine"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_PAGER", "false")
    for line in ("diff.renames false", "log.showSignature true", "color.ui always"):
        made.git("config", *line.split())
    assert history(made.folder).revisions == expected


def test_one_person_with_two_addresses_is_one_author(made):
    made.commit(author="ann", a__txt="one\n")
    made.write(".mailmap", "Ann <ann@example.org> <annie@example.org>\n")
    made.commit(author="annie", a__txt="two\n")
    assert history(made.folder).about.authors == 1


def test_another_revision_may_be_the_newest(made):
    first = made.commit(a__txt="one\n")
    made.git("tag", "v1")
    made.commit(a__txt="two\n")
    for name in ("v1", first, first[:10], "HEAD~1"):
        found = history(made.folder, revision=name)
        assert (found.about.commit, found.about.commits) == (first, 1)


# Bad input


def test_no_repository(tmp_path):
    with pytest.raises(NoRepository, match="no such folder"):
        Repository(tmp_path / "nowhere")
    with pytest.raises(NoRepository, match="not a git repository"):
        Repository(tmp_path)
    with pytest.raises(NoRepository):
        Repository(tmp_path / "a\0b")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NoRepository):
        Repository(tmp_path / "file")


def test_a_folder_inside_a_repository_is_not_one(made):
    made.write("docs/a.txt", "x\n")
    made.commit()
    with pytest.raises(NoRepository):
        Repository(made.folder / "docs")


def test_a_shallow_clone(made, tmp_path):
    made.commit(a__txt="one\n")
    made.commit(a__txt="two\n")
    url = f"file://{made.folder}"
    made.git("clone", "-q", "--depth", "1", url, str(tmp_path / "shallow"))
    with pytest.raises(ShallowHistory, match="git fetch --unshallow"):
        Repository(tmp_path / "shallow")


def test_a_partial_clone(made, tmp_path):
    made.commit(a__txt="one\n")
    made.git("config", "uploadpack.allowFilter", "true")
    url = f"file://{made.folder}"
    made.git("clone", "-q", "--bare", "--filter=blob:none", url, str(tmp_path / "partial"))
    with pytest.raises(PartialClone, match="clone without --filter"):
        Repository(tmp_path / "partial")


def test_a_repository_without_commits(made):
    with pytest.raises(EmptyHistory, match="no commits"):
        history(made.folder)


def test_a_history_without_texts(made):
    made.write("a.png", b"\0")
    made.commit()
    with pytest.raises(EmptyHistory, match="no commit changes a text"):
        history(made.folder)


def test_a_time_without_commits(made):
    made.commit(a__txt="one\n")
    with pytest.raises(EmptyHistory, match="no commit in that time"):
        history(made.folder, since_s=made.time_s + 1)
    with pytest.raises(EmptyHistory, match="no commit in that time"):
        history(made.folder, until_s=made.time_s)


@pytest.mark.parametrize("name", ["main2", "-v", "--all", "", "v1..v2", "HEAD:a.txt"])
def test_an_unknown_revision(made, name):
    made.commit(a__txt="one\n")
    with pytest.raises(UnknownRevision):
        history(made.folder, revision=name)


@pytest.mark.parametrize("path", ["b.txt", "docs", "../outside", ":(nonsense)x"])
def test_an_unknown_path(made, path):
    made.commit(a__txt="one\n")
    with pytest.raises(UnknownPath):
        history(made.folder, paths=["a.txt", path])


def test_git_is_missing(made, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitMissing, match="install git"):
        Repository(made.folder)


def test_a_repository_that_lacks_an_object(made):
    made.commit(a__txt="one\n")
    blob = made.git("rev-parse", "HEAD:a.txt").strip()
    file = made.folder / ".git" / "objects" / blob[:2] / blob[2:]
    os.chmod(file, 0o600)
    file.unlink()
    with pytest.raises(GitFailed, match="missing"):
        history(made.folder)


def test_nothing_in_the_repository_changes(made):
    made.commit(a__txt="one\n")

    def state() -> list[tuple[str, bytes]]:
        files = sorted(path for path in made.folder.rglob("*") if path.is_file())
        return [(str(path), path.read_bytes()) for path in files]

    before = state()
    history(made.folder)
    assert state() == before


@pytest.mark.slow
def test_git_is_asked_for_no_more_than_it_has(made):
    """Requests for blobs go ahead of the answers, and do not fill a pipe."""
    for number in range(450):
        made.write(f"{number}.txt", f"{number}\n" * 50)
    made.commit()
    found = history(made.folder)
    assert found.about.files == 450
