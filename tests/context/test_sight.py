"""What a caller has seen, and what each part of a task has seen that runs beside others."""

import asyncio
import gc
import threading
import weakref
from contextvars import copy_context

import pytest

from coherence import Conflict, Workspace
from coherence.context.desk import Desk
from coherence.context.reader import Reader
from coherence.context.sight import Lines, Sights


@pytest.fixture
def workspace():
    with Workspace("memory://") as opened:
        yield opened


@pytest.fixture
def task(workspace):
    """A task that parts work for; another agent has written version 1 of k and j."""
    other = Reader(Desk(workspace, "other"))
    for name in ("k", "j"):
        other.put(name, b"{}", "raise")
    return Reader(Desk(workspace, "me"))


def put(task, content, name="k"):
    return task.put(name, content, "raise")


def current(workspace, name="k"):
    return workspace.row(name).row.state.version


# One caller


def test_a_caller_has_seen_what_it_was_shown_whole():
    sight = Sights(alone=True).part()
    assert sight.base("k") is None
    sight.shown("k", 3, Lines(1, 2, 4))
    assert (sight.base("k"), str(sight.windows("k"))) == (None, "lines 1 to 2 of 4")
    sight.shown("k", 3)
    assert (sight.base("k"), sight.windows("k")) == (3, None)
    sight.shown("k", 4, Lines(1, 2, 4))  # its whole text is still of 3
    assert sight.base("k") == 3
    sight.shown("k", 4, Lines(3, 4, 4))
    assert sight.base("k") == 4
    sight.wrote("k", 5)
    assert sight.base("k") == 5
    sight.shown("k", 0)
    assert sight.base("k") == 0


@pytest.mark.parametrize(
    ("windows", "is_whole"),
    [
        ([(1, 4)], True),
        ([(1, 2), (3, 4)], True),
        ([(3, 4), (1, 2)], True),
        ([(1, 1), (4, 4), (2, 3)], True),
        ([(0, 9)], True),
        ([(1, 2), (4, 4)], False),
        ([(2, 4)], False),
        ([(1, 3), (2, 3)], False),
        ([(4, 1)], False),
    ],
)
def test_windows_that_leave_no_line_out_are_the_whole(windows, is_whole):
    sight = Sights(alone=True).part()
    for first, last in windows:
        sight.shown("k", 1, Lines(first, last, 4))
    assert (sight.base("k") == 1) == is_whole


def test_windows_are_of_one_version():
    sight = Sights(alone=True).part()
    sight.shown("k", 1, Lines(1, 2, 4))
    sight.shown("k", 2, Lines(3, 4, 4))
    assert (sight.base("k"), str(sight.windows("k"))) == (None, "lines 3 to 4 of 4")
    sight.shown("k", 1, Lines(1, 2, 4))  # the windows of 2 are not kept
    sight.shown("k", 2, Lines(1, 2, 4))
    assert sight.base("k") is None


def test_an_edit_of_its_own_moves_a_caller_on_only_from_what_it_had_seen():
    sight = Sights(alone=True).part()
    sight.edited("k", 1, 2)
    assert sight.base("k") is None
    sight.shown("k", 1)
    sight.edited("k", 1, 2)
    assert sight.base("k") == 2
    sight.edited("k", 3, 4)  # somebody made 3
    assert sight.base("k") == 2
    sight.shown("j", 1, Lines(1, 2, 4))
    sight.edited("j", 1, 2)
    sight.shown("j", 2, Lines(3, 4, 4))  # the lines may have moved
    assert sight.base("j") is None


def test_what_is_forgotten_was_not_seen():
    sight = Sights(alone=True).part()
    for name in ("k", "j", "i"):
        sight.shown(name, 1)
    sight.forget("k")
    assert (sight.base("k"), sight.base("j")) == (None, 1)
    sight.forget()
    assert sight.base("i") is None
    sight.shown("i", 1)
    assert sight.base("i") == 1


# Parts that run at once


def test_of_two_coroutines_that_have_read_one_version_one_puts(task, workspace):
    async def part(number, met):
        task.get("k")
        await met.wait()
        put(task, b"%d" % number)

    async def main():
        return await asyncio.gather(*(part(n, met) for n in range(2)), return_exceptions=True)

    met = asyncio.Barrier(2)
    first, second = sorted(asyncio.run(main()), key=lambda end: end is not None)
    assert first is None
    assert isinstance(second, Conflict)
    assert current(workspace) == 2


def test_of_two_threads_that_have_read_one_version_one_puts(task, workspace):
    met, refused = threading.Barrier(2), []

    def part(number):
        task.get("k")
        met.wait(30)
        try:
            put(task, b"%d" % number)
        except Conflict:
            refused.append(number)

    in_threads(*((part, n) for n in range(2)))
    assert len(refused) == 1
    assert current(workspace) == 2


def in_threads(*calls, with_context=True):
    """Runs each in a thread of its own, in a copy of this context, and waits for all of them."""
    threads = []
    for call, *given in calls:
        run = copy_context().run if with_context else lambda call, *given: call(*given)
        threads.append(threading.Thread(target=run, args=(call, *given)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_parts_that_put_what_their_creator_read_are_told_apart(task):
    task.get("k")
    refused = []

    def saves(content):
        try:
            put(task, content)
        except Conflict:
            refused.append(content)

    in_threads((saves, b"1"))
    assert refused == []
    task.get("k")

    async def main():
        saving = [asyncio.create_task(asyncio.to_thread(saves, b"%d" % n)) for n in (2, 3)]
        await asyncio.wait(saving)

    asyncio.run(main())
    assert len(refused) == 1


def test_a_part_begins_with_what_its_creator_had_seen_when_it_was_created(task):
    """However late the part comes to its first call."""

    async def late():
        await go.wait()
        put(task, b"from version 1")

    async def main():
        nonlocal go
        go = asyncio.Event()
        task.get("k")
        waiting = [asyncio.create_task(late())]
        for number in range(10):  # more than is kept of what was seen before
            put(task, b"%d" % number)
            waiting.append(asyncio.create_task(late()))
        go.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    go = None
    assert [type(end) for end in asyncio.run(main())] == [Conflict] * 10 + [type(None)]


def test_a_put_over_what_a_part_of_its_own_has_written_meanwhile_is_refused(task):
    async def edits():
        task.get("k")
        put(task, b"theirs")

    async def main():
        task.get("k")
        await asyncio.gather(edits())
        with pytest.raises(Conflict):
            put(task, b"derived from version 1")
        task.get("k")
        put(task, b"both")

    asyncio.run(main())


# Parts that have ended


def test_what_parts_have_read_their_creator_has(task, workspace):
    other = Reader(Desk(workspace, "other"))

    async def loads(name):
        return task.get(name)

    async def main():
        await asyncio.gather(loads("k"), loads("j"))
        put(task, b"1")
        put(task, b"2")
        await asyncio.gather(loads("j"))
        other.put("j", b"theirs", "overwrite")
        with pytest.raises(Conflict):
            put(task, b"mine", "j")
        with pytest.raises(Conflict):
            put(task, b"mine", "j")
        await asyncio.gather(loads("j"))
        put(task, b"both", "j")

    asyncio.run(main())
    assert (current(workspace), current(workspace, "j")) == (3, 3)


def test_of_what_parts_have_read_at_once_the_oldest_counts(task, workspace):
    async def loads(met):
        task.get("k")
        await met.wait()

    async def edits(met):
        task.get("k")
        put(task, b"edited")
        await met.wait()

    async def main():
        task.get("j")  # the parts have a creator, and it has not read k
        met = asyncio.Barrier(2)
        await asyncio.gather(loads(met), edits(met))
        with pytest.raises(Conflict):
            put(task, b"from what was loaded")

    asyncio.run(main())
    assert current(workspace) == 2


def test_parts_that_put_what_other_parts_read_for_their_creator_are_told_apart(task, workspace):
    """Their creator's context says nothing of what was read for it."""

    async def loads():
        task.get("k")

    async def saves(content):
        put(task, content)

    async def main():
        task.get("j")
        await asyncio.gather(loads())
        ends = await asyncio.gather(saves(b"1"), saves(b"2"), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), Conflict]

    asyncio.run(main())
    assert current(workspace) == 2


def test_a_part_that_only_saves_saves_for_its_creator(task, workspace):
    async def saves(content):
        put(task, content)

    async def main():
        task.get("k")
        await asyncio.create_task(saves(b"1"))
        put(task, b"2")
        await asyncio.create_task(saves(b"3"))
        # The next may have been created before that: it cannot be told.
        with pytest.raises(Conflict):
            await asyncio.create_task(saves(b"4"))
        task.get("k")
        await asyncio.create_task(saves(b"4"))

    asyncio.run(main())
    assert current(workspace) == 5


def test_a_thread_that_reads_for_its_creator_and_stays(task, workspace):
    """Of a pool: nobody knows when such a part has ended."""
    other = Reader(Desk(workspace, "other"))

    async def main():
        await asyncio.to_thread(task.get, "k")
        put(task, b"1")
        other.put("k", b"theirs", "overwrite")
        await asyncio.to_thread(task.get, "k")
        with pytest.raises(Conflict):  # its own version may be what this derives from
            put(task, b"2")
        await asyncio.to_thread(task.get, "k")
        put(task, b"2")

    asyncio.run(main())
    assert current(workspace) == 4


def test_what_runs_within_one_thread_is_one_part(task, workspace):
    """Tools that a node calls run in copies of its context, one after the other."""
    copy_context().run(task.get, "k")
    put(task, b"1")
    copy_context().run(put, task, b"2")
    put(task, b"3")
    assert current(workspace) == 4


def test_a_part_whose_creator_has_ended_belongs_to_who_is_left(task, workspace):
    async def grandchild():
        await go.wait()
        task.get("k")

    async def child():
        task.get("j")
        return asyncio.create_task(grandchild())

    async def main():
        nonlocal go
        go = asyncio.Event()
        task.get("j")
        below = await asyncio.create_task(child())
        put(task, b"1", "j")  # the child's past is ours
        go.set()
        await below
        Reader(Desk(workspace, "other")).put("k", b"theirs", "overwrite")
        with pytest.raises(Conflict):
            put(task, b"from what the grandchild read")

    go = None
    asyncio.run(main())


@pytest.mark.slow
def test_parts_that_have_ended_are_dropped(task):
    async def part():
        task.get("k")
        put(task, b"1")

    async def main():
        for _ in range(50):
            ended.append(weakref.ref(asyncio.create_task(part())))
            await asyncio.wait([ended[-1]()])

    ended = []
    asyncio.run(main())
    for _ in range(50):
        in_threads((task.get, "k"))
    put(task, b"2")
    gc.collect()
    assert len(task.sights._parts) <= 2
    assert [each for each in ended if each() is not None] == []
