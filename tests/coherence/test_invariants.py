"""Each invariant catches a table that is broken in just the way that it is about."""

import pytest
from fuzzing import CASES, Run

from coherence.cache import CACHE, answered, committed, loaded, take
from coherence.directory import HOME, add, announce, commit, data_s, grant, grant_next
from coherence.invariants import NAMES
from coherence.oracle import InvariantBroken
from coherence.table import Op, Row

SEEDS = 40


def _label(x):
    x.version = x.msg.version


def _unacked(x):
    x.unacked = ()


def _last_first(x):
    x.queue = x.queue[::-1]


relabel = Op("version := Data's", _label)
forget_acks = Op("await nobody", _unacked)
last_first = Op("turn the queue round", _last_first)


def row(at, on, do, to):
    return Row(at, on, do, to, "Broken", "a test")


#: invariant -> (what is wrong, the case that shows it, the broken cells).
BROKEN = {
    "swmr": ("a second grant", "lazy", [(HOME, row("M", "GetM", (grant,), "M"))]),
    "fencing": (
        "a commit under a grant that has ended",
        "lazy leased",
        [(HOME, row(at, "PutM/fenced", (commit, announce), "S_A")) for at in ("S", "E")],
    ),
    "fairness": (
        "the last comes first",
        "lazy leased",
        [(HOME, row("S", "Queued", (last_first, grant_next), "M"))],
    ),
    "version_order": (
        "a version is skipped",
        "lazy",
        [(HOME, row("S", "PutM", (commit, commit, announce), "S_A"))],
    ),
    "no_lost_update": (
        "a stale write goes through",
        "lazy",
        [(HOME, row("S", "PutM/stale", (commit, announce), "S_A"))],
    ),
    "data_value": (
        "old content under a new version",
        "lazy",
        [(CACHE, row("IS_D", "Data/S", (answered, relabel, loaded), "S"))],
    ),
    "bounded_staleness": (
        "the answer is not taken",
        "lazy",
        [(CACHE, row("IS_D", "Data/S", (answered, loaded), "S"))],
    ),
    "strict_visibility": (
        "a commit returns before it is acknowledged",
        "strict",
        [(HOME, row("S", "PutM", (commit, announce, forget_acks), "S_A"))],
    ),
    "monotone_reads": (
        "a writer keeps what it wrote over",
        "lazy wild",
        [(CACHE, row("MS_A", f"PutAck/{at}", (answered, committed), at)) for at in ("S", "E")],
    ),
    "well_formed": (
        "an owner remains where no grant lives",
        "lazy",
        [(HOME, row("M", "PutE/owner", (), "S"))],
    ),
    "directory_agrees": (
        "a reader is not listed",
        "lazy",
        [(HOME, row("S", "GetS", (data_s,), "S"))],
    ),
}


def test_every_invariant_has_its_broken_table():
    assert sorted(BROKEN) == sorted((*NAMES, "well_formed", "directory_agrees"))


@pytest.mark.parametrize("name", BROKEN)
def test_the_invariant_catches_its_broken_table(name):
    _, case, broken = BROKEN[name]
    tables = {}
    for table, cell in broken:
        assert (cell.at, cell.on) in table.cells
        tables[table.name] = tables.get(table.name, table).changed(cell.at, cell.on, cell)
    caught = set()
    for seed in range(SEEDS):
        try:
            Run(CASES[case], seed, tables)()
        except InvariantBroken as error:
            caught.add(error.name)
        except Exception as error:
            caught.add(type(error).__name__)
        if name in caught:
            return
    pytest.fail(f"caught only by {caught or 'nothing'}")


def test_the_tables_that_the_broken_ones_are_made_from_are_not():
    assert add in HOME.cells["S", "GetS"].do
    assert take in CACHE.cells["IS_D", "Data/S"].do
