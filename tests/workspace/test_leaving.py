"""Several threads may end one agent: by its own leave, and by the close of its workspace."""

import threading
from unittest.mock import Mock

import pytest

from coherence import Workspace
from coherence.runtime import session
from coherence.stores.memory import MemoryStore

CALLS = ["tally", "transaction", "leave"]


def begin(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def halt(store, monkeypatch):
    """Makes an agent leave in a thread that halts at its first call of one name to the store.

    Gives its workspace, the thread, and what lets the thread go on.
    """

    def leave_to(call):
        workspace = Workspace(store)
        ann = workspace.agent("ann")
        ann.write("plan.md", "one")
        plain, halted, go = getattr(store, call), threading.Event(), threading.Event()

        def halting(*given, **named):
            monkeypatch.setattr(store, call, plain)
            halted.set()
            assert go.wait(30)
            return plain(*given, **named)

        monkeypatch.setattr(store, call, halting)
        thread = begin(ann.leave)
        assert halted.wait(30)
        return workspace, thread, go.set

    return leave_to


@pytest.mark.parametrize("call", CALLS)
def test_a_workspace_closes_once_an_agent_has_left_that_was_leaving(
    halt, store, call, caplog, monkeypatch
):
    monkeypatch.setattr(session, "CLOSE_S", 3600.0)
    leave = Mock(wraps=store.leave)
    monkeypatch.setattr(store, "leave", leave)
    workspace, leaving, go_on = halt(call)
    closed = threading.Event()
    monkeypatch.setattr(store, "close", lambda: closed.set() or MemoryStore.close(store))
    closing = begin(workspace.close)
    assert not closed.wait(0.05), "the store is closed under a leave"
    go_on()
    for thread in (leaving, closing):
        thread.join(30)
        assert not thread.is_alive()
    assert closed.is_set()
    assert [agent for (agent, _), _ in leave.call_args_list] == ["ann"]
    assert caplog.text == ""


@pytest.mark.parametrize("call", CALLS)
def test_a_leave_that_hangs_delays_a_close_for_a_while(halt, call, caplog, monkeypatch):
    monkeypatch.setattr(session, "CLOSE_S", 0.0)
    workspace, leaving, go_on = halt(call)
    workspace.close()
    go_on()
    leaving.join(30)
    assert not leaving.is_alive()
    assert "leave message" not in caplog.text, "the other thread has sent it"
