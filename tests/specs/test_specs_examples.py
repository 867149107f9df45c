"""The models of the field: counts and verdicts are TLC's, and a mistake in each is caught.

`test_specs_manifest` runs every case by every engine; here is what the cases of `specs.examples`
have beside the others.
"""

import ast
import tokenize
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from specs import catalogue
from specs.checker import Verdict, check, refines
from specs.examples.memory import memory
from specs.examples.two_phase import two_phase
from specs.examples.write_through_cache import write_through_cache
from specs.models.twophase import twophase

NAMES = [name for name in catalogue.names() if catalogue.original(name)]
CASES = [case for name in NAMES for case in catalogue.cases(name)]
FOLDER = Path(find_spec("specs.examples").origin).parent
LINES_MAX = {"paxos": 150, "raft": 150}


def make(case):
    return catalogue.factory(case.name)(**case.constants)


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_case_of_tlc_and_a_mistake_that_is_caught(name):
    cases = list(catalogue.cases(name))
    assert any(case.tlc and case.bounds and case.expect is Verdict.HOLDS for case in cases)
    assert any(case.expect is Verdict.VIOLATED and case.violates for case in cases)


@pytest.mark.parametrize("case", [case for case in CASES if case.tlc], ids=str)
def test_the_pinned_counts_are_those_of_tlc(case):
    # TLC counts the initial states among the generated ones, and depth in states.
    ours = [case.distinct, case.generated + len(make(case).initial), case.depth + 1]
    assert ours == case.tlc


def test_twelve_of_them():
    assert len(NAMES) >= 12


def code_lines(path):
    """The lines of a module with code on them: no docstring, comment, blank line or import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    without = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for line in range(node.lineno, node.end_lineno + 1)
    }
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    with path.open("rb") as file:
        tokens = [t for t in tokenize.tokenize(file.readline) if t.type not in blank and t.string]
    code = {line for t in tokens[1:] for line in range(t.start[0], t.end[0] + 1)}
    return len(code - without)


@pytest.mark.parametrize(
    "path", sorted(Path(find_spec("specs.examples").origin).parent.glob("*.py"))
)
def test_each_is_short(path):
    assert code_lines(path) <= LINES_MAX.get(path.stem, 60)


@pytest.mark.parametrize("rms", [2, 3, 4])
def test_two_phase_commit_is_one_graph_in_two_forms(rms):
    ours, processes = check(two_phase(rms)), check(twophase(rms))
    counts = [(r.distinct, r.generated, r.depth, r.verdict) for r in (ours, processes)]
    assert counts[0] == counts[1]
    assert ours.actions == processes.actions


def test_a_mapping_that_forgets_the_queue_is_no_refinement():
    model = write_through_cache()

    def forgetful(s):
        stage = tuple("busy" if each == "waiting" else each for each in s.stage)
        return type(memory().initial[0])(s.interface, s.contents, stage, s.buffer)

    claim = refines("memory", memory(), forgetful)
    result = check(replace(model, properties=[claim]))
    assert result.finding("memory").verdict is Verdict.VIOLATED
    # A write is done at the cache, and the memory has not changed.
    assert [action.name for action in result.counterexample.actions] == ["Req", "DoWr"]


def test_raft_can_elect_and_commit():
    result = check(catalogue.factory("raft")())
    path = result.finding("an entry is committed").path
    names = {action.name for action in path.actions}
    assert {"BecomeLeader", "ClientRequest", "AdvanceCommitIndex"} <= names
