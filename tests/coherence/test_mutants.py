"""Every cell matters: whatever is changed in it, somebody notices."""

from itertools import islice

import cells
import mutation
import pytest

from specs.mutants import Mutant, mutants

STATES = [(name, str(state)) for name, table in cells.TABLES.items() for state in table.states]


@pytest.fixture(scope="module")
def judges():
    return mutation.Judges(runs=6, tries=12)


def sampled():
    """Each 97th mutant: all kinds, both tables."""
    for name in cells.TABLES:
        yield from islice(mutants(name), 0, None, 97)


@pytest.mark.slow
def test_sampled_mutants_are_caught(judges):
    caught = {str(mutant): judges.verdict(mutant)[0] for mutant in sampled()}
    assert [name for name, judge in caught.items() if judge == "none"] == []
    # Row tests would catch anything: what the invariants see alone is the figure that counts.
    alone = sum(judge == "simulation" for judge in caught.values())
    assert alone / len(caught) > 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "state"), STATES)
def test_every_mutant_is_caught(name, state, judges):
    found = [mutant for mutant in mutants(name) if mutant.cell[1] == state]
    assert [str(m) for m in found if judges.verdict(m)[0] == "none"] == []


@pytest.mark.slow
def test_a_mutant_that_is_none_is_not_caught(judges):
    """The judges do not cry wolf: the table itself passes."""
    for (at, on), row in islice(cells.HOME.cells.items(), 0, None, 9):
        assert judges.verdict(Mutant(("home", at, on), "same", row))[0] == "none"
