import threading

import pytest

from coherence import Workspace
from coherence.context import following
from coherence.context.following import Changed, Following
from coherence.errors import StoreFault, WorkspaceClosed


@pytest.fixture
def workspace(tmp_path):
    with Workspace(f"sqlite:///{tmp_path}/team.db") as opened:
        yield opened


def test_versions_of_any_process_are_heard(workspace, tmp_path):
    there = Following(workspace)
    with Workspace(f"sqlite:///{tmp_path}/team.db") as other, other.agent("b") as b:
        b.write("plan.md", "one")
        b.write("plan.md", "two")
        b.delete("plan.md")
        b.write("plan.md", "three")
    heard = [there.next() for _ in range(4)]
    assert heard == [
        Changed({"plan.md": 1}, True),
        Changed({"plan.md": 2}, False),
        Changed({"plan.md": 3}, True),
        Changed({"plan.md": 4}, True),
    ]
    there.close()
    assert there.next() is None


def test_its_end_wakes_the_thread_that_waits(workspace):
    there = Following(workspace)
    found = []
    thread = threading.Thread(target=lambda: found.append(there.next()))
    thread.start()
    there.close()
    thread.join()
    assert found == [None]


def test_after_a_fault_everything_counts_as_changed(workspace, monkeypatch):
    monkeypatch.setattr(following, "RETRY_S", 0.0)
    a = workspace.agent("a")
    a.write("x", "1")
    a.write("y", "1")
    a.delete("y")
    there = Following(workspace)
    faults = [StoreFault("it is gone")] * 3

    class Failing:
        def __init__(self, watch):
            self.watch = watch

        def __next__(self):
            if faults:
                raise faults.pop()
            return next(self.watch)

        def close(self):
            self.watch.close()

    plain = workspace.watch
    monkeypatch.setattr(workspace, "watch", lambda: Failing(plain()))
    there._watch = Failing(there._watch)
    assert there.next() == Changed({"x": 1, "y": 2}, True)
    there.close()


def test_a_closed_workspace_cannot_be_followed(workspace):
    workspace.close()
    with pytest.raises(WorkspaceClosed):
        Following(workspace)


def test_it_ends_with_its_workspace(workspace):
    there = Following(workspace)
    workspace.close()
    assert there.next() is None
