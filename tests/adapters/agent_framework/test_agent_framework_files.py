"""What becomes of files that several callers change, by the tools of a model."""

import pytest

pytest.importorskip("agent_framework")

PLAN = "build: open\nreview: open\n"
BUILT = "build: done\nreview: open\n"
REVIEWED = "build: open\nreview: done\n"
BOTH = "build: done\nreview: done\n"
WRITTEN = "File 'plan.md' written."


@pytest.fixture
def coder(files, caller):
    made = caller(files, "coder")
    made.write("plan.md", PLAN)
    return made


@pytest.fixture
def reviewer(files, caller, coder):
    made = caller(files, "reviewer")
    made.read("plan.md")
    return made


def text(workspace, name="plan.md"):
    return workspace.agent("anyone").read(name).text


def test_a_stale_whole_write_is_refused(workspace, coder, reviewer):
    assert coder.write("plan.md", BUILT, overwrite=True) == WRITTEN
    assert reviewer.write("plan.md", REVIEWED, overwrite=True) == (
        "Could not write file 'plan.md': plan.md was not written: "
        "coder.s changed it after you saw it.\n"
        "What coder.s changed:\n@@ -1 +1 @@\n-build: open\n+build: done\n"
        "What you tried to change:\n@@ -2 +2 @@\n-review: open\n+review: done\n"
        "Read it again, then write both changes as one."
    )
    assert text(workspace) == BUILT
    assert reviewer.read("plan.md") == BUILT
    assert reviewer.write("plan.md", BOTH, overwrite=True) == WRITTEN
    assert text(workspace) == BOTH


LOOKS = {
    "a search": lambda caller: caller.grep("build"),
    "a listing": lambda caller: caller.ls(),
    "a replaced passage": lambda caller: caller.replace("plan.md", "review: open", "review: ok"),
    "a replaced line": lambda caller: caller.replace_lines(
        "plan.md", [{"line_number": 2, "new_line": "review: ok\n"}]
    ),
    "one line": lambda caller: caller.read_lines("plan.md", 1, 1),
    "lines that are not there": lambda caller: caller.read_lines("plan.md", 9, 9),
    "lines in no order": lambda caller: caller.read_lines("plan.md", 3, 1),
    "lines before the first": lambda caller: caller.read_lines("plan.md", -5, 3),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_does_not_show_the_file_is_no_base_of_a_write(workspace, coder, reviewer, look):
    coder.write("plan.md", BUILT, overwrite=True)
    look(reviewer)
    assert "was not written" in reviewer.write("plan.md", REVIEWED, overwrite=True)
    assert "build: done" in text(workspace)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_nor_for_a_caller_that_never_read_it(workspace, files, caller, coder, look):
    newcomer = caller(files, "newcomer")
    look(newcomer)
    assert "you have" in newcomer.write("plan.md", REVIEWED, overwrite=True)
    assert "build: open" in text(workspace)


@pytest.mark.parametrize("look", [None, *LOOKS.values()], ids=["nothing", *LOOKS])
def test_the_framework_alone_loses_the_change(stock, caller, look):
    """In each of these places its store takes the stale write, and says that all is well."""
    coder, reviewer = caller(stock, "coder"), caller(stock, "reviewer")
    coder.write("plan.md", PLAN)
    reviewer.read("plan.md")
    coder.write("plan.md", BUILT, overwrite=True)
    if look is not None:
        look(reviewer)
    assert reviewer.write("plan.md", REVIEWED, overwrite=True) == WRITTEN
    assert coder.read("plan.md") == REVIEWED


def test_windows_that_leave_nothing_out_show_the_file(workspace, coder, reviewer):
    coder.write("plan.md", BUILT, overwrite=True)
    assert reviewer.read_lines("plan.md", 1, 1) == "1\tbuild: done\n"
    assert "was not written" in reviewer.write("plan.md", BOTH, overwrite=True)
    assert reviewer.read_lines("plan.md", 2) == "2\treview: open\n3\t"
    assert reviewer.write("plan.md", BOTH, overwrite=True) == WRITTEN


def test_replaced_passages_are_all_kept(workspace, coder, reviewer):
    assert coder.replace("plan.md", "build: open", "build: done") == (
        "Replaced 1 occurrence(s) in 'plan.md'."
    )
    edit = {"line_number": 2, "new_line": "review: done\n", "expected_line": "review: open"}
    assert reviewer.replace_lines("plan.md", [edit]) == "Replaced 1 line(s) in 'plan.md'."
    assert text(workspace) == BOTH


def test_what_cannot_be_replaced_changes_nothing(workspace, files, caller, stock, coder):
    plain = caller(stock)
    plain.write("plan.md", PLAN)
    for call in (
        lambda caller: caller.replace("plan.md", "nothing", "something"),
        lambda caller: caller.replace("plan.md", "open", "done"),
        lambda caller: caller.replace("plan.md", "", "done"),
        lambda caller: caller.replace_lines("plan.md", []),
        lambda caller: caller.replace_lines("plan.md", [{"line_number": 9, "new_line": ""}]),
        lambda caller: caller.replace("no.md", "a", "b"),
        lambda caller: caller.replace_lines("no.md", [{"line_number": 1, "new_line": ""}]),
        lambda caller: caller.read("no.md"),
        lambda caller: caller.read_lines("no.md", 1),
        lambda caller: caller.delete("no.md"),
        lambda caller: caller.write("plan.md", "new"),
        lambda caller: caller.write("../plan.md", "new"),
        lambda caller: caller.read(" "),
    ):
        assert call(coder) == call(plain), "as the framework says it"
    assert len(workspace.history("plan.md")) == 1


@pytest.mark.parametrize("path", ["../a.md", "a/../../b.md", "/", "docs/"])
def test_a_path_that_names_no_file_is_refused(workspace, coder, path):
    for answer in (
        coder.replace(path, "a", "b"),
        coder.replace_lines(path, [{"line_number": 1, "new_line": ""}]),
        coder.write(path, "text"),
        coder.read(path),
    ):
        assert answer.startswith("Could not ")
    assert workspace.names() == ["plan.md"]


def test_a_deletion_is_compared_with_what_was_read(workspace, coder, reviewer):
    coder.write("plan.md", BUILT, overwrite=True)
    assert "plan.md was not deleted: coder.s changed it" in reviewer.delete("plan.md")
    reviewer.read("plan.md")
    assert reviewer.delete("plan.md") == "File 'plan.md' deleted."
    assert "coder.s" not in (told := coder.write("plan.md", PLAN, overwrite=True))
    assert "reviewer.s deleted it" in told
    assert coder.read("plan.md") == "File 'plan.md' not found."
    assert coder.write("plan.md", PLAN) == WRITTEN


def test_folders_are_what_names_begin_with(workspace, files, caller):
    coder = caller(files)
    for path in ("docs/a.md", "docs/deep/b.md", "c.md", "ü ?.md"):
        assert coder.write(path, path) == f"File '{path}' written."
    assert workspace.names() == ["%C3%BC %3F.md", "c.md", "docs/a.md", "docs/deep/b.md"]
    assert '"docs", "type": "directory"' in coder.ls()
    assert '"\\u00fc ?.md"' in coder.ls()
    assert coder.ls("docs/deep") == '[{"name": "b.md", "type": "file"}]'
    assert '"file_name": "docs/deep/b.md"' in coder.grep("b.md", directory="docs")
    assert coder.read("ü ?.md") == "ü ?.md"


def test_files_of_other_frameworks_are_files(workspace, files, caller):
    workspace.agent("a crew").write("plan.md", PLAN)
    workspace.agent("a graph").write("value", b'{"n": 1}')
    coder = caller(files)
    assert coder.read("plan.md") == PLAN
    assert coder.read("value") == "Could not read file 'value': value holds bytes"
    assert "value" not in coder.grep("n")
    assert "holds bytes" in coder.replace("value", "1", "2")


def test_callers_are_told_apart(workspace, files, caller, coder):
    """An agent in another session has not read what it read in the first."""
    for other in (caller(files, "coder", "t"), caller(files, "reviewer", "s")):
        assert "you have not read it" in other.write("plan.md", REVIEWED, overwrite=True)
    assert coder.write("plan.md", BUILT, overwrite=True) == WRITTEN
    long = caller(files, "a" * 90, "b" * 90)
    assert long.write("long.md", "text") == "File 'long.md' written."
    assert len(workspace.history("long.md")[0].author) <= 100


def test_a_forgotten_file_was_not_read(files, coder, reviewer):
    files.forget(reviewer.agent, reviewer.session)
    assert "you have not read it" in reviewer.write("plan.md", REVIEWED, overwrite=True)


def test_what_the_program_asks_for(workspace, caller, unattended):
    from coherence_agent_framework import CoherentFileAccess

    files = CoherentFileAccess(workspace, folder="team/a", unread="replace", **unattended)
    workspace.agent("other").write("team/a/plan.md", PLAN)
    coder = caller(files)
    assert coder.ls() == '[{"name": "plan.md", "type": "file"}]'
    assert coder.write("plan.md", BUILT, overwrite=True) == WRITTEN
    assert text(workspace, "team/a/plan.md") == BUILT


def test_bad_settings_are_refused(workspace):
    from coherence import BadArgument, BadUrl, InvalidName
    from coherence_agent_framework import CoherentFileAccess

    for wrong, error in (
        ({"session_scoped": True}, BadArgument),
        ({"scope": "tenant"}, BadArgument),
        ({"unread": "never"}, BadArgument),
        ({"folder": "../other"}, InvalidName),
    ):
        with pytest.raises(error):
            CoherentFileAccess(workspace, **wrong)
    with pytest.raises(BadUrl):
        CoherentFileAccess("no url")
    with pytest.raises(BadArgument):
        CoherentFileAccess(3)


def test_the_program_has_a_store_of_its_own(workspace, files, coder, reviewer):
    import asyncio

    async def story():
        store = files.store
        assert await store.read("plan.md") == PLAN
        assert await store.file_exists("plan.md")
        assert not await store.file_exists("plan")
        await store.create_directory("docs")
        await store.write("plan.md", BUILT)
        with pytest.raises(FileExistsError):
            await store.write("plan.md", PLAN, overwrite=False)
        assert await store.delete("no.md") is False

    asyncio.run(story())
    assert text(workspace) == BUILT
    assert "program changed it" in reviewer.write("plan.md", REVIEWED, overwrite=True)


def test_a_closed_workspace_and_a_long_text_are_answers(caller, unattended):
    from coherence import Limits, Workspace
    from coherence_agent_framework import CoherentFileAccess

    with Workspace(limits=Limits(content_bytes=100)) as workspace:
        coder = caller(CoherentFileAccess(workspace, **unattended))
        assert "100" in coder.write("plan.md", "x" * 101)
        assert workspace.names() == []
        coder.write("plan.md", "x")
    for answer in (coder.read("plan.md"), coder.write("plan.md", "y"), coder.grep("x")):
        assert "closed" in answer
    assert "closed" in coder.replace("plan.md", "x", "y")


@pytest.mark.parametrize("seed", range(5))
def test_the_store_does_what_the_framework_asks_of_one(workspace, files, stock, seed):
    """Both stores, side by side, with the same calls."""
    import asyncio
    import random

    choose = random.Random(seed).choice
    paths = ["a.md", "b.md", "docs/a.md", "docs/deep/b.md", "docs/deep/c.md"]
    texts = ["one\n", "two\nthree", "", "one\r\n\u00fc\n"]
    folders = ["", "docs", "docs/deep/", "no"]

    async def done(call):
        try:
            found = await call
        except (ValueError, OSError) as error:
            return type(error)
        return sorted(str(each.to_dict()) for each in found) if isinstance(found, list) else found

    async def story():
        for _ in range(60):
            path, text, folder = choose(paths), choose(texts), choose(folders)
            name, given, more = choose(
                [
                    ("write", (path, text), {}),
                    ("write", (path, text), {"overwrite": False}),
                    ("read", (path,), {}),
                    ("delete", (path,), {}),
                    ("file_exists", (path,), {}),
                    ("list_children", (folder,), {}),
                    ("search", (folder, "o|e", choose(["*.md", None])), {"recursive": True}),
                    ("search", (folder, "t"), {}),
                    ("create_directory", (folder,), {}),
                ]
            )
            both = [
                await done(getattr(s, name)(*given, **more)) for s in (files.store, stock.store)
            ]
            assert both[0] == both[1], (name, given, more)

    asyncio.run(story())
