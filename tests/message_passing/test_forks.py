"""Forked children tell the owners of shared resources where they are."""

from __future__ import annotations

import gc
import os
from weakref import ref

import pytest

from message_passing import forks

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Owner:
    """Something that belongs to one process."""

    def __init__(self):
        self.calls = 0
        forks.in_children(self.disown)

    def disown(self):
        self.calls += 1


def in_child(check):
    """The exit code of a child: 0 if `check` is true there."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_calls_each_owner_once_and_the_parent_none():
    owners = Owner(), Owner()
    assert in_child(lambda: [owner.calls for owner in owners] == [1, 1]) == 0
    assert [owner.calls for owner in owners] == [0, 0]


def test_a_grandchild_calls_them_again():
    owner = Owner()
    assert in_child(lambda: in_child(lambda: owner.calls == 2) == 0) == 0


def test_an_owner_that_is_collected_is_forgotten():
    owner = Owner()
    kept = ref(owner)
    assert kept() in forks._OWNERS
    del owner
    gc.collect()
    assert kept() is None, "the registry keeps it"


def test_the_parent_counts_its_forks():
    before = forks.count()
    assert in_child(lambda: forks.count() == before) == 0
    assert forks.count() == before + 1
