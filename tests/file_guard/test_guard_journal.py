"""The journal of a root, as hooks of several processes open it."""

import sqlite3
from contextlib import closing

import pytest

from file_guard import journal
from file_guard.journal import HOME, Journal


def busy():
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


class Contended(sqlite3.Connection):
    """Another process switches the same new file to the write-ahead log at the same time."""

    refusals = 0

    def execute(self, statement, *values):
        if "journal_mode" in statement and Contended.refusals:
            Contended.refusals -= 1
            raise busy()
        return super().execute(statement, *values)


@pytest.fixture
def contended(monkeypatch):
    plain = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *where, **more: plain(*where, **more, factory=Contended)
    )
    yield Contended
    Contended.refusals = 0


def test_two_may_make_a_journal_at_once(contended, tmp_path):
    contended.refusals = 3
    with Journal(str(tmp_path)) as made:
        made.keep("plan.md", b"text", "ann")
    assert contended.refusals == 0
    with closing(sqlite3.connect(tmp_path / HOME / "guard.db")) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)


def test_the_wait_for_others_is_bounded(contended, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "WAIT_S", 0.0)
    contended.refusals = 1_000_000
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Journal(str(tmp_path))
