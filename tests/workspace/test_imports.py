"""No call imports: an import that is cut off can leave a lock of Python's own taken for ever."""

import _imp
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coherence import Lazy, Workspace, tokens
from coherence.runtime import token_counts
from coherence.workspace.workspace import site_of

SCRIPT = Path(__file__).with_name("imports_of_calls.py")


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_tokenizer_alone_is_imported_and_in_a_thread_of_its_own(tmp_path, request, kind):
    if kind == "postgres":
        url = request.getfixturevalue("postgres").fresh()
    else:
        url = f"sqlite:///{tmp_path}/team.db"
    done = subprocess.run(
        [sys.executable, SCRIPT, url], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imports = [line.split() for line in done.stdout.splitlines()]
    assert [each for each in imports if each[0] != "coherence-tokenizer"] == []


def test_a_lock_of_imports_that_is_left_taken_delays_no_grant(monkeypatch):
    monkeypatch.setattr(token_counts, "LOAD_S", 0.05)
    monkeypatch.setattr(token_counts, "_installed", token_counts.Installed())
    with Workspace(policy=Lazy(grant_lease=600.0)) as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("doc", "one")
        bob.read("doc")
        _imp.acquire_lock()
        try:
            site_of(workspace).homes.accounts.begin()  # what was read is counted by the keeper
            edit = ann.edit("doc")
            edit.__enter__()
            del edit  # and then it gives the grant back
            with bob.edit("doc", wait_s=20.0) as draft:
                draft.text += "."
            assert workspace.stats().total.reads == 1
        finally:
            _imp.release_lock()


def test_no_tokenizer_is_imported_in_a_call(monkeypatch):
    found = []

    def find():
        found.append(threading.current_thread())
        return tokens.Estimate()

    monkeypatch.setattr(token_counts, "installed", find)
    monkeypatch.setattr(token_counts, "_installed", token_counts.Installed())
    with Workspace() as workspace, workspace.agent("ann") as ann:
        ann.write("doc", "one")
        ann.read("doc")
        workspace.stats()
    assert [thread.name for thread in found] == ["coherence-tokenizer"]
