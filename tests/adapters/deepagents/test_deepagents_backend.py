"""The backend alone: what a caller has seen, and errors that are in the results."""

import asyncio
import inspect
import threading

import pytest

pytest.importorskip("deepagents")

from deepagents.backends import CompositeBackend, StateBackend
from deepagents.backends.protocol import BackendProtocol, SandboxBackendProtocol

from coherence import Workspace
from coherence.errors import BadArgument
from coherence_deepagents import CoherentBackend
from coherence_deepagents.middleware import CoherenceMiddleware

PATH = "/docs/plan.md"


def content(backend, path=PATH):
    return backend.read(path, 0, 10**6).file_data["content"]


@pytest.fixture
def pair(opened):
    """Two callers; the first has written a file of ten lines."""
    ann, bob = opened(agent="ann"), opened(agent="bob")
    assert ann.write(PATH, "".join(f"line {n}\n" for n in range(10))).error is None
    return ann, bob


def test_a_file_that_was_never_read_is_not_replaced(pair):
    ann, bob = pair
    refused = bob.write(PATH, "bob's")
    assert refused.path is None
    assert refused.error == (
        f"Error: {PATH} was not written: it exists, last changed by ann, and you have not read it. "
        "Read the whole file first, or replace only a passage."
    )
    assert content(ann).startswith("line 0\n")


def test_a_stale_write_is_told_what_changed(pair):
    ann, bob = pair
    bob.read(PATH)
    assert ann.edit(PATH, "line 3", "line three").error is None
    said = bob.write(PATH, "bob's").error
    assert said.startswith(f"Error: {PATH} was not written: ann changed it after you saw it.")
    assert "+line three" in said
    assert "+bob's" in said
    bob.read(PATH)
    assert bob.write(PATH, "both").error is None
    assert content(ann) == "both"


def test_what_shows_no_file_is_no_read(pair):
    """Searches, listings, downloads and edits do not stand for a read."""
    ann, bob = pair
    assert bob.grep("line").matches
    assert bob.glob("*.md").matches
    assert bob.ls("/docs").entries
    assert bob.download_files([PATH])[0].content
    assert bob.edit(PATH, "line 1\n", "line one\n").error is None
    assert "you have not read it" in bob.write(PATH, "bob's").error
    assert "line one" in content(ann)


def test_windows_that_leave_nothing_out_are_a_read(pair):
    _, bob = pair
    bob.read(PATH, 0, 4)
    bob.read(PATH, 8, 4)
    assert "you have seen only lines 1 to 4, 9 to 10 of 10" in bob.write(PATH, "bob's").error
    bob.read(PATH, 4, 4)
    assert bob.write(PATH, "bob's").error is None


def test_a_window_that_deepagents_would_cut_is_shorter(opened):
    """What a model is shown, and what the backend takes it to have seen, are the same."""
    ann, bob = opened(agent="ann"), opened(agent="bob")
    ann.write(PATH, "".join(f"{n:06}{'.' * 93}\n" for n in range(1000)))
    first = bob.read(PATH, 0, 2000)
    assert (first.start_line, first.end_line, first.next_offset) == (1, 790, 790)
    assert "lines 1 to 790 of 1000" in bob.write(PATH, "bob's").error
    assert bob.read(PATH, first.next_offset, 2000).end_line == 1000
    assert bob.write(PATH, "bob's").error is None


def test_a_line_that_deepagents_cuts_is_not_seen(opened):
    ann, bob = opened(agent="ann"), opened(agent="bob")
    ann.write(PATH, "word " * 20_000)
    assert bob.read(PATH).end_line == 1
    assert "you have not read it" in bob.write(PATH, "bob's").error


def test_edits_of_both_land(pair):
    ann, bob = pair
    assert ann.edit(PATH, "line 1\n", "ann\n").occurrences == 1
    assert bob.edit(PATH, "line 2\n", "bob\n").occurrences == 1
    assert content(ann).startswith("line 0\nann\nbob\nline 3\n")


def test_an_edit_upon_what_was_seen_is_seen(pair):
    _, bob = pair
    bob.read(PATH)
    bob.edit(PATH, "line 1\n", "bob\n")
    assert bob.write(PATH, "bob's").error is None


def test_a_folder_is_deleted_whole_or_not(pair):
    ann, bob = pair
    ann.write("/docs/other.md", "other")
    ann.write("/docsify.md", "beside")
    bob.read("/docs/other.md")
    ann.edit("/docs/other.md", "other", "changed")
    refused = bob.delete("/docs")
    assert refused.error.startswith("Error: ")
    assert "/docs/other.md" in refused.error
    assert [info["path"] for info in bob.ls("/docs").entries] == ["/docs/other.md", PATH]
    bob.read("/docs/other.md")
    assert bob.delete("/docs/").error is None
    assert [info["path"] for info in bob.ls("/").entries] == ["/docsify.md"]
    assert bob.delete("/docs").error == "Error: File '/docs' not found"


def test_a_deleted_file_is_not_written_from_what_was_read(pair):
    ann, bob = pair
    bob.read(PATH)
    ann.delete(PATH)
    assert "ann deleted it after you saw it" in bob.write(PATH, "bob's").error


def test_replacing_unread_is_a_choice(pair, opened):
    assert opened(agent="eve", unread="replace").write(PATH, "eve's").error is None
    assert opened(agent="eve", unread="replace").write(PATH, "eve's").error is None


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/docs/../../etc", "..", "/", "", "/a/..", "/docs/"]
)
def test_a_path_that_names_no_file_is_refused(backend, path):
    for answer in (
        backend.read(path),
        backend.write(path, "x"),
        backend.edit(path, "x", "y"),
        *backend.upload_files([(path, b"x")]),
        *backend.download_files([path]),
    ):
        assert answer.error, answer
    assert backend.ls("/").entries == []


@pytest.mark.parametrize("path", ["/..", "/a/../b"])
def test_a_folder_that_leads_out_is_refused(backend, path):
    for answer in (backend.ls(path), backend.grep("x", path), backend.glob("*", path)):
        assert "leads out" in answer.error


@pytest.mark.parametrize("path", ["/a:b?.md", "/ü/ä.md", "/%41.md", "/a b/ c.md", "/x.", "/con"])
def test_an_odd_name_is_kept(backend, path):
    assert backend.write(path, "x").error is None
    assert [info["path"] for info in backend.glob("**/*").matches or backend.glob("*").matches] == [
        path
    ]
    assert content(backend, path) == "x"


def test_bytes_are_bytes(backend):
    data = bytes(range(256))
    assert backend.upload_files([("/a.png", data), ("/b.bin", data), ("/c.txt", b"text")]) == [
        type(each)(path=each.path)
        for each in backend.upload_files([("/a.png", data), ("/b.bin", data), ("/c.txt", b"text")])
    ]
    assert backend.read("/b.bin").file_data["encoding"] == "base64"
    assert backend.download_files(["/a.png", "/none"])[0].content == data
    assert backend.download_files(["/none"])[0].error == "file_not_found"
    assert "bytes" in backend.edit("/b.bin", "a", "b").error
    assert backend.grep("text").matches == [{"path": "/c.txt", "line": 1, "text": "text"}]
    sizes = {info["path"]: info["size"] for info in backend.ls("/").entries}
    assert sizes == {"/a.png": 256, "/b.bin": 256, "/c.txt": 4}


def test_a_text_that_is_too_large_is_refused(backend):
    assert "large" in backend.write(PATH, "x" * (17 * 2**20)).error
    assert "not found" in backend.read(PATH).error


def test_a_text_that_is_no_text_is_refused(backend):
    assert backend.write(PATH, "\ud800").error
    backend.write(PATH, "x")
    assert backend.edit(PATH, "x", "\ud800").error
    assert content(backend) == "x"


def test_a_pattern_that_is_refused_is_an_error(backend):
    backend.write(PATH, "x")
    assert backend.glob("../*").error
    assert backend.grep("x", glob="{" + ",".join("ab" * 5000) + "}").error


@pytest.mark.parametrize("call", ["ls", "read", "grep", "glob", "write", "edit", "delete"])
def test_a_closed_workspace_is_an_error(url, call):
    backend = CoherentBackend(url)
    backend.write("/a.md", "x")
    backend.close()
    given = {"write": ("x",), "edit": ("x", "y")}.get(call, ())
    assert "closed" in getattr(backend, call)("/a.md", *given).error
    assert "closed" in backend.upload_files([("/a.md", b"x")])[0].error
    assert "closed" in backend.download_files(["/a.md"])[0].error


def test_a_store_that_is_gone_is_an_error(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    with CoherentBackend(f"sqlite:///{folder}/team.db") as backend:
        backend.write(PATH, "x")
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        assert "Error: " in backend.write(PATH, "y").error
        assert backend.edit(PATH, "x", "y").error


def test_bad_settings_are_refused():
    with Workspace("memory://") as workspace, pytest.raises(BadArgument):
        CoherentBackend(workspace, unread="never")
    with pytest.raises(BadArgument):
        CoherenceMiddleware(StateBackend())


def test_every_call_has_its_twin():
    """Of the protocol's calls none is left to threads of the application."""
    ours = dict(inspect.getmembers(CoherentBackend, inspect.isfunction))
    for name, call in inspect.getmembers(BackendProtocol, inspect.isfunction):
        if not name.startswith("_"):
            assert ours[name] is not call, name
            given = inspect.signature(call).parameters
            assert list(inspect.signature(ours[name]).parameters) == list(given), name
            if name.startswith("a") and f"{name[1:]}" in ours:
                assert inspect.iscoroutinefunction(ours[name])


def test_the_twins_answer_the_same(backend):
    async def play():
        assert (await backend.awrite(PATH, "one\ntwo\n")).path == PATH
        assert (await backend.aread(PATH)).total_lines == 2
        assert (await backend.aedit(PATH, "one", "1")).occurrences == 1
        assert (await backend.agrep("1", max_count=1)).matches[0]["line"] == 1
        assert (await backend.aglob("*.md")).matches[0]["path"] == PATH
        assert (await backend.als("/")).entries[0]["path"] == "/docs/"
        assert (await backend.aupload_files([("/b", b"x")]))[0].error is None
        assert (await backend.adownload_files(["/b"]))[0].content == b"x"
        assert (await backend.adelete("/docs")).error is None
        assert (await backend.aread(PATH)).error == f"File '{PATH}' not found"

    asyncio.run(play())


def test_tasks_that_edit_at_once_lose_nothing(backend):
    backend.write(PATH, "".join(f"{n}: open\n" for n in range(20)))

    async def play():
        edits = [backend.aedit(PATH, f"\n{n}: open", f"\n{n}: done") for n in range(1, 20)]
        assert [each.error for each in await asyncio.gather(*edits)] == [None] * 19

    asyncio.run(play())
    assert content(backend).count("done") == 19


def test_it_is_one_route_of_several(backend):
    """Under a route paths begin there; the other routes never see the workspace."""
    both = CompositeBackend(default=backend, routes={"/memories/": StateBackend()})
    assert both.write("/plan.md", "x").error is None
    assert content(backend, "/plan.md") == "x"
    under = CompositeBackend(default=StateBackend(), routes={"/shared/": backend})
    assert under.read("/shared/plan.md").file_data["content"] == "x"
    assert under.edit("/shared/plan.md", "x", "y").error is None
    assert under.grep("y", "/shared").matches[0]["path"] == "/shared/plan.md"
    assert under.glob("*.md", "/shared").matches[0]["path"] == "/shared/plan.md"
    assert under.delete("/shared/plan.md").error is None
    assert not issubclass(CoherentBackend, SandboxBackendProtocol)


@pytest.mark.parametrize("url", ["memory", "sqlite"], indirect=True)
def test_threads_that_edit_at_once_lose_nothing(backend, example):
    files = example("deepagents_files")
    assert files.edits_of_threads(backend) == 200
    assert files.text(backend).count("done") == 200


def test_a_thread_that_waits_holds_no_other(opened):
    """A caller whose file is under a grant waits; other callers of the backend do not."""
    ann, bob = opened(agent="ann"), opened(agent="bob")
    ann.write(PATH, "x")
    waiting = threading.Thread(target=bob.edit, args=(PATH, "x", "y"))
    with ann.workspace.agent("eve").edit("docs/plan.md") as draft:
        waiting.start()
        assert ann.read(PATH).error is None
        draft.text = "x, by eve"
    waiting.join()
    assert content(ann) == "y, by eve"
