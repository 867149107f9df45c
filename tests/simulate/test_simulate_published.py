"""Every published figure comes out, and a figure that does not is noticed."""

import pytest

from coherence.simulate import catalogue, jobs, published, report
from coherence.simulate.published import Figure
from coherence.simulate.result import STRATEGIES


@pytest.fixture(scope="module")
def records():
    scenarios = [catalogue.find(name) for name in catalogue.CANONICAL]
    return {
        (made.scenario, made.strategy): made
        for made in jobs.simulate(scenarios, STRATEGIES, ["paper"]).records
    }


@pytest.mark.parametrize(
    "figure",
    published.FIGURES,
    ids=lambda figure: f"{figure.scenario}-{figure.strategy}-{figure.field}-{figure.text}",
)
def test_the_papers_rules_give_the_published_figure(records, figure):
    ours = getattr(records[figure.scenario, figure.strategy or "lazy"], figure.field)
    assert figure.agrees(ours), ours


def test_no_cell_of_the_tables_is_left_out():
    by_strategy = {
        strategy: sum(figure.strategy == strategy for figure in published.FIGURES)
        for strategy in (*STRATEGIES, None)
    }
    # Twelve figures for each of four scenarios, less the dashes, and the paper's own on lazy.
    assert by_strategy == {
        "broadcast": 4 * 10 - 3,
        "eager": 4 * 12 - 3,
        "lazy": 4 * 12 + 8,
        "lease": 4 * 12,
        "access_count": 4 * 12 - 3,
        None: 4,
    }


def test_the_paper_models_actions_are_as_many_as_published(records):
    means = [made.actions_mean for made in records.values()]
    assert (round(min(means), 1), round(max(means), 1)) == (116.4, 117.1)


@pytest.mark.parametrize(
    ("text", "ours", "agrees"),
    [
        ("98055.2", 98055.2, True),
        ("98055.2", 98055.249, True),
        ("98055.2", 98055.3, False),
        (".95", 0.955, True),
        (".95", 0.9551, False),
        ("13", 13, True),
        ("13", 14, False),
        ("0", None, False),
    ],
)
def test_agreement_is_at_the_published_precision(text, ours, agrees):
    assert Figure("source", "planning", "lazy", "field", text).agrees(ours) is agrees


def test_cells_tell_ours_from_theirs(records):
    wrong = Figure("source", "planning", "lazy", "sync_tokens_mean", "98055.3")
    (cell,) = report.cells([wrong], records.values())
    assert (cell.published, cell.ours, cell.agrees) == ("98055.3", 98055.2, False)
    text = report.rendered(report.reproduction([cell]), terminal=False, width=report.FILE_WIDTH)
    assert text.split()[-3:] == ["98055.3", "98055.2", "NO"]
