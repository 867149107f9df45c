"""The small rules of transactions, and what each refuses before anything changes."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import pytest
from tasks import Loop

from coherence import (
    AgentLeft,
    AsyncWorkspace,
    BadArgument,
    BadRef,
    Conflicts,
    ContentTooLarge,
    ForeignRef,
    InvalidContent,
    InvalidName,
    Limits,
    Recorder,
    Ref,
    UnknownArtifact,
    Workspace,
)
from specs.cli import main


@pytest.fixture
def workspace():
    with Workspace(limits=Limits(content_bytes=100, transaction_bytes=250)) as opened:
        yield opened


@pytest.fixture(params=["threads", "tasks"])
def pair(workspace, request):
    if request.param == "threads":
        yield workspace.agent("ann"), workspace.agent("bob")
        return
    loop = Loop()
    yield loop.agent(workspace, "ann"), loop.agent(workspace, "bob")
    loop.close()


def test_what_a_transaction_writes_it_does_not_read(pair):
    """A ref of it might never exist, and could later make a false *unchanged*."""
    ann, _ = pair
    ann.write("old", "old")
    with ann.transaction() as tx:
        tx.write("x", "1"), tx.rename("old", "new")
        for name in ("x", "old", "new"):
            with pytest.raises(BadArgument, match="look at the transaction's writes"):
                tx.read(name)
        assert tx.writes["x"] == "1"
    assert sorted(tx.refs) == ["new", "old", "x"]


@pytest.mark.parametrize(
    "call",
    [
        lambda agent: agent.write("y", "1"),
        lambda agent: agent.write("x", "1", overwrite=True),
        lambda agent: agent.delete("x"),
        lambda agent: agent.rename("x", "y"),
        lambda agent: agent.restore("x@1"),
        lambda agent: agent.update("y", lambda text: text),
        lambda agent: agent.edit("y").__enter__(),
        lambda agent: agent.transaction().__enter__(),
        lambda agent: agent.transact(lambda tx: None),
    ],
)
def test_a_call_that_publishes_beside_the_block_is_refused(pair, call):
    ann, bob = pair
    ann.write("x", "1")
    with ann.transaction() as tx:
        tx.write("x", "2", expect=1)
        with pytest.raises(BadArgument, match="through the transaction, or after its block"):
            call(ann)
        ann.read("x"), ann.snapshot(["x"]), ann.check("x@1"), ann.list(), ann.history("x")
        bob.write("z", "another agent may")
    with pytest.raises(KeyError), ann.transaction():
        raise KeyError
    ann.write("y", "after the block")
    assert len(ann.history("x")) == 2


def test_a_block_within_transact_refuses_them_too(workspace):
    ann = workspace.agent("ann")

    def function(tx):
        with pytest.raises(BadArgument):
            ann.write("y", "1")
        tx.write("x", "1")

    ann.transact(function)
    ann.write("y", "1")


@pytest.mark.slow
def test_a_block_that_is_dropped_stands_in_nobodys_way(workspace):
    ann = workspace.agent("ann")
    ann.transaction().__enter__()
    gc.collect()
    ann.write("x", "1")

    async def story():
        async with AsyncWorkspace(workspace) as tasks:
            bob = await tasks.agent("bob")
            block = bob.transaction()
            await asyncio.create_task(block.__aenter__())
            await bob.write("y", "1")  # the task that began it has ended
            del block

    asyncio.run(story())


def test_a_name_under_ones_own_draft_is_refused(pair):
    ann, _ = pair
    ann.write("x", "1")
    with ann.edit("x"), ann.transaction() as tx:
        for use in (
            lambda: tx.read("x"),
            lambda: tx.write("x", "2"),
            lambda: tx.delete("x"),
            lambda: tx.rename("x", "y"),
            lambda: tx.rename("y", "x"),
        ):
            with pytest.raises(BadArgument, match="drafting 'x'"):
                use()
        tx.write("y", "1")
    assert str(tx.refs["y"]) == "y@1"


def test_a_transaction_is_used_in_its_block(pair):
    ann, _ = pair
    tx = ann.transaction()
    opened = tx.__enter__()
    opened.write("x", "1")
    tx.__exit__(None, None, None)
    for use in (lambda: opened.read("x"), lambda: opened.write("x", "2")):
        with pytest.raises(BadArgument, match="not open"):
            use()
    assert ann.read("x").text == "1"


def test_at_most_64_artifacts(pair):
    ann, _ = pair
    names = [f"n{number}" for number in range(64)]
    with ann.transaction() as tx:
        for name in names:
            tx.write(name, name)
        tx.write("n0", "again")
        with pytest.raises(BadArgument, match="at most 64"):
            tx.write("one more", "1")
        with pytest.raises(BadArgument, match="at most 64"):
            tx.read("one more")
    assert len(tx.refs) == 64
    with ann.transaction(names) as tx:
        assert len(tx.reads) == 64
        tx.write("n1", "changed")
        with pytest.raises(BadArgument, match="at most 64"):
            tx.rename("n2", "one more")
    assert tx.refs == {"n1": Ref("n1", 2)}
    with pytest.raises(BadArgument, match="at most 64"):
        ann.transaction([*names, "one more"]).__enter__()
    assert len(ann.snapshot([*names, "one more"])) == 64


def test_the_sum_of_what_is_written_is_bounded(pair):
    ann, _ = pair
    with ann.transaction() as tx:
        tx.write("a", "x" * 100), tx.write("b", "x" * 100)
        with pytest.raises(ContentTooLarge, match="300 bytes in one transaction, the limit is 250"):
            tx.write("c", "x" * 100)
        with pytest.raises(ContentTooLarge):
            tx.write("c", "x" * 101)
        tx.write("b", "x" * 50), tx.write("c", "x" * 100)
    assert sorted(tx.refs) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda tx: tx.read("/x"), InvalidName),
        (lambda tx: tx.write("/x", ""), InvalidName),
        (lambda tx: tx.rename("x", "../y"), InvalidName),
        (lambda tx: tx.rename("x", "x"), BadArgument),
        (lambda tx: tx.write("x", 3), InvalidContent),
        (lambda tx: tx.write("x", chr(0xD800)), InvalidContent),
        (lambda tx: tx.write("x", "1", expect=-1), BadArgument),
        (lambda tx: tx.write("x", "1", expect=1, overwrite=True), BadArgument),
        (lambda tx: tx.write("x", "1", expect="y@1"), BadRef),
        (lambda tx: tx.write("x", "1", reason="two\nlines"), BadArgument),
        (lambda tx: tx.read("x", have="y@1"), BadRef),
        (lambda tx: tx.read("x", have=Ref("x", 1, "elsewhere")), ForeignRef),
        (lambda tx: tx.read("none"), UnknownArtifact),
        (lambda tx: (tx.read("x"), tx.write("x", "1", expect=0)), BadArgument),
        (lambda tx: (tx.read("none", missing=0), tx.delete("none")), UnknownArtifact),
        (lambda tx: (tx.read("none", missing=0), tx.rename("none", "z")), UnknownArtifact),
        (lambda tx: (tx.write("z", ""), tx.rename("z", "y")), BadArgument),
        (lambda tx: (tx.read("y"), tx.rename("x", "y")), BadArgument),
    ],
)
def test_bad_input_is_refused_and_the_block_goes_on(pair, use, error):
    ann, _ = pair
    ann.write("x", "x"), ann.write("y", "y")
    with ann.transaction() as tx:
        tx.write("out", "1")
        with pytest.raises(error):
            use(tx)
    assert "out" in tx.refs
    assert set(tx.refs) <= {"out", "z"}
    assert (ann.read("x").text, ann.read("y").text) == ("x", "y")


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda agent: agent.snapshot(), BadArgument),
        (lambda agent: agent.snapshot(["x"], prefix="x"), BadArgument),
        (lambda agent: agent.snapshot("plan"), BadArgument),
        (lambda agent: agent.snapshot(3), BadArgument),
        (lambda agent: agent.snapshot(prefix=3), BadArgument),
        (lambda agent: agent.snapshot(["/x"]), InvalidName),
        (lambda agent: agent.snapshot(["x"], have="x@1"), BadArgument),
        (lambda agent: agent.snapshot(["x"], have=["x"]), BadRef),
        (lambda agent: agent.snapshot(["x"], have=[Ref("x", 1, "elsewhere")]), ForeignRef),
        (lambda agent: agent.check("x"), BadRef),
        (lambda agent: agent.check(Ref("x", 1, "elsewhere")), ForeignRef),
        (lambda agent: agent.transaction(["/x"]).__enter__(), InvalidName),
        (lambda agent: agent.transaction("plan.md").__enter__(), BadArgument),
        (lambda agent: agent.transaction(wait_s=-1).__enter__(), BadArgument),
        (lambda agent: agent.transaction(reason="a\nb").__enter__(), BadArgument),
        (lambda agent: agent.transact(lambda tx: None, wait_s="long"), BadArgument),
        (lambda agent: agent.edit("x", reads=["x@1"]), BadArgument),
        (lambda agent: agent.edit("x", reads="y@1"), BadArgument),
        (lambda agent: agent.edit("x", reads=["y"]), BadRef),
        (lambda agent: agent.edit("x", reads=[Ref("y", 1, "elsewhere")]), ForeignRef),
    ],
)
def test_bad_input_of_an_agents_calls(pair, use, error):
    ann, _ = pair
    ann.write("x", "x")
    with pytest.raises(error):
        use(ann)
    assert str(ann.write("x", "as before")) == "x@2"


def test_a_second_write_of_a_name_replaces_the_first(pair):
    ann, bob = pair
    ann.write("x", "1")
    with bob.transaction() as tx:
        tx.write("x", "a", expect=1, reason="first")
        tx.write("x", "b", reason="second")
    assert [entry.reason for entry in ann.history("x")] == ["", "second"]
    with bob.transaction() as tx:
        tx.write("x", "c", overwrite=True)
        tx.delete("x", overwrite=True)
    assert tx.refs == {"x": Ref("x", 3)}
    assert ann.list() == []
    with bob.transaction() as tx:
        tx.write("x", "again"), tx.delete("x"), tx.write("x", "once more")
    assert bob.read("x").text == "once more"


def test_a_rename_to_a_name_that_was_taken_meanwhile_is_refused(pair):
    ann, bob = pair
    ann.write("x", "1")

    def late():
        with bob.transaction() as tx:
            tx.rename("x", "y")
            ann.write("y", "mine")

    with pytest.raises(Conflicts) as refused:
        late()
    assert list(refused.value.conflicts) == ["y"]
    assert ann.list() == ["x", "y"]


def test_an_agent_that_has_left(pair):
    ann, _ = pair
    tx = ann.transaction()
    opened = tx.__enter__()
    opened.write("x", "1")
    ann.leave()
    with pytest.raises(AgentLeft):
        tx.__exit__(None, None, None)
    with pytest.raises(AgentLeft):
        ann.snapshot(["x"])


def test_a_recorded_transaction_is_a_run_of_the_protocol(tmp_path, capsys):
    """A check is no step of the record; the commits are."""
    with Recorder(tmp_path) as recorder, Workspace(recorder=recorder) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("x", "1"), ann.write("y", "1")
        with bob.transaction(["x"]) as tx:
            tx.write("y", "2", overwrite=True), tx.write("z", "1")
        with pytest.raises(Conflicts), bob.transaction(["x"]) as tx:
            tx.write("y", "3", overwrite=True), ann.write("x", "2")
        bob.read("x")
    traces = [str(path) for path in sorted(tmp_path.glob("*.ndjson"))]
    assert main(["recorded", *traces]) == 0, capsys.readouterr().out
    assert not any("Check" in Path(trace).read_text() for trace in traces)


def test_many_threads_with_crossing_sets_all_get_through():
    """Read sets cross write sets in both orders: nobody waits for ever, nothing is lost."""
    with Workspace() as workspace:
        names = [f"n{number}" for number in range(4)]
        first = workspace.agent("first")
        for name in names:
            first.write(name, "0")

        def work(number):
            agent = workspace.agent(f"w{number}")
            mine = names[number:] + names[:number]

            def function(tx):
                values = [int(tx.read(name).text) for name in mine[:3]]
                tx.write(mine[0], str(values[0] + 1))
                tx.write(mine[2], str(values[2] + 1))

            for _ in range(10):
                done = False
                while not done:
                    try:
                        agent.transact(function)
                        done = True
                    except Conflicts:
                        continue

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert sum(int(first.read(name).text) for name in names) == 2 * 4 * 10
