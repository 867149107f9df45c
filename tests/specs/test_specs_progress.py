"""Progress of long commands: on a terminal only, one line, erased before results."""

import os
import subprocess
import sys
import termios

import pytest

CASES = """
from specs import catalogue, proofs
from specs.checker import Verdict

cases = [*catalogue.cases("peterson"), catalogue.Case("ping", {}, Verdict.HOLDS, distinct=12)]
catalogue.cases = lambda name=None: iter(cases)
proofs.runs = lambda: ()
"""
ERASE = "\r\x1b[K"


@pytest.fixture
def on_a_terminal(tmp_path):
    """The standard output of a command, and what its standard error shows on a terminal."""
    (tmp_path / "cases.py").write_text(CASES)

    def run(*arguments):
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 40))
        done = subprocess.run(
            [sys.executable, "-m", "specs", *arguments, "--import", "cases"],
            cwd=tmp_path,
            env={**os.environ, "TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            check=False,
        )
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        return done, shown.decode()

    return run


@pytest.mark.parametrize("command", [["check", "all"], ["prove"]])
def test_a_line_of_progress_is_erased(on_a_terminal, command):
    done, shown = on_a_terminal(*command)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    lines = shown.split(ERASE)
    assert lines[:3] == ["", "1/3 peterson()", ""]
    assert lines[3] == "2/3 peterson(rude=True)"
    assert lines[-1] == ""
    assert all(len(line) < 40 for line in lines)


def test_nothing_is_shown_in_a_file(on_a_terminal, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "specs", "check", "all", "--import", "cases"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
