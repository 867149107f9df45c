"""Reports: what is listed, what a name cannot reach, tickets, and two files side by side."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from console_client import Running, shown

from coherence_console import report_files
from coherence_console.context import Context
from coherence_console.report_files import Folder, NotFigures, compared, figures_of, table

PAGE = "<!DOCTYPE html><html><head><title>What &amp; why</title></head><body>{}</body></html>"
ROWS = [
    {"scenario": "planning", "strategy": "lazy", "runs": 2, "bill_mean": 10.0, "bill_interval": 1},
    {"scenario": "planning", "strategy": "eager", "runs": 2, "bill_mean": 20.0, "bill_interval": 1},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "results"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "page.html").write_text(PAGE.format("<p>figures</p><script>alert(1)</script>"))
    (made / "deep" / "er" / "rows.json").write_text(json.dumps(ROWS))
    (made / "other.csv").write_text("scenario,strategy,runs,bill_mean\nplanning,lazy,3,12.5\n")
    (made / "notes.txt").write_text("not a result")
    (made / ".hidden.html").write_text(PAGE)
    (tmp_path / "secret.html").write_text(PAGE.format("secret"))
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    (made / "link.html").symlink_to(tmp_path / "secret.html")
    (made / "linked").symlink_to(tmp_path)
    return made


@pytest.fixture
def asked(folder: Path):
    with shown(Context(reports=folder)) as made:
        yield made


def test_the_results_are_listed(asked: Running) -> None:
    found = asked.get("/api/reports")
    assert {(each["name"], each["kind"], each["title"]) for each in found["results"]} == {
        ("page.html", "page", "What & why"),
        ("deep/er/rows.json", "figures", ""),
        ("other.csv", "figures", ""),
    }
    assert found["more"] == 0
    assert asked.get("/api/console")["has"]["reports"]


def opened(asked: Running, name: str):
    return asked.send(
        "/api/reports/opened", method="POST", body=json.dumps({"name": name}).encode()
    )


def test_a_page_is_opened_once_and_may_do_nothing(asked: Running) -> None:
    url = opened(asked, "page.html").json["url"]
    found = asked.send(url, headers={"Authorization": None})
    assert found.status == 200
    assert b"<p>figures</p>" in found.body
    policy = found.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert asked.send(url).status == 404, "a ticket is good for one request"


@pytest.mark.parametrize("header", ["Host", "Origin", "Sec-Fetch-Site"])
def test_a_ticket_does_not_open_the_guard(asked: Running, header: str) -> None:
    url = opened(asked, "page.html").json["url"]
    foreign = {
        "Host": "evil.example",
        "Origin": "http://evil.example",
        "Sec-Fetch-Site": "same-site",
    }
    assert asked.send(url, headers={header: foreign[header]}).status == 403
    assert asked.send(url).status == 200


NAMES = [
    "",
    ".",
    "..",
    "../secret.html",
    "../secret.csv",
    "..%2fsecret.html",
    "deep/../page.html",
    "deep//er/rows.json",
    "./page.html",
    "/etc/passwd",
    "link.html",
    "linked/secret.html",
    "linked/secret.csv",
    "notes.txt",
    ".hidden.html",
    "page.html\0",
    "page.html/",
    "PAGE.HTML",
    "x" * 5000,
    "\ud800",
]


@pytest.mark.slow(fast=6)
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_reaches_no_other_file(asked: Running, folder: Path, name: str) -> None:
    assert opened(asked, name).status in (400, 404)
    kinds = ("page", "figures")
    assert [Folder(folder).read(name, kind) for kind in kinds] == [None, None]
    assert not Folder(folder).has(name, "page")


@pytest.mark.parametrize(
    "path",
    [
        "/report/",
        "/report/nothing",
        "/report/..%2f..%2fetc%2fpasswd",
        "/api/reports/figures?name=../secret.csv",
        "/api/reports/figures?name=page.html",
        "/api/reports/comparison?a=other.csv&b=../secret.csv",
        "/api/reports/nothing",
    ],
)
def test_paths_that_lead_nowhere(asked: Running, path: str) -> None:
    found = asked.send(path)
    # A path that no route has is a view of the page, which says that there is no such view.
    assert found.status == 404 or b'<div id="app">' in found.body
    assert b"root:" not in found.body
    assert b"secret" not in found.body


@pytest.mark.parametrize("body", [b"", b"[]", b'{"name": 7}', b'{"name"', b"[" * 100_000])
def test_a_bad_body(asked: Running, body: bytes) -> None:
    assert asked.send("/api/reports/opened", method="POST", body=body).status == 400


def test_other_methods_and_no_token(asked: Running) -> None:
    assert asked.send("/api/reports/opened").status == 404
    assert asked.send("/api/reports", method="POST", body=b"{}").status == 404
    for path in ("/api/reports", "/api/reports/figures?name=other.csv"):
        assert asked.send(path, headers={"Authorization": None}).status == 401


def test_a_file_that_becomes_a_link_is_not_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = Folder(folder)
    listed = reports._listed

    def listed_then_swapped(name: str, kind: str):
        found = listed(name, kind)
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "secret.html")
        return found

    monkeypatch.setattr(reports, "_listed", listed_then_swapped)
    assert reports.read("page.html", "page") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_no_result(folder: Path) -> None:
    os.mkfifo(folder / "pipe.html")
    assert "pipe.html" not in {each.name for each in Folder(folder).listing()[0]}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with shown(Context(reports=tmp_path / "nowhere")) as asked:
        found = asked.send("/api/reports")
        assert (found.status, found.json["code"]) == (500, "no-reports")
        assert found.json["remedy"]
        assert str(tmp_path) not in found.json["message"]


def test_too_much_is_said_and_not_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_files, "FILES_MAX", 2)
    monkeypatch.setattr(report_files, "BYTES_MAX", 100)
    listed, more = Folder(folder).listing()
    assert (len(listed), more) == (2, 1)
    with pytest.raises(NotFigures, match="the limit"):
        Folder(folder).read("deep/er/rows.json", "figures")
    monkeypatch.setattr(report_files, "ROWS_MAX", 3)
    rows = [{"n": n, "x_mean": 1.0} for n in range(10)]
    assert (len(table(rows).rows), table(rows).more) == (3, 7)
    assert (len(compared(rows, rows).pairs), compared(rows, rows).more) == (3, 7)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", b""),
        ("x.json", b"{}"),
        ("x.json", b"[]"),
        ("x.json", b"[1, 2]"),
        ("x.json", b"[" * 100_000),
        ("x.json", b'[{"a": {"b": {}}}]'[:-1]),
        ("x.csv", b""),
        ("x.csv", b"only,a,header\n"),
        ("x.csv", b"a,b\n1,2,3,4\n"),
        ("x.csv", b"\xff\xfe\x00"),
        ("x.csv", b"a\n" + b'"' + b"x" * 200_000 + b'"\n'),
    ],
)
def test_what_is_not_figures(name: str, content: bytes) -> None:
    with pytest.raises(NotFigures) as refused:
        figures_of(name, content)
    assert refused.value.remedy


def test_figures_side_by_side(asked: Running) -> None:
    rows = asked.get("/api/reports/figures?name=deep/er/rows.json")["figures"]
    assert rows["columns"] == ["scenario", "strategy", "runs", "bill_mean", "bill_interval"]
    found = asked.get("/api/reports/comparison?a=deep/er/rows.json&b=other.csv")["comparison"]
    assert found["keys"] == ["scenario", "strategy"]
    assert found["figures"] == ["runs", "bill_mean"]
    assert found["pairs"] == [
        {"key": ["planning", "lazy"], "a": [2, 10], "b": [3, 12.5]},
        {"key": ["planning", "eager"], "a": [2, 20], "b": None},
    ]
    assert (found["only_a"], found["only_b"]) == (1, 0)
    assert found["missing"] == ["bill_interval"]
    assert not found["in_order"]


def test_an_interval_belongs_to_its_figure() -> None:
    found = compared(ROWS, ROWS)
    assert found.figures == ("runs", "bill_mean", "bill_interval")
    assert found.intervals == (-1, 2, -1)


def test_axes_of_a_sweep_are_keys() -> None:
    rows = [
        {"point_agents": agents, "strategy": "lazy", "runs": 3, "bill_mean": agents * 1.5}
        for agents in (2, 4, 8)
    ]
    other = [row | {"runs": 5, "bill_mean": 1.0} for row in rows]
    found = compared(rows, other)
    assert found.keys == ("point_agents", "strategy")
    assert [pair.key[0] for pair in found.pairs] == [2, 4, 8]
    assert (found.pairs[0].a, found.pairs[0].b) == ((3, 3.0), (5, 1.0))


def test_rows_that_nothing_tells_apart_are_compared_in_order() -> None:
    rows = [{"strategy": "lazy", "bill_mean": n} for n in range(3)]
    found = compared(rows, rows[:2])
    assert found.in_order
    assert [pair.b for pair in found.pairs] == [(0,), (1,), None]


@pytest.mark.parametrize("name", ["5-team-and-network/team.csv", "2-strong-baselines/ask.csv"])
def test_our_own_results_are_compared(name: str) -> None:
    results = Path(__file__).parents[2] / "simulations" / "results"
    content = Folder(results).read(name, "figures")
    assert content is not None
    rows = figures_of(name, content)
    found = compared(rows, rows)
    assert not found.in_order
    assert len(found.pairs) == len(rows)
    assert all(pair.a == pair.b for pair in found.pairs)
