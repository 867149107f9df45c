"""The JSON of each route, by a golden answer; `--rewrite` writes them, and the diff is reviewed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("shapes.json")
PATHS = (
    "/api/console",
    "/api/team",
    "/api/tokens",
    "/api/artifact?name=plan.md",
    "/api/artifact?name=gone.md",
    "/api/artifact/content?name=plan.md&version=2",
    "/api/artifact/content?name=data.bin&version=1",
    "/api/artifact/content?name=gone.md&version=2",
    "/api/artifact/diff?name=plan.md&a=1&b=2",
    "/api/artifact/diff?name=plan.md&a=0&b=1",
    "/api/artifact/diff?name=gone.md&a=1&b=2",
    "/api/artifact/blame?name=plan.md&version=2",
    "/api/agent?name=ann",
    "/api/agent?name=cat",
    "/api/nothing",
)


def steady(value):
    """`value` without what differs from run to run: times, days, the release, counts of tokens.

    With a tokenizer, tokens are counted; without one, they are estimated.
    """
    if isinstance(value, dict):
        return {
            name: "TOKENS" if name.endswith("_tokens") else steady(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [steady(each) for each in value]
    if isinstance(value, float) and value > 1e9:
        return "TIME"
    if isinstance(value, str):
        return re.sub(r"^\d{4}-\d\d-\d\d$", "DAY", re.sub(r"^\d+\.\d+\.\d+\S*$", "RELEASE", value))
    return value


def test_the_answers_have_their_shapes(shared, rewrite):
    seen = {path: steady(shared.send(path).json) for path in PATHS}
    if rewrite:
        GOLDEN.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert seen == json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert all(answer["v"] == 1 for answer in seen.values())


def test_texts_that_are_too_long_are_cut_and_it_is_said(shared, monkeypatch):
    monkeypatch.setattr("coherence_console.history.TEXT_MAX", 10)
    monkeypatch.setattr("coherence_console.history.LINES_MAX", 1)
    content = shared.get("/api/artifact/content?name=plan.md&version=2")
    assert (content["text"], content["cut"]) == ("# Plan\nste", 11)
    diff = shared.get("/api/artifact/diff?name=plan.md&a=0&b=2")
    assert len(diff["text"]) == 10
    assert diff["cut"] > 0
    blame = shared.get("/api/artifact/blame?name=plan.md&version=2")
    assert (len(blame["lines"]), blame["cut"]) == (1, 2)


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "a\x00b",
    '"; drop table artifact; --',
    "%2e%2e%2f",
    "\ud83d\ude80",
)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_contents_travel_as_they_are_and_as_json_alone(team, running, text):
    agent = team.agent("eve")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    reason = text if "\0" not in text else "why"
    agent.write("evil.md", text, reason=reason)
    found = running.send("/api/artifact/content?name=evil.md&version=1")
    assert found.json["text"] == text
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert running.get("/api/artifact?name=evil.md")["versions"][0]["reason"] == reason
