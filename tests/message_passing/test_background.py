"""A worker has one thread while it is needed, and a new one when it is needed again."""

from __future__ import annotations

import threading

import pytest

from message_passing import background
from message_passing.background import Threads, Worker
from message_passing.interrupts import Knock

PATIENCE_S = 60.0


class Counting(Worker):
    """Takes items; pauses after each piece of work until it may go on."""

    name = "counting"

    def __init__(self, threads: Threads) -> None:
        self.items: list[int] = []
        self.done: list[int] = []
        self.by: list[threading.Thread] = []
        self.paused, self.go_on = Knock(), Knock()
        self.threads = threads

    @property
    def is_needed(self) -> bool:
        return bool(self.items)

    def put(self, item: int) -> None:
        self.items.append(item)
        self.threads.need(self)

    def work(self) -> None:
        self.by.append(threading.current_thread())
        self.done.append(self.items.pop(0))
        self.paused()
        assert self.go_on.wait(PATIENCE_S)


def ended(worker: Counting) -> None:
    thread = worker.by[-1]
    worker.go_on()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert not worker.threads.is_running(worker)


def test_one_thread_does_all_that_comes_while_it_is_there() -> None:
    worker = Counting(Threads())
    for item in (1, 2, 3):
        worker.put(item)
    for _ in range(2):
        assert worker.paused.wait(PATIENCE_S)
        assert worker.threads.is_running(worker)
        worker.go_on()
    assert worker.paused.wait(PATIENCE_S)
    ended(worker)
    assert (worker.done, len(set(worker.by))) == ([1, 2, 3], 1)
    assert all(thread.daemon and thread.name == "counting" for thread in worker.by)


def test_work_that_comes_when_none_is_left_has_another_thread() -> None:
    worker = Counting(Threads())
    worker.put(1)
    assert worker.paused.wait(PATIENCE_S)
    ended(worker)
    worker.put(2)
    assert worker.paused.wait(PATIENCE_S)
    ended(worker)
    assert worker.done == [1, 2]


def test_a_start_that_was_cut_off_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that was started and not noted leaves the work to the one that is."""
    worker = Counting(Threads())
    begun: list[threading.Thread] = []
    start = background.start

    def cut_off(thread: threading.Thread) -> None:
        start(thread)
        begun.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(background, "start", cut_off)
        with pytest.raises(KeyboardInterrupt):
            worker.put(1)
    while begun[0].ident is None:  # `start` returns a moment before the thread is there
        threading.Event().wait(0.001)
    begun[0].join(PATIENCE_S)
    assert (begun[0].is_alive(), worker.done) == (False, [])
    worker.threads.need(worker)
    assert worker.paused.wait(PATIENCE_S)
    ended(worker)
    assert worker.done == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_the_work_ends_the_thread_and_not_the_worker() -> None:
    failed = Knock()

    class Failing(Counting):
        def work(self) -> None:
            self.items.pop(0)
            self.by.append(threading.current_thread())
            failed()
            raise ValueError

    worker = Failing(Threads())
    worker.put(1)
    assert failed.wait(PATIENCE_S)
    worker.by[-1].join(PATIENCE_S)
    assert not worker.threads.is_running(worker)
    worker.put(2)
    assert failed.wait(PATIENCE_S)
    worker.by[-1].join(PATIENCE_S)


def test_a_process_that_ends_starts_no_thread_and_raises_nothing(monkeypatch):
    """Python 3.12 and later refuses a thread as soon as the interpreter shuts down."""

    def refused(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    worker = Counting(Threads())
    monkeypatch.setattr(background, "start", refused)
    worker.put(1)
    assert not worker.threads.is_running(worker)


def test_a_thread_that_cannot_start_is_told(monkeypatch):
    def refused(thread):
        raise RuntimeError("can't start new thread")

    worker = Counting(Threads())
    monkeypatch.setattr(background, "start", refused)
    with pytest.raises(RuntimeError, match="can't start"):
        worker.put(1)
    assert not worker.threads.is_running(worker)
