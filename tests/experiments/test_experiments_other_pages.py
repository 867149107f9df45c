"""The pages of sweeps and of replays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coherence.simulate import cli
from coherence.simulate.pages import swept
from coherence.simulate.pages.saving import rendered
from coherence.simulate.sweeps import requests, running
from coherence.simulate.sweeps.requests import Request

pytest.importorskip("jinja2", reason="pages need jinja2")
pytest.importorskip("matplotlib", reason="pages need matplotlib")
pytest.importorskip("scipy", reason="intervals need scipy")

HISTORY = Path(__file__).parents[2] / "simulations" / "histories" / "requests.history"


def call(*arguments: str, code: int = 0):
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def page(**over: list[object]):
    sweep = requests.read(None, Request({"steps": 10, "seeds": 2}, over))
    done = running.run(sweep, processes=1)
    return swept.page_of(sweep, done.lines, "coherence simulate sweep", is_partial=False)


@pytest.mark.slow
def test_a_sweep_is_drawn_over_its_longest_axis_of_numbers():
    made = page(write_probability=[0.1, 0.5], agents=[2, 3, 4], strategy=["lazy", "adaptive"])
    assert made.question == (
        "How do the savings of adaptive depend on write_probability and agents?"
    )
    assert [chart.title for chart in made.charts] == [
        "Over agents: write_probability 0.1",
        "Over agents: write_probability 0.5",
    ]
    saved, stale = made.charts[0].panels
    assert [curve.name for curve in saved.curves] == ["lazy", "adaptive"]
    assert [point.x for point in saved.curves[0].points] == [2, 3, 4]
    assert stale.y == "stale reads a run"
    assert len(stale.curves) == 2
    assert re.search(r"cheaper at \d, dearer at \d, undecided at \d of 6 points", made.answer)
    assert made.answer.count(". ") == 1
    assert "0.1, 0.5" in rendered(made)


def test_an_axis_of_words_has_its_words():
    made = page(scenario=["planning", "churn"])
    (chart,) = made.charts
    assert chart.labels == ("planning", "churn")
    assert '<th scope="row">churn</th>' in rendered(made)
    (alone,) = page(strategy=["lazy", "adaptive"]).charts
    assert alone.labels == ("lazy", "adaptive")
    assert [len(curve.points) for curve in alone.panels[0].curves] == [2]


def test_a_large_grid_is_shown_in_part(monkeypatch):
    monkeypatch.setattr(swept, "CHARTS_MAX", 1)
    made = page(agents=[2, 3, 4], artifacts=[1, 2], strategy=["lazy"])
    assert len(made.charts) == 1
    assert any("first 1 of 2 charts" in remark for remark in made.remarks)


@pytest.mark.slow
def test_the_commands_write_their_pages(tmp_path):
    file = tmp_path / "sweep.html"
    call(
        *("sweep", "--over", "agents=2,3", "--set", "steps=10", "--seeds", "2", "-q"),
        *("--html", str(file)),
    )
    text = file.read_text(encoding="utf-8")
    words = re.sub(r"</?span>", "", re.search(r"<code>(.*?)</code>", text)[1])
    assert words.startswith("coherence simulate sweep --over agents=2,3 --set steps=10 --seeds 2")
    said = call("sweep", "--over", "agents=2,3", "--html", str(tmp_path / "no" / "x"), code=3)
    assert "cannot be written" in said.stderr


@pytest.mark.slow
def test_a_replay_has_a_page_with_the_paths_of_its_files(tmp_path):
    file = tmp_path / "replay.html"
    call("replay", str(HISTORY), "-s", "shipped", "-s", "adaptive", "-q", "--html", str(file))
    text = file.read_text(encoding="utf-8")
    assert "What would adaptive have saved in requests" in text
    assert re.search(r"<td class=\"text\">[\w./-]+\.(py|md|rst|txt)@\d", text)
    assert "commits of the mainline" in text
