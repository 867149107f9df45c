"""Studies: how one is read, run and written, and that the kept results are what they give."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from coherence.simulate import cli
from coherence.simulate.studies import command, rows, study, writing
from coherence.simulate.studies.command import answered
from coherence.simulate.studies.study import InvalidStudy, found, parse

pytest.importorskip("jinja2", reason="studies need jinja2")
pytest.importorskip("scipy", reason="intervals need scipy")

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "simulations" / "studies"
RESULTS = ROOT / "simulations" / "results"
ALL = found([STUDIES])

SMALL = """# A question

```sh rows
coherence simulate compare planning \\
    --seeds 2 --set steps=8 -s shipped -s adaptive
```

## Finding

`adaptive` {{ rows | one(strategy="adaptive") | effect("saved_bill") }}.
"""
ROWS = [
    {"scenario": "a", "strategy": "x", "saved": 0.25, "saved_interval": 0.1, "runs": 3},
    {"scenario": "a", "strategy": "y", "saved": -0.25, "saved_interval": 0.1, "runs": 3},
    {"scenario": "b", "strategy": "x", "saved": 0.05, "saved_interval": 0.1, "runs": 3},
    {"scenario": "b", "strategy": "y", "saved": 0.0001, "saved_interval": 0.0, "runs": 3},
]


def call(*arguments: str, code: int = 0):
    result = CliRunner().invoke(cli.app, ["study", *arguments])
    assert result.exit_code == code, result.output
    return result


def finding(text: str) -> str:
    made = parse(f"# T\n\n```sh rows\ncoherence simulate list\n```\n\n{text}", "t", "t.md")
    return writing.written(made, {"rows": ROWS}).partition("```\n\n")[2].rstrip("\n")


# Reading


def test_a_study_has_a_title_commands_and_a_text():
    made = parse(SMALL, "small", "small.md")
    assert made.title == "A question"
    expected = "compare planning --seeds 2 --set steps=8 -s shipped -s adaptive"
    assert made.commands == {"rows": tuple(expected.split())}
    assert "```sh\ncoherence simulate" in made.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no heading\n", "t.md: the first line is not a heading"),
        ("# T\n", "t.md: has no block that begins with ```sh NAME"),
        ("# T\n\n```sh\ncoherence simulate list\n```\n", "has no block"),
        ("# T\n\n```sh a\nrm -r x\n```\n", "t.md:3: not one command"),
        ("# T\n\n```sh a\ncoherence simulate list\ncoherence simulate list\n```\n", "t.md:3: not"),
        ("# T\n\n```sh a\ncoherence simulate 'x\n```\n", "t.md:3: No closing quotation"),
        (SMALL + SMALL, "two blocks called 'rows'"),
    ],
)
def test_what_is_no_study_is_refused_with_its_place(text, said):
    with pytest.raises(InvalidStudy, match=r"docs/studies\.md") as caught:
        parse(text, "t", "t.md")
    assert said in str(caught.value)


def test_studies_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("10-ten", "9-nine", "other"):
        (tmp_path / f"{name}.md").write_text(SMALL)
    assert [each.name for each in found([tmp_path])] == ["9-nine", "10-ten", "other"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidStudy, match="no file of a study"):
        found([tmp_path / "empty"])
    with pytest.raises(InvalidStudy, match="cannot be read"):
        study.read(tmp_path / "missing.md")


# Rows


def test_rows_are_made_flat_and_short():
    text = json.dumps(
        [
            {"a": {"value": 1 / 3, "interval": None}, "b": {"mean": 2.0, "sd": 1e-9}, "c": [1, 2]},
            {"d": True},
        ]
    )
    (first, second) = rows.of_json(text.encode())
    assert first == {"a": 0.333333, "a_interval": None, "b_mean": 2.0, "b_sd": 1e-9, "c": "1 2"}
    table = rows.as_csv([first, second])
    assert table == "a,a_interval,b_mean,b_sd,c,d\n0.333333,,2,1e-09,1 2,\n,,,,,true\n"


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text("abc.5-e, \"'\n")
)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), CELLS, min_size=1), min_size=1))
def test_a_table_that_is_read_and_written_again_is_the_same(found_):
    table = rows.as_csv(found_)
    assert rows.as_csv(rows.of_csv(table)) == table


def test_a_text_of_digits_stays_a_text():
    assert rows.of_csv("a,b,c,d\n.950,007,0.95,7\n") == [
        {"a": ".950", "b": "007", "c": 0.95, "d": 7}
    ]


# Writing


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{{ rows | one(scenario="a", strategy="x") | pct("saved") }}', "25.0 ± 10.0 %"),
        ('{{ rows | where(scenario="b") | length }}', "2"),
        ('{{ rows | one(scenario="a", strategy="x") | effect("saved") }}', "saves 25.0 ± 10.0 %"),
        (
            '{{ rows | one(scenario="a", strategy="y") | effect("saved") }}',
            "costs 25.0 ± 10.0 % more",
        ),
        (
            '{{ rows | one(scenario="b", strategy="x") | effect("saved") }}',
            "saves or costs nothing that is certain (5.0 ± 10.0 %)",
        ),
        ('{{ rows | one(scenario="b", strategy="y") | effect("saved") }}', "costs the same"),
        ('{{ (rows | least("saved")).strategy }}, {{ rows | most("saved") | times("saved") }}',
         "y, 0.25 ± 0.10"),
        ('{{ rows | column("scenario") | listed }}; {{ ["a"] | listed }}; {{ [] | listed }}',
         "a and b; a; none"),
    ],
)  # fmt: skip
def test_figures_are_filled_in(text, written):
    assert finding(text) == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ rows | one(scenario='a') | pct('saved') }}", "2 rows have"),
        ("{{ rows | one(scenario='z') }}", "0 rows have"),
        ("{{ rowz | length }}", "'rowz' is undefined"),
        ("{{ rows | where(nothing=1) }}", "nothing"),
        ("{{ rows[0] | pct('scenario') }}", "scenario is 'a', not a number"),
        ("{{ rows", "unexpected end"),
        ("{{ rows.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_finding_that_cannot_be_written_is_refused(text, said):
    with pytest.raises(InvalidStudy) as caught:
        finding(text)
    assert said in str(caught.value)


def test_paragraphs_are_filled_and_tables_are_not():
    word = "word " * 30
    text = f"{word}\n  {word}\n\n| {word} |\n\n- {word}\n- b\n\n```\n{word}\n```"
    shown = finding(text).split("\n\n")
    assert all(len(line) <= 120 for line in shown[0].splitlines())
    assert shown[1] == f"| {word} |"
    assert [line[:6] for line in shown[2].splitlines()] == ["- word", "  word", "- b"]
    assert word in shown[3]
    broken = finding("x" * 112 + " {{ rows[0] | pct('saved') }} y")
    assert broken.splitlines()[1] == "25.0 ± 10.0 % y"


# Running


@pytest.mark.slow
def test_a_study_is_run_printed_kept_and_compared(tmp_path, monkeypatch):
    file, into = tmp_path / "small.md", tmp_path / "results"
    file.write_text(SMALL)
    call(str(file), "--into", str(into))
    text = (into / "small.md").read_text()
    assert "`adaptive` saves" in text or "`adaptive` costs" in text
    assert "Every figure: [rows.csv](small/rows.csv)." in text
    kept = rows.of_csv((into / "small" / "rows.csv").read_text())
    assert [row["strategy"] for row in kept] == ["shipped", "adaptive"]
    assert kept[0]["saved_bill_interval"] > 0
    monkeypatch.setattr(command, "_performed", lambda arguments: kept)
    assert call(str(file)).stdout == text
    assert call(str(file), "--into", str(into), "--check").stdout == ""
    (into / "small.md").write_text("another")
    shutil.rmtree(into / "small")
    differing = call(str(file), "--into", str(into), "--check", code=1).stdout
    assert differing.count("differs from what the study gives") == 2
    assert (into / "small.md").read_text() == "another"


def test_equal_commands_are_run_once():
    runs: list[tuple[str, ...]] = []

    def perform(arguments: tuple[str, ...]) -> list[rows.Figures]:
        runs.append(arguments)
        return [{"strategy": "adaptive", "saved_bill": 0.5}]

    done: dict[tuple[str, ...], list[rows.Figures]] = {}
    made = parse(SMALL, "small", "small.md")
    first = answered(made, done, perform)
    assert "saves 50.0 %" in first[Path("small.md")]
    assert answered(made, done, perform) == first
    assert len(runs) == 1


@pytest.mark.slow
def test_a_command_that_fails_is_shown_with_its_words(tmp_path):
    file = tmp_path / "bad.md"
    file.write_text(SMALL.replace("planning", "planing"))
    said = call(str(file), code=3).stderr
    assert "study-failed: coherence simulate compare planing" in said
    assert "did you mean 'planning'" in said


def test_a_wrong_call_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "small.md"
    file.write_text(SMALL)
    assert "--into FOLDER" in call(str(file), "--check", code=2).stderr
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setattr(
        command, "_performed", lambda arguments: [dict(ROWS[0], strategy="adaptive", saved_bill=1)]
    )
    said = call(str(file), "--into", str(tmp_path / "taken"), code=3).stderr
    assert "results-not-written" in said
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "pip install jinja2" in call(str(file), code=3).stderr


# The results that are kept


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, list[rows.Figures]]]:
    return {
        each.name: {
            name: rows.of_csv((RESULTS / each.name / f"{name}.csv").read_text(encoding="utf-8"))
            for name in each.commands
        }
        for each in ALL
    }


def test_there_are_results_of_every_study_and_no_others():
    expected = {f"{each.name}.md" for each in ALL}
    expected |= {f"{each.name}/{name}.csv" for each in ALL for name in each.commands}
    there = {file.relative_to(RESULTS).as_posix() for file in RESULTS.rglob("*.*")}
    assert there == expected, "run: make studies"


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_every_finding_is_written_from_the_kept_figures(each, kept):
    done = {arguments: kept[each.name][name] for name, arguments in each.commands.items()}
    for name, text in answered(each, done).items():
        assert (RESULTS / name).read_text(encoding="utf-8") == text, "run: make studies"


def test_equal_commands_have_equal_results(kept):
    seen: dict[tuple[str, ...], list[rows.Figures]] = {}
    for each in ALL:
        for name, arguments in each.commands.items():
            assert seen.setdefault(arguments, kept[each.name][name]) == kept[each.name][name]


def test_what_the_findings_say_in_words_holds(kept):
    """Sentences without a figure; all others are written from the rows."""
    prices = kept["4-prices"]["rows"]
    by_reads = ("claude-opus-5", "claude-opus-5-5", "claude-fable-5-1")  # 0.10, 0.05, 0.025
    for strategy, field in (("adaptive", "above_of_floor"), ("slot_tail", "saved_bill")):
        for scenario in writing.column(prices, "scenario"):
            values = [
                writing.one(prices, prices=model, strategy=strategy, scenario=scenario)[field]
                for model in by_reads
            ]
            # The first reads of planning and its like are alike at every price.
            assert values[0] >= values[1] - 0.005 >= values[2] - 0.01, (strategy, scenario)
    for name in ("small", "uncached"):
        for row in kept["8-when-not"][name]:
            assert row["saved_bill"] + row["saved_bill_interval"] < 0
    assert all(row["agrees"] for row in kept["1-the-paper"]["figures"])
    for row in kept["8-when-not"]["short"]:
        assert 0 < row["saved_bill"] < 0.3


#: One scenario of a command that has many: its rows do not depend on the other scenarios.
SAMPLES = (
    ("2-strong-baselines", "get", ("churn",)),
    ("3-the-references", "rows", ("planning",)),
    ("8-when-not", "uncached", ("planning",)),
    ("8-when-not", "short", ("planning", "churn")),
)


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(("name", "table", "scenarios"), SAMPLES)
def test_a_sample_of_the_kept_figures_is_what_the_code_gives(name, table, scenarios, kept):
    (made,) = [each for each in ALL if each.name == name]
    shipped = {row["scenario"] for row in kept[name][table]}
    words = [word for word in made.commands[table] if word not in shipped]
    given_ = CliRunner().invoke(cli.app, [words[0], *scenarios, *words[1:], "--json", "--quiet"])
    assert given_.exit_code == 0, given_.output
    ours = rows.of_csv(rows.as_csv(rows.of_json(given_.stdout.encode())))
    assert ours == [row for row in kept[name][table] if row["scenario"] in scenarios], (
        "run: make studies"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_study_gives_the_kept_bytes():
    """All commands once more; with the kept files these are two runs."""
    assert call(str(STUDIES), "--into", str(RESULTS), "--check").stdout == ""
