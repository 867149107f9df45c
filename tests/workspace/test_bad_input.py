"""Every bad call gets a typed error, and neither the store nor the agent has moved."""

import os
import signal
import sqlite3
import threading
from contextlib import ExitStack, closing

import pytest

import coherence
from coherence import (
    AgentBusy,
    AgentLeft,
    AgentSuperseded,
    BadArgument,
    BadRef,
    BadUrl,
    ContentTooLarge,
    ForeignRef,
    InvalidContent,
    InvalidName,
    Lazy,
    Limits,
    OutcomeUnknown,
    QuotaExceeded,
    Ref,
    StoreCorrupt,
    StoreFault,
    StoreMissing,
    StoreNewer,
    StoreReadOnly,
    UnknownArtifact,
    UnknownVersion,
    UsedAfterFork,
    Visibility,
    Workspace,
    WorkspaceClosed,
)
from coherence.stores.sqlite import SqliteStore
from coherence.stores.sqlite_faults import commit_fault
from message_passing.errors import ToolkitError

try:
    import resource
except ImportError:  # not on Windows
    resource = None

NAMES = {
    "none": None,
    "number": 7,
    "list": [],
    "bytes": b"plan.md",
    "empty": "",
    "parent": "../x",
    "inner parent": "a/../x",
    "root": "/etc/passwd",
    "windows": "a\\b",
    "drive": "c:x",
    "nul": "a\0b",
    "newline": "a\nb",
    "surrogate": "a\ud800",
    "ref": "plan.md@3",
    "long": "a" * 201,
    "decomposed": "e\u0301",
    "dot": ".",
    "double slash": "a//b",
    "blank": " ",
    "wildcard": "a*",
}
CALLS = {
    "read": lambda agent, name: agent.read(name),
    "read have": lambda agent, name: agent.read(name, have="plan.md@1"),
    "read version": lambda agent, name: agent.read(name, version=1),
    "write": lambda agent, name: agent.write(name, "text"),
    "overwrite": lambda agent, name: agent.write(name, "text", overwrite=True),
    "update": lambda agent, name: agent.update(name, str.upper),
    "edit": lambda agent, name: agent.edit(name).__enter__(),
    "delete": lambda agent, name: agent.delete(name),
    "rename": lambda agent, name: agent.rename(name, "there.md"),
    "rename to": lambda agent, name: agent.rename("plan.md", name),
    "history": lambda agent, name: agent.history(name),
}


@pytest.fixture
def room(rooms, snapshot):
    """A workspace with one artifact of two versions, an agent, and a check that nothing moved."""
    rooms.settings["limits"] = Limits(content_bytes=1000, artifacts=3)
    (agent,) = rooms.agents("ann")
    agent.write("plan.md", "one")
    agent.write("plan.md", "two")
    workspace = rooms.opened[0]
    before = snapshot(workspace), dict(agent._states)
    yield agent
    if workspace._site.fault is None:
        assert (snapshot(workspace), dict(agent._states)) == before


@pytest.mark.slow(fast=11)
@pytest.mark.parametrize("call", CALLS)
def test_a_bad_name(room, call):
    for name in NAMES.values():
        with pytest.raises(InvalidName):
            CALLS[call](room, name)


def test_a_good_name(rooms):
    names = [".hidden", "a b/c d.md", "a'b;--", "a-b_c.1", "a.md", "Ünïcode/计划"]
    (agent,) = rooms.agents("ann")
    for name in names:
        agent.write(name, f"text of {name}")
    assert [agent.read(name).text for name in names] == [f"text of {name}" for name in names]
    assert list(agent.list()) == names


LAST = "\U0010ffff"


def test_a_prefix(rooms):
    """Of what is last in its range, and of what no name can begin with."""
    names = ["a\ud7ff", "a\ue000", f"b{LAST}", f"b{LAST}x", "c", f"{LAST}x"]
    (agent,) = rooms.agents("ann")
    for name in names:
        agent.write(name, "text")
    for prefix, found in {
        "a": names[:2],
        "a\ud7ff": names[:1],
        "b": names[2:4],
        f"b{LAST}": names[2:4],
        LAST: names[5:],
        "": names,
        "\ud800": [],
        "\0": [],
    }.items():
        assert list(agent.list(prefix)) == found, prefix


def test_content_that_is_none(room):
    for content in (None, 5, "\ud800", ["text"], 1.5, bytearray(b"x")):
        for call in (
            lambda bad: room.write("plan.md", bad),
            lambda bad: room.write("plan.md", bad, overwrite=True),
            lambda bad: room.update("new.md", lambda text: bad),
            lambda bad: room.update("new.md", str.upper, initial=bad),
        ):
            with pytest.raises(InvalidContent):
                call(content)


def test_content_that_is_too_large(room):
    for content in ("x" * 1001, b"x" * 1001, "ü" * 501, "x" * 100_000_000):
        with pytest.raises(ContentTooLarge):
            room.write("plan.md", content)


def test_one_artifact_too_many(rooms):
    rooms.settings["limits"] = Limits(artifacts=2)
    (agent,) = rooms.agents("ann")
    agent.write("a", "1")
    agent.write("b", "1")
    with pytest.raises(QuotaExceeded):
        agent.write("c", "1")
    assert agent.list() == ["a", "b"]
    agent.write("a", "2")


#: Right-to-left override, isolate and mark, a joiner, a soft hyphen, a byte order mark, a tag.
CONTROLS = "\u202e\u2067\u200f\u200d\u00ad\ufeff\U000e0041"


@pytest.mark.slow(fast=7)
@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_a_format_control_in_the_name_of_a_new_artifact(rooms, snapshot, control):
    (agent,) = rooms.agents("ann")
    agent.write("plan.md", "1")
    bad = f"notes/{control}gnp.exe"
    before = snapshot(rooms.opened[0])
    for call in (
        lambda: agent.write(bad, "1"),
        lambda: agent.write(bad, "1", overwrite=True),
        lambda: agent.update(bad, str.upper, initial="1"),
        lambda: agent.rename("plan.md", bad),
        lambda: agent.edit(bad).__enter__(),
    ):
        with pytest.raises(InvalidName, match="format control"):
            call()
    assert snapshot(rooms.opened[0]) == before
    agent.write("plan.md", "2")


def test_a_name_with_a_format_control_that_is_there_already(rooms, monkeypatch):
    (agent,) = rooms.agents("ann")
    old = "\u202egnp.exe"
    with monkeypatch.context() as earlier:
        earlier.setattr("coherence.runtime.homes.check_new_name", lambda name: None)
        agent.write(old, "1")
        agent.write(old + "2", "1")
    assert agent.read(old).text == "1"
    agent.write(old, "2")
    with agent.edit(old) as draft:
        draft.text = "3"
    agent.rename(old, "exe.png")
    assert agent.read("exe.png").text == "3"
    agent.delete(old + "2")
    assert agent.list() == ["exe.png"]


def test_names_of_every_language_are_names(rooms):
    (agent,) = rooms.agents("ann")
    for name in ("план.md", "計画/初版.md", "خطة.md", "תוכנית.md", "café.md", "plan 🚀.md"):
        agent.write(name, "1")


def test_an_unknown_artifact(room):
    for call in (
        lambda: room.read("nothing.md"),
        lambda: room.read("nothing.md", have="nothing.md@1"),
        lambda: room.read("nothing.md", version=1),
        lambda: room.delete("nothing.md"),
        lambda: room.rename("nothing.md", "there.md"),
        lambda: room.history("nothing.md"),
    ):
        with pytest.raises(UnknownArtifact):
            call()


def test_an_unknown_version(room):
    for version in (0, -1, 3, 2**40, 2**70, 1.0, "1", True):
        with pytest.raises(UnknownVersion):
            room.read("plan.md", version=version)


def test_a_version_of_the_future(room):
    with pytest.raises(UnknownVersion):
        room.read("plan.md", have="plan.md@3")


def test_a_ref_that_is_none(room):
    for have in ("plan.md", "plan.md@", "@3", "plan.md@0", "plan.md@x", 3, "other.md@1"):
        with pytest.raises(BadRef):
            room.read("plan.md", have=have)


def test_a_ref_of_another_workspace(room):
    with Workspace() as other:
        ref = other.agent("eve").write("plan.md", "one")
    for call in (
        lambda: room.read("plan.md", have=ref),
        lambda: room.write("plan.md", "three", expect=ref),
    ):
        with pytest.raises(ForeignRef):
            call()


def test_an_expectation_that_is_none(room):
    for expect in (-1, 2**70, 1.5, [], True):
        with pytest.raises(BadArgument):
            room.write("plan.md", "three", expect=expect)


def test_overwriting_and_expecting_contradict(room):
    with pytest.raises(BadArgument):
        room.write("plan.md", "three", expect=Ref("plan.md", 2), overwrite=True)


def test_a_wait_that_is_none(room):
    for wait_s in (-1, float("nan"), float("inf"), "1", True):
        with pytest.raises(BadArgument):
            room.edit("plan.md", wait_s=wait_s).__enter__()


def test_a_function_that_raises(room):
    with pytest.raises(ZeroDivisionError):
        room.update("plan.md", lambda text: 1 / 0)


def test_a_closed_workspace(rooms):
    (agent,) = rooms.agents("ann")
    agent.write("plan.md", "one")
    workspace = rooms.opened[0]
    workspace.close()
    for call in CALLS.values():
        with pytest.raises((WorkspaceClosed, AgentLeft)):
            call(agent, "plan.md")
    with pytest.raises(WorkspaceClosed):
        workspace.agent("bob")
    with pytest.raises(WorkspaceClosed):
        workspace.names()
    workspace.close()


def test_use_after_leaving(rooms):
    (agent,) = rooms.agents("ann")
    agent.write("plan.md", "one")
    agent.leave()
    for call in CALLS.values():
        with pytest.raises(AgentLeft):
            call(agent, "plan.md")
    agent.leave()
    assert rooms.opened[0].row("plan.md").row.state.sharers == ()
    again = rooms.opened[0].agent("ann")
    assert again.read("plan.md").text == "one"


def test_one_agent_in_two_threads(rooms):
    (agent,) = rooms.agents("ann")
    agent.write("plan.md", "one")
    errors = []

    def meanwhile(text):
        def call():
            try:
                agent.write("plan.md", "from the other thread")
            except ToolkitError as error:
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(60)
        return text + " two"

    agent.update("plan.md", meanwhile)
    assert [type(error) for error in errors] == [AgentBusy]
    assert agent.read("plan.md").text == "one two"


def test_an_agent_whose_name_was_taken_over(rooms):
    if not rooms.apart:
        pytest.skip("one workspace has one agent of a name")
    first = rooms.open().agent("ann")
    first.write("plan.md", "one")
    assert first.read("plan.md").served is coherence.Served.HIT
    second = rooms.open().agent("ann")
    assert second.read("plan.md").text == "one"
    second.write("plan.md", "two")
    if not rooms.validates:
        rooms.settle()
    with pytest.raises(AgentSuperseded):
        first.read("plan.md")
    with pytest.raises(AgentSuperseded):
        first.write("other.md", "three")
    assert second.read("plan.md").text == "two"


@pytest.mark.parametrize("visibility", list(coherence.Visibility))
def test_a_write_that_a_read_under_the_same_name_has_overtaken(rooms, monkeypatch, visibility):
    """It is not made: the reader would not be told of a commit by an agent of its own name."""
    if not rooms.apart:
        pytest.skip("one workspace has one agent of a name")
    rooms.settings["policy"] = coherence.Lazy(visibility=visibility, validity=1.0)
    first = rooms.open().agent("ann")
    first.write("plan.md", "one")
    homes = first._session.homes
    carry, others = homes.carry, []

    def overtaken(batch, *more, **settings):
        if not others:
            others.append(rooms.open().agent("ann"))
            assert others[0].read("plan.md").text == "one"
        return carry(batch, *more, **settings)

    monkeypatch.setattr(homes, "carry", overtaken)
    with pytest.raises(AgentSuperseded):
        first.write("plan.md", "two")
    assert others[0].read("plan.md").text == "one"
    assert rooms.open().agent("bob").read("plan.md").text == "one"


def test_drafting_twice(rooms):
    (agent,) = rooms.agents("ann")
    with agent.edit("plan.md") as draft:
        for call in (
            lambda: agent.write("plan.md", "two"),
            lambda: agent.edit("plan.md").__enter__(),
            lambda: agent.update("plan.md", str.upper),
            lambda: agent.delete("plan.md"),
        ):
            with pytest.raises(BadArgument):
                call()
        draft.text = "one"
    assert agent.read("plan.md").text == "one"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_use_after_a_fork(rooms):
    (agent,) = rooms.agents("ann")
    agent.write("plan.md", "one")
    agent.read("plan.md")
    child = os.fork()
    if not child:
        code = 1
        try:
            agent.read("plan.md")
        except UsedAfterFork:
            try:
                rooms.opened[0].agent("bob")
            except UsedAfterFork:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert agent.read("plan.md").text == "one"
    agent.write("plan.md", "two")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_use_after_a_fork_waits_for_no_lock_of_a_thread_that_is_gone(tmp_path):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        agent.read("plan.md")
        site = workspace._site
        store, caches = site.store, site._shared.caches
        db = store._connections
        locks = [db.lock, db.reading, db.glancing, caches.lock, site._joining]
        taken, over = threading.Event(), threading.Event()

        def hold():
            with ExitStack() as stack:
                for lock in (*locks, agent._session.asking):
                    stack.enter_context(lock)
                taken.set()
                over.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        taken.wait()
        child = os.fork()
        if not child:
            code = 0
            for call in (
                lambda: agent.read("plan.md"),
                lambda: agent.read("plan.md", have="plan.md@1"),
                lambda: agent.write("plan.md", "two"),
                lambda: agent.edit("plan.md").__enter__(),
                lambda: next(iter(agent.watch())),
                lambda: agent._is_awaited("plan.md"),
                lambda: workspace.agent("bob"),
                workspace.names,
                workspace.members,
                workspace.check,
            ):
                try:
                    call()
                    code += 1
                except UsedAfterFork:
                    pass
                except BaseException:
                    code += 1
            workspace.close()
            os._exit(code)
        over.set()
        holder.join()
        assert os.waitpid(child, 0)[1] == 0
        assert agent.read("plan.md").text == "one"


URLS = [
    "",
    "team.db",
    "http://host/x",
    "memory://x",
    "sqlite://",
    "sqlite://team.db",
    "sqlite:///:memory:",
    "sqlite:///a\0b",
    "//[",
    "postgres",
]


@pytest.mark.parametrize("url", URLS)
def test_a_bad_url(url):
    with pytest.raises(BadUrl):
        Workspace(url)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(StoreMissing):
        Workspace(f"sqlite:///{tmp_path}/no/team.db")
    with pytest.raises(StoreFault):
        Workspace(f"sqlite:///{tmp_path}")


def test_a_workspace_that_cannot_begin_leaves_no_store_open(tmp_path, monkeypatch):
    asked = []

    def head(store):
        asked.append(store)
        raise StoreFault("on purpose")

    monkeypatch.setattr(SqliteStore, "head", head)
    with pytest.raises(StoreFault, match="on purpose"):
        Workspace(f"sqlite:///{tmp_path}/team.db")
    with pytest.raises(StoreFault, match="closed"):
        asked[0].members()
    with closing(SqliteStore(tmp_path / "team.db")) as given:
        with pytest.raises(StoreFault, match="on purpose"):
            Workspace(given)
        assert given.members() == [], "a store that was given is its giver's to close"


def test_a_file_that_is_no_database(tmp_path):
    file = tmp_path / "team.db"
    file.write_bytes(b"not a database at all, but long enough to be looked at" * 10)
    with pytest.raises(StoreCorrupt):
        Workspace(f"sqlite:///{file}")
    assert file.read_bytes().startswith(b"not a database")


def test_a_database_of_another_program(tmp_path):
    file = tmp_path / "team.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StoreCorrupt):
        Workspace(f"sqlite:///{file}")


def test_a_newer_schema(tmp_path):
    file = tmp_path / "team.db"
    Workspace(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StoreNewer, match="999"):
        Workspace(f"sqlite:///{file}")


def test_a_file_that_cannot_be_written(tmp_path, snapshot):
    file = tmp_path / "team.db"
    with Workspace(f"sqlite:///{file}") as workspace:
        workspace.agent("ann").write("plan.md", "one")
        agent = workspace.agent("bob")
        agent.read("plan.md")
        before = snapshot(workspace), dict(agent._states)
        workspace._site.store._connections.writer.execute("PRAGMA query_only = ON")
        for call in (
            lambda: agent.write("plan.md", "two"),
            lambda: agent.edit("plan.md").__enter__(),
            lambda: agent.delete("plan.md"),
            lambda: agent.write("new.md", "two"),
        ):
            with pytest.raises(StoreReadOnly):
                call()
        assert (snapshot(workspace), dict(agent._states)) == before
        workspace._site.store._connections.writer.execute("PRAGMA query_only = OFF")
        agent.write("plan.md", "two")


def test_a_full_disk(tmp_path, snapshot):
    file = tmp_path / "team.db"
    with Workspace(f"sqlite:///{file}") as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        before = snapshot(workspace), dict(agent._states)
        pages = workspace._site.store._connections.writer.execute("PRAGMA page_count").fetchone()[0]
        workspace._site.store._connections.writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(coherence.StoreFull):
            agent.write("plan.md", "x" * 100_000)
        assert (snapshot(workspace), dict(agent._states)) == before
        workspace._site.store._connections.writer.execute("PRAGMA max_page_count = 1000000")
        assert str(agent.write("plan.md", "x" * 100_000)) == "plan.md@2"


@pytest.mark.skipif(resource is None, reason="no limits here")
def test_a_file_that_may_not_grow(tmp_path, snapshot):
    """What was never written whole was certainly not made: nobody has to look whether it was."""
    with Workspace(f"sqlite:///{tmp_path}/team.db") as workspace:
        agent = workspace.agent("ann")
        agent.write("plan.md", "one")
        before = snapshot(workspace)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with pytest.raises(StoreFault) as refused:
                agent.write("plan.md", "x" * 1_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert type(refused.value) is StoreFault
        assert "disk" in refused.value.remedy
        assert snapshot(workspace) == before
        assert str(agent.write("plan.md", "x" * 1_000_000)) == "plan.md@2"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_IOERR_WRITE, StoreFault),
        (sqlite3.SQLITE_IOERR_FSYNC, OutcomeUnknown),
        (sqlite3.SQLITE_IOERR, OutcomeUnknown),
        (sqlite3.SQLITE_FULL, coherence.StoreFull),
        (sqlite3.SQLITE_BUSY, coherence.StoreBusy),
    ],
)
def test_what_is_unknown_of_a_commit(code, kind):
    error = sqlite3.OperationalError("on purpose")
    error.sqlite_errorcode = code
    assert type(commit_fault(error)) is kind


def test_a_damaged_content(tmp_path):
    file = tmp_path / "team.db"
    with Workspace(f"sqlite:///{file}") as workspace:
        workspace.agent("ann").write("plan.md", "one")
        workspace.agent("ann").write("good.md", "one")
    with sqlite3.connect(file) as db:
        db.execute("UPDATE history SET body = x'414141' WHERE author = 'ann' AND slot < (2 << 32)")
    db.close()
    with Workspace(f"sqlite:///{file}") as workspace:
        with pytest.raises(StoreCorrupt):
            workspace.agent("bob").read("plan.md")
        assert workspace.agent("bob").read("good.md").text == "one"
        assert [line for line in workspace.check() if "plan.md@1" in line]


def test_a_damaged_row(tmp_path):
    file = tmp_path / "team.db"
    with Workspace(f"sqlite:///{file}") as workspace:
        workspace.agent("ann").write("plan.md", "one")
    with sqlite3.connect(file) as db:
        db.execute("UPDATE artifact SET home = x'00'")
    db.close()
    with Workspace(f"sqlite:///{file}") as workspace:
        with pytest.raises(StoreCorrupt):
            workspace.agent("bob").read("plan.md")
        assert workspace.check()


@pytest.mark.parametrize("bad", [{"content_bytes": 0}, {"artifacts": -1}, {"artifacts": 1.5}])
def test_bad_limits(bad):
    with pytest.raises(BadArgument):
        Limits(**bad)


def test_a_policy_that_is_none():
    with pytest.raises(BadArgument):
        Workspace(policy="lazy")
    with pytest.raises(coherence.InvalidPolicy):
        Workspace(policy=Lazy(grant_lease=-1))


def test_a_policy_that_leaves_its_bounds_to_the_workspace(rooms):
    """Strict visibility has the default validity where a store cannot validate every hit."""
    rooms.settings["policy"] = Lazy(visibility=Visibility.STRICT)
    ann, bob = rooms.agents("ann", "bob")
    ann.write("plan.md", "one")
    assert bob.read("plan.md").text == "one"
    ann.write("plan.md", "two")
    assert bob.read("plan.md").text == "two"
    policy = rooms.opened[0]._site.policy_of("plan.md")
    validates = rooms.opened[0]._site.store.validates
    assert policy.validity == (None if validates else 5.0)
