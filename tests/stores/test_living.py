"""Whether a process lives: by the process table, and by the lock that ends with it."""

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from coherence.stores import life_lock, living
from coherence.stores.life_lock import LifeLock
from coherence.stores.living import has_ended, here, is_absent, pack_life, unpack_life
from coherence.stores.port import Life

linux = pytest.mark.skipif(sys.platform != "linux", reason="no process table, no such locks")


@pytest.fixture
def child():
    """A process, and where it lives."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    _, started = living._stat(process.pid)
    yield process, replace(here(), pid=process.pid, started=started)
    process.kill()
    process.communicate()


# The process table.


def test_a_process_that_runs_has_not_ended(child):
    assert has_ended(here()) is False
    assert has_ended(child[1]) is False
    assert not is_absent(child[1])


def test_a_process_that_was_collected_has_ended(child):
    process, life = child
    process.kill()
    process.wait()
    assert has_ended(life) is True
    assert is_absent(life)


@linux
def test_a_zombie_has_ended(child):
    process, life = child
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(life) is True
    assert not is_absent(life), "its number is taken still"


@linux
def test_a_process_that_is_stopped_has_not_ended(child):
    process, life = child
    process.send_signal(19)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert has_ended(life) is False


@linux
def test_a_number_that_was_given_out_again_is_another_process(child):
    _, life = child
    assert has_ended(replace(life, started=life.started - 1)) is True


@pytest.mark.parametrize(
    "other", [{"host": "another boot"}, {"host": ""}, {"space": "another table"}, {"pid": 0}]
)
def test_of_another_table_nothing_is_known(child, other):
    process, life = child
    process.kill()
    process.wait()
    assert has_ended(replace(life, **other)) is None
    assert not is_absent(replace(life, **other))


def test_where_a_process_lives_is_kept_as_text():
    life = here("a lock")
    assert unpack_life(pack_life(life)) == life
    for damaged in ("", "[", "{}", '["host",3]', '"text"'):
        assert unpack_life(damaged) == Life()


# The lock.


@pytest.fixture
def path(tmp_path):
    return tmp_path / "team.db-live"


@pytest.fixture
def asker(path):
    """One that holds a lock of its own, and asks for others'."""
    asker = LifeLock(path, 7)
    assert asker.take()
    yield asker
    asker.close()


@linux
def test_a_lock_is_seen_until_it_is_closed(path, asker):
    lock = LifeLock(path, (1 << 62) + 5)
    file = lock.take()
    assert file
    assert asker.is_free((1 << 62) + 5, file) is False
    assert asker.is_free((1 << 62) + 4, file) is True, "each has a byte of its own"
    assert lock.take() == file
    lock.close()
    assert asker.is_free((1 << 62) + 5, file) is True
    assert path.stat().st_size == 0


@linux
def test_one_that_holds_nothing_can_ask(path, asker):
    looker = LifeLock(path, 0)
    assert looker.is_free(7, _name(path)) is False
    assert looker.is_free(8, _name(path)) is True
    looker.close()


@linux
def test_no_other_descriptor_takes_it_away(path, asker):
    """A copy of the folder or a search in it opens every file, and closes it."""
    lock = LifeLock(path, 5)
    lock.take()
    path.read_bytes()
    with path.open("rb+"):
        pass
    other = LifeLock(path, 6)
    other.take()
    other.close()
    assert asker.is_free(5, _name(path)) is False
    lock.close()


@linux
def test_one_that_is_collected_has_no_lock(path, asker):
    lock = LifeLock(path, 5)
    lock.take()
    del lock
    assert asker.is_free(5, _name(path)) is True


HOLDER = """
import os, sys
from pathlib import Path
from coherence.stores.life_lock import LifeLock
lock = LifeLock(Path(sys.argv[1]), 5)
lock.take()
mine = LifeLock(Path(sys.argv[1]), 0)
if os.fork() == 0:
    mine = LifeLock(Path(sys.argv[1]), 6)
    mine.take()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


@linux
def test_a_forked_child_keeps_no_lock_and_takes_its_own(path, asker):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], text=True, **pipes)
    assert parent.stdout.readline() == "ready\n"
    assert asker.is_free(5, _name(path)) is False
    parent.kill()
    parent.wait()
    assert asker.is_free(5, _name(path)) is True, "the child holds its parent's"
    assert asker.is_free(6, _name(path)) is False
    parent.communicate()


@linux
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_is_another_one_says_nothing(path, asker, replaced):
    lock = LifeLock(path, 5)
    before = lock.take()
    path.unlink()
    if replaced:
        path.touch()
    assert lock.lost
    assert asker.is_free(5, before) is None
    if replaced:
        assert asker.is_free(5, _name(path)) is None, "ours is in the old one: who else's is?"
    after = lock.take()
    assert after != before
    assert not lock.lost
    assert asker.take() == after
    assert asker.is_free(5, after) is False
    lock.close()


@linux
def test_where_no_lock_can_be_had_nothing_is_known(tmp_path, path, asker, monkeypatch):
    nowhere = LifeLock(tmp_path / "missing" / "file", 5)
    assert nowhere.take() == ""
    assert nowhere.is_free(7, _name(path)) is None
    assert asker.is_free(5, "") is None
    monkeypatch.setattr(life_lock, "OFD", False)
    lock = LifeLock(path, 5)
    assert lock.take() == ""
    assert asker.is_free(7, _name(path)) is None
    lock.close()


def _name(path):
    return life_lock._named(path.stat())
