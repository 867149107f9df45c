"""An exception of a signal handler in a call of an event loop stops no other thread."""

import threading

from interrupting import Moments

from coherence import Workspace
from coherence.context.desk import Desk
from coherence.context.reader import Reader
from message_passing.interrupts import tried


def is_free(lock):
    """Whether another thread can take it."""
    found = []

    thread = threading.Thread(target=tried, args=(lock, found.append, 1))
    thread.start()
    thread.join()
    return found == [1]


def test_a_read_that_was_cut_off_at_any_moment_leaves_the_desk_free():
    with Workspace() as workspace:
        workspace.agent("ann").write("plan.md", "one")
        reader = Reader(Desk(workspace, "bob"))
        reader.get("plan.md")
        at, was_cut = 0, True
        while was_cut:
            at += 1
            moments = Moments(at)
            was_cut = moments(lambda: reader.at_once("plan.md"))
            assert is_free(reader.desk.busy), moments.where
        assert at > 10
        assert reader.at_once("plan.md").text == "one"


def test_a_lock_that_is_tried_is_free_after_the_call_only():
    lock = threading.RLock()

    def within():
        assert not is_free(lock)
        assert tried(lock, lambda: "again") == "again"
        assert not is_free(lock)
        return "done"

    assert tried(lock, within) == "done"
    assert is_free(lock)
