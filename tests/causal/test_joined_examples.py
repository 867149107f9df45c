"""The joined examples run, fail on bare links, and hold their property on ours."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DOC = Path(__file__).parents[2] / "docs" / "causal.md"


@cache
def shown(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"joined_{name}.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def rows(text: str) -> dict[str, list[float]]:
    """The figures of each line that begins with a name."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r" *([a-z][\w, ]*?)  +(\d.*)", line):
            found[match[1]] = [float(figure) for figure in re.findall(r"[\d.]+", match[2])]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "law", "wrong", "right"),
    [
        (
            "stale_review",
            "P1",
            "30 ms  reviewer reads version 1, 'plan A'",
            "170 ms  reviewer reads version 2, 'plan B'",
        ),
        (
            "retracted_instruction",
            "P2",
            "20 ms  executor runs step 1 of plan A, approved was plan B",
            "90 ms  executor runs step 1 of plan B, approved was plan B",
        ),
    ],
)
def test_a_word_that_comes_too_early(name: str, law: str, wrong: str, right: str) -> None:
    text = shown(name)
    bare, ours = text.index(f"bare links: {law} BROKEN"), text.index(f"hybrid links: {law} holds")
    assert bare < text.index(wrong) < ours < text.index(right)
    broken = rows(text[text.index("in 300 runs") :])
    assert broken.pop("bare")[0] > 0
    assert broken == {"mf95": [0], "cykas": [0], "hybrid": [0], "rst91": [0]}


@pytest.mark.slow
def test_workspaces_on_endpoints() -> None:
    bare, ours = shown("workspace").strip().split("\n\n")
    assert bare.startswith("bare links: P1 BROKEN")
    assert ours.startswith("causal links: P1 holds")
    # Neither the writer's commit nor the lead's read waits for the slow link.
    late = "the slow link from writer to reviewer brings what it has"
    commit = "writer's commit returns: plan.md@2"
    look = "lead reads plan.md@2, 'plan B', and asks for a review"
    word = "reviewer hears 'please review the plan' and reads"
    dead, new = f"{word} plan.md@1, 'plan A'", f"{word} plan.md@2, 'plan B'"
    assert [line.strip() for line in bare.splitlines()[1:]] == [commit, look, dead, late]
    assert [line.strip() for line in ours.splitlines()[1:]] == [commit, look, late, new]


@pytest.mark.slow
def test_an_eager_fan_out() -> None:
    sidecar, turns = shown("eager_fan_out").strip().split("\n\n")
    started = {name: figures[0] for name, figures in rows(sidecar).items()}
    # One one-way delay; and MF95 waits for seven round trips, a slow one and the editor's answer.
    assert started == {"bare": 0.025, "mf95": 0.65, "cykas": 0.025, "hybrid": 0.025, "rst91": 0.025}
    assert {name: figures[2] for name, figures in rows(sidecar).items()} == {
        **dict.fromkeys(started, 0),
        "bare": 1,
    }
    assert re.findall(r"^ *(\w+) .* P3 (\w+)$", sidecar, re.MULTILINE) == [
        ("bare", "BROKEN"),
        ("mf95", "BROKEN"),
        ("cykas", "holds"),
        ("hybrid", "holds"),
        ("rst91", "holds"),
    ]
    later = {name: figures[0] for name, figures in rows(turns).items()}
    assert later["hybrid"] == 0.025
    assert later["mf95"] > 100  # turns, where a link takes 25 ms


@pytest.mark.slow
def test_a_popular_agent() -> None:
    text = shown("popular_agent")
    lines = re.findall(
        r"^ +([\d.]+) +(\w+) +([\d.]+) RTT +([\d.]+) RTT +(\d+) of 100 +(\d+) +(\w+)$",
        text,
        re.MULTILINE,
    )
    assert len(lines) == 9
    for _, carrier, _, _, late, not_causal, verdict in lines:
        assert (int(not_causal) > 0) == (carrier == "bare")
        assert (int(late) > 0) == (carrier == "cykas")
        assert verdict == ("holds" if carrier == "hybrid" else "BROKEN")
    waits = {(rate, carrier): float(mean) for rate, carrier, mean, *_ in lines}
    assert waits["2.0", "cykas"] > 3 * waits["2.0", "hybrid"]


@pytest.mark.slow
def test_what_a_write_costs() -> None:
    found = rows(shown("write_latency"))
    strict, bare = found["strict, bare links"], found["lazy, bare links"]
    ours, mf95 = found["lazy, hybrid"], found["lazy, MF95"]
    # One round trip in place of two; the review starts when it would have.
    assert (ours[:4], strict[:4]) == ([0.001, 0.0025, 0.05, 0.125], [0.002, 0.0025, 0.1, 0.125])
    assert ours[4] == bare[4] == 0.05
    assert 20 < strict[4] < 30 < mf95[4]
    assert ours[5] == strict[5]
    assert (ours[7], strict[7], mf95[7]) == (0, 0, 0)
    assert bare[7] > 0


@pytest.mark.slow
def test_the_guide_shows_what_comes_out() -> None:
    guide = DOC.read_text(encoding="utf-8")
    stale, retracted = rows(shown("stale_review")), rows(shown("retracted_instruction"))
    assert f"{stale['bare'][0]:.0f} of 300 runs" in guide
    assert f"{retracted['bare'][0]:.0f} of 300, none" in guide
    started = rows(shown("eager_fan_out").split("\n\n")[1])
    assert f"{started['mf95'][0]:.0f} s if holders acknowledge between turns" in guide
    cykas, hybrid = re.findall(r"2\.0 +(?:cykas|hybrid) +([\d.]+) RTT", shown("popular_agent"))
    assert f"Cykas holds them {float(cykas):.1f} round trips" in guide
    assert f"the hybrid {float(hybrid):.1f} and" in guide
    (shown_there,) = re.findall(r"```text\n(from the commit.*?)```", guide, re.DOTALL)
    assert shown_there == shown("write_latency")
