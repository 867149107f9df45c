"""Results fit the terminal: a chart gets narrower lanes, then becomes a list of steps."""

from __future__ import annotations

import pytest

from specs import catalogue, report
from specs.checker import check
from specs.checker.chart import text_chart


@pytest.fixture(scope="module")
def path():
    result = check(catalogue.factory("mesi")(broken="swmr"))
    assert result.counterexample is not None
    return result.counterexample


def longest(text):
    return max(map(len, text.splitlines()))


def test_a_chart_has_the_fields_of_messages_where_they_fit(path):
    whole = text_chart(path)
    assert longest(whole) > 200
    assert text_chart(path, longest(whole)) == whole
    assert "GetM(serial=1" in whole


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_narrower_chart_names_messages_by_their_types(path, width):
    chart = text_chart(path, width)
    assert longest(chart) <= width
    assert "──GetM──" in chart
    assert "serial" not in chart
    assert chart.endswith("by --itf FILE.")


def test_a_chart_without_room_for_lanes_is_a_list_of_all_that_happened(path):
    steps = text_chart(path, 40)
    assert longest(steps) <= 40
    joined = " ".join(steps.split())
    assert "1 a: AcquireMiss" in joined
    assert "3 home: GetM GetM(serial=1, have=0, digest=None) from a" in joined
    assert "; to b: PutAck(" in joined


@pytest.mark.parametrize("name", ["causal-endless", "dining", "die-hard"])
def test_every_line_of_a_result_fits(name):
    case = [*catalogue.cases(name)][-1]
    result = check(catalogue.factory(name)(**case.constants))
    for width in (80, 120):
        lines = [part for line in report.lines(result, width) for part in line.splitlines()]
        assert max(map(len, lines)) <= width
