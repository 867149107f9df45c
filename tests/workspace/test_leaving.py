"""Several threads may end one agent: by its own leave, and by the close of its workspace."""

import threading

import pytest

from coherence import Workspace
from coherence.runtime import session
from coherence.stores.memory import MemoryStore

CALLS = ["tally", "transaction", "leave"]


class Halting(MemoryStore):
    """Halts the first of its calls of one name, from `halt` on, until `go`."""

    def __init__(self):
        super().__init__()
        self.halts, self.halted, self.go = "", threading.Event(), threading.Event()
        self.left = []

    def _halt(self, name):
        if self.halts == name:
            self.halts = ""
            self.halted.set()
            assert self.go.wait(30)

    def tally(self, rows):
        self._halt("tally")
        super().tally(rows)

    def transaction(self, *, publishes):
        self._halt("transaction")
        return super().transaction(publishes=publishes)

    def leave(self, agent, number):
        self.left.append(agent)
        self._halt("leave")
        super().leave(agent, number)


@pytest.fixture
def store():
    return Halting()


def begin(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def leaving(store):
    """A workspace, and a thread that makes an agent leave and has halted in a call to the store."""

    def leave_to(call):
        workspace = Workspace(store)
        ann = workspace.agent("ann")
        ann.write("plan.md", "one")
        store.halts = call
        thread = begin(ann.leave)
        assert store.halted.wait(30)
        return workspace, thread

    return leave_to


@pytest.mark.parametrize("call", CALLS)
def test_a_workspace_closes_once_an_agent_has_left_that_was_leaving(
    leaving, store, call, caplog, monkeypatch
):
    monkeypatch.setattr(session, "CLOSE_S", 3600.0)
    workspace, left = leaving(call)
    closed = threading.Event()
    monkeypatch.setattr(store, "close", lambda: closed.set() or MemoryStore.close(store))
    closing = begin(workspace.close)
    assert not closed.wait(0.05), "the store is closed under a leave"
    store.go.set()
    for thread in (left, closing):
        thread.join(30)
        assert not thread.is_alive()
    assert closed.is_set()
    assert store.left == ["ann"]
    assert caplog.text == ""


@pytest.mark.parametrize("call", CALLS)
def test_a_leave_that_hangs_delays_a_close_for_a_while(leaving, store, call, caplog, monkeypatch):
    monkeypatch.setattr(session, "CLOSE_S", 0.0)
    workspace, left = leaving(call)
    workspace.close()
    store.go.set()
    left.join(30)
    assert not left.is_alive()
    assert "leave message" not in caplog.text, "the other thread has sent it"
