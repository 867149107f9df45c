"""Tables fit where they are shown, and lose nothing."""

import re

import msgspec
import pytest

from coherence.simulate import catalogue, jobs, report
from coherence.simulate.result import RULES


@pytest.fixture(scope="module")
def records():
    scenarios = [catalogue.find(name, ["runs=2"]) for name in ("planning", "churn")]
    made = jobs.simulate(scenarios, ["broadcast", "lazy"], ["paper"]).records
    return [
        msgspec.structs.replace(record, rules=rules, max_stale_steps=1000 + k)
        for record in made
        for k, rules in enumerate(RULES)
    ]


@pytest.mark.parametrize("width", [80, report.SIDE_BY_SIDE_MIN, 200])
def test_the_comparison_fits_the_terminal(records, width):
    table = report.comparison(records, RULES, width)
    text = report.rendered(table, terminal=True, width=width)
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= width
    for figure in ("1000", "1001", "95.0±1.3", "planning", "churn"):
        assert figure in plain


def test_details_are_never_folded_however_narrow(records):
    text = report.rendered(report.details(records), terminal=True, width=40)
    for record in records:
        assert f"{record.sync_tokens_mean:,.1f}" in text


def test_a_kind_of_tokens_that_nobody_paid_takes_no_column(records):
    def shown(made: list) -> str:
        return report.rendered(report.details(made), terminal=False, width=report.FILE_WIDTH)

    assert "other" not in shown(records)
    paid = [msgspec.structs.replace(record, other_tokens_mean=5.0) for record in records]
    assert "other" in shown(paid)
