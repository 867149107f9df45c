import json
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

from message_passing.errors import CallerError, EnvironmentFault
from specs.cli import main
from specs.histories.history import read
from specs.histories.judging import judge, judge_files
from specs.histories.lines import BadHistory, NoHistory
from specs.histories.simulated import Simulation, Weakness, write
from specs.histories.witness import KEPT, chart, diagram, lines


def file(folder, name, *rows, head=None):
    """A file of these rows; a row is text as it stands, or a line."""
    path = folder / f"{name}.ndjson"
    texts = [json.dumps(head)] if head else []
    texts += [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def txn(name, begin, end, r=None, w=(), how="ok", **more):
    """The two lines of a transaction, or one if it has no end."""
    both = [{"type": "invoke", "t": begin, "i": name, "w": w, **more}]
    if end is not None:
        both.append({"type": how, "t": end, "i": name, "r": r or {}, "w": w})
    return both


VERSIONS = {"history": 1, "values": "versions"}


def call(name, begin, end, r=None, w=None, how="ok", asked=None, **more):
    """As `txn`, of a history of versions; `asked` is what the call was to write."""
    asked = {text: made[1] for text, made in (w or {}).items()} if asked is None else asked
    both = [{"type": "invoke", "t": begin, "i": name, "w": asked, **more}]
    if end is not None:
        outcome = {"type": how, "t": end, "i": name, "r": r or {}}
        both.append(outcome | ({"w": w} if w else {}))
    return both


def judged(folder, *txns, head=None):
    return judge_files([file(folder, "all", *[line for each in txns for line in each], head=head)])


# One history for each kind: the transactions, and the kinds that are found.
APPENDS = {
    "duplicate": (
        ["duplicate write"],
        txn("a", 0, 1, w=["x"]),
        txn("b", 2, 3, {"x": ["a", "a"]}),
    ),
    "unknown": (["unknown write"], txn("a", 0, 1, {"x": ["z"]})),
    "unknown here": (
        ["unknown write"],
        txn("a", 0, 1, w=["y"]),
        txn("b", 2, 3, {"x": ["a"], "y": ["a"]}),
    ),
    "aborted": (["G1a"], txn("a", 0, 1, w=["x"], how="fail"), txn("b", 2, 3, {"x": ["a"]})),
    "intermediate": (
        ["G1b", "G-single"],
        txn("a", 0, 3, w={"x": ["1", "2"]}),
        txn("b", 0, 4, {"x": ["1"]}),
        txn("c", 5, 6, {"x": ["1", "2"]}),
    ),
    "fork": (
        ["incompatible orders"],
        txn("a", 0, 1, w=["x"]),
        txn("b", 0, 1, w=["x"]),
        txn("c", 0, 2, {"x": ["a"]}),
        txn("d", 3, 4, {"x": ["b"]}),
    ),
    "lost": (
        ["lost write", "G-single-realtime"],
        txn("a", 0, 1, w=["x"]),
        txn("b", 2, 3, {"x": []}),
    ),
    "partial": (
        ["partial publish", "G-single-realtime"],
        txn("a", 0, None, w=["x", "y"]),
        txn("b", 2, 3, {"x": ["a"]}),
        txn("c", 4, 5, {"y": []}),
    ),
    "G0": (
        ["G0"],
        txn("a", 0, 5, w=["x", "y"]),
        txn("b", 0, 5, w=["x", "y"]),
        txn("c", 6, 7, {"x": ["a", "b"], "y": ["b", "a"]}),
    ),
    "G1c": (
        ["G1c"],
        txn("a", 0, 5, {"y": ["b"]}, ["x"]),
        txn("b", 0, 5, {"x": ["a"]}, ["y"]),
    ),
    "G-single": (
        ["G-single"],
        txn("a", 0, 5, w=["x", "y"]),
        txn("b", 0, 5, {"x": ["a"], "y": []}),
        txn("c", 6, 7, {"x": ["a"], "y": ["a"]}),
    ),
    "G2-item": (
        ["G2-item"],
        txn("a", 0, 5, {"x": [], "y": []}, ["x"]),
        txn("b", 0, 5, {"x": [], "y": []}, ["y"]),
        txn("c", 6, 7, {"x": ["a"], "y": ["b"]}),
    ),
    "absent read that is old": (
        ["G-single-realtime"],
        txn("a", 0, 1, w=["x"]),
        txn("b", 2, 3, {"x": []}),
        txn("c", 4, 5, {"x": ["a"]}),
    ),
    "G0-realtime": (
        ["G0-realtime"],
        txn("a", 0, 1, w=["x"]),
        txn("b", 2, 3, w=["x"]),
        txn("c", 4, 5, {"x": ["b", "a"]}),
    ),
    "G1c-realtime": (
        ["G1c-realtime"],
        txn("b", 0, 1, {"x": ["a"]}),
        txn("a", 2, 3, w=["x"]),
    ),
    "opacity": (
        ["opacity: G-single"],
        txn("a", 0, 5, w=["x", "y"]),
        txn("b", 0, 5, {"x": ["a"], "y": []}, ["x"], how="fail"),
        txn("c", 6, 7, {"x": ["a"], "y": ["a"]}),
    ),
    "opacity of an unknown outcome": (
        ["opacity: G-single"],
        txn("a", 0, 5, w=["x", "y"]),
        txn("b", 0, 5, {"x": ["a"], "y": []}, ["x"], how="info"),
        txn("c", 6, 7, {"x": ["a"], "y": ["a"]}),
    ),
    "concurrent, and right": (
        [],
        txn("a", 0, 5, w=["x"]),
        txn("b", 1, 4, {"x": ["a"]}),
        txn("c", 1, 4, {"x": []}),
        txn("d", 6, None, w=["x", "y"]),
        txn("e", 7, 8, {"x": ["a", "d"]}),
        txn("f", 9, 10, {"x": ["a", "d"], "y": ["d"]}),
        txn("g", 9, None, w=["y"]),
    ),
}
REPORTED = {
    "fork": (
        ["incompatible orders"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 0, 1, w={"x": [1, "B"]}),
    ),
    "altered": (
        ["altered content"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, {"x": [1, "B"]}),
    ),
    "altered history": (
        ["altered content"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, w={"x": [2, "B"]}),
        [
            {"type": "invoke", "t": 4, "i": "c"},
            {"type": "ok", "t": 5, "i": "c", "h": {"x": [1, "B"]}},
        ],
    ),
    "unknown": (
        ["unknown write"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, {"x": [2, "B"]}),
    ),
    "aborted": (
        ["G1a"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, how="fail", asked={"x": "B"}),
        call("c", 4, 5, {"x": [2, "B"]}),
    ),
    "stale": (
        ["G-single-realtime"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, w={"x": [2, "B"]}),
        call("c", 4, 5, {"x": [1, "A"]}),
    ),
    "went back": (
        ["version went back"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, w={"x": [2, "B"]}),
        call("c", 2, 4, {"x": [2, "B"]}, agent="one"),
        call("d", 5, 6, {"x": [1, "A"]}, agent="one", stale_s=5.0),
    ),
    "partial": (
        ["G-single-realtime"],
        call("a", 0, None, asked={"x": "A", "y": "A"}),
        call("b", 2, 3, {"x": [1, "A"]}),
        call("c", 4, 5, {"y": [0, None]}),
        call("d", 6, 7, {"y": [1, "A"]}),
    ),
    "skew": (
        ["G2-item"],
        call("a", 0, 5, {"x": [1, "-"], "y": [1, "-"]}, {"x": [2, "A"]}),
        call("b", 0, 5, {"x": [1, "-"], "y": [1, "-"]}, {"y": [2, "B"]}),
    ),
    "unknown writer in a cycle": (
        ["G-single"],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, None, asked={"x": ""}),
        call("c", 2, 3, {"x": [1, "A"]}, {"x": [3, "C"]}),
        call("d", 4, 5, {"x": [2, "?"]}, stale_s=None),
    ),
    "old within its bound, killed writers, and deletions: right": (
        [],
        call("a", 0, 1, w={"x": [1, "A"]}),
        call("b", 2, 3, w={"x": [2, None]}),
        call("c", 4, 5, {"x": [1, "A"]}, stale_s=2.0),
        call("d", 6, None, asked={"x": "D"}),
        call("e", 6, None, asked={"x": ""}),
        call("f", 8, 9, {"x": [4, "?"]}),
        call("g", 8, 9, {"x": [3, "D"]}),
        call("h", 8, 9, {"y": [7, "before all"]}),
        call("i", 9, 10, {"y": [0, None]}, stale_s=None),
    ),
}


@pytest.mark.parametrize("name", APPENDS)
def test_kinds_by_contents(tmp_path, name):
    kinds, *txns = APPENDS[name]
    found = judged(tmp_path, *txns)
    assert list(found.counts) == kinds
    assert found.accepted is (not kinds)


@pytest.mark.parametrize("name", REPORTED)
def test_kinds_by_versions(tmp_path, name):
    kinds, *txns = REPORTED[name]
    assert list(judged(tmp_path, *txns, head=VERSIONS).counts) == kinds


def test_an_unknown_writer_is_told(tmp_path):
    (cycle,) = judged(tmp_path, *REPORTED["unknown writer in a cycle"][1:], head=VERSIONS).anomalies
    told = "the writer of x@2: info, ? to ?"
    assert [line.strip() for line in lines(cycle)].count(told) == 1
    assert "the writer of x@2" in chart(cycle) + diagram(cycle)


EXPECTED = {
    Weakness.READS_UNCHECKED: {"G2-item", "opacity: G2-item"},
    Weakness.UNCHECKED: {"G-single", "G2-item"},
    Weakness.BLIND: {"incompatible orders", "lost write", "G0"},
    Weakness.TORN: {"G0", "G1c", "G-single", "G2-item", "partial publish", "opacity: G-single"},
    Weakness.DIRTY: {"G1a"},
    Weakness.STALE: {"G-single-realtime"},
    Weakness.SPLIT: {"G-single", "opacity: G-single"},
}


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("weakness", EXPECTED)
def test_weak_stores_are_refused(tmp_path, weakness):
    simulation = Simulation(7, 3_000, weakness=weakness, killed=0.01)
    ruling = judge_files(write(tmp_path, simulation.lines()))
    assert EXPECTED[weakness] <= ruling.counts.keys()
    for anomaly in ruling.anomalies:
        assert anomaly.parties
        assert len(lines(anomaly)) > 2
        for edge, after in zip(anomaly.edges, anomaly.edges[1:] + anomaly.edges[:1], strict=True):
            assert edge.second == after.first
            assert edge.first in edge.reason
            assert edge.second in edge.reason


def accepted(folder, seeds, transactions):
    for seed in seeds:
        killed = 0.05 * (seed % 3)
        simulation = Simulation(seed, transactions, clients=2 + seed % 7, names=4, killed=killed)
        paths = write(folder, simulation.lines())
        ruling = judge_files(paths)
        assert ruling.accepted, (seed, ruling.counts)
        for path in paths:
            path.unlink()


@pytest.mark.slow
def test_serializable_histories_are_accepted(tmp_path):
    accepted(tmp_path, range(150), 30)


@pytest.mark.slow
def test_thousands_of_serializable_histories_are_accepted(tmp_path):
    accepted(tmp_path, range(1_000, 3_000), 50)


# Compared with all orders.


@st.composite
def small_histories(draw):
    """Up to five transactions on two names; what was read is often what some order gives."""
    count = draw(st.integers(1, 5))
    names = ["x", "y"]
    made, state, taken = [], {name: [] for name in names}, []
    for number in draw(st.permutations(range(count))):
        how = draw(st.sampled_from(["ok", "ok", "ok", "fail", "info"]))
        w = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
        begin = draw(st.integers(0, 8))
        end = begin + draw(st.integers(1, 8))
        r = {name: list(state[name]) for name in draw(st.sets(st.sampled_from(names)))}
        if draw(st.booleans()):
            r = {name: seen[: draw(st.integers(0, len(seen)))] for name, seen in r.items()}
        if how == "ok" or (how == "info" and draw(st.booleans())):
            for name in w[: draw(st.integers(1, 2)) if draw(st.booleans()) else 2]:
                at = draw(st.integers(0, len(state[name]))) if draw(st.booleans()) else 99
                state[name].insert(at, f"t{number}")
        taken.append(number)
        made.append((f"t{number}", begin, end, r, w, how))
    return made


def explained(made):
    """Whether some order of the transactions explains every read, by trying all."""
    seen = {token for _, _, _, r, _, _ in made for tokens in r.values() for token in tokens}
    parts = []
    for name, begin, end, r, w, how in made:
        if how == "ok":
            parts.append((name, begin, end, r, w))
        elif how == "fail":
            parts.append((name, begin, end, r, []))
        elif name in seen:
            parts.append((name, begin, 99, r, w))
        else:
            parts.append((name, begin, end, r, []))
    for order in permutations(parts):
        state = {"x": [], "y": []}
        latest = -1
        for name, begin, end, r, w in order:
            if end < latest or any(state[what] != tokens for what, tokens in r.items()):
                break
            latest = max(latest, begin)
            for what in w:
                state[what].append(name)
        else:
            return True
    return False


@pytest.mark.slow
def test_equal_to_all_orders(tmp_path):
    verdicts = set()

    @settings(deadline=None)
    @given(small_histories())
    def compare(made):
        txns = [txn(name, begin, end, r, w, how) for name, begin, end, r, w, how in made]
        verdict = judged(tmp_path, *txns).accepted
        assert verdict == explained(made)
        verdicts.add(verdict)

    compare()
    assert verdicts == {True, False}


# Files.


def test_torn_last_line(tmp_path):
    path = file(tmp_path, "p1", *txn("a", 0, 1, w=["x"]), *txn("b", 2, None, w=["x"]))
    with path.open("a") as out:
        out.write('{"type": "ok", "t": 3, "i": "b", "r"')
    history = read([path])
    assert history.ids == ["a", "b"]
    assert judge(history).outcomes == {"ok": 1, "fail": 0, "info": 1}


A, B = txn("a", 0, 1, w=["x"])
BAD = {
    "line 1: Input data was truncated": ["{"],
    "line 2: Object missing": [A, "{}"],
    "line 2: 'b' ends here": [A, {**B, "i": "b"}],
    "line 3: 'a' ends here": [A, B, B],
    "line 3: 'a' has begun before": [A, B, A],
    "line 2: 'a' ends at -1": [A, {**B, "t": -1}],
    "line 3: the token 'z' is of another": [
        {**A, "i": "b", "w": {"x": ["z"]}},
        {**B, "i": "b", "w": {"x": ["z"]}},
        {**A, "w": {"y": ["z"]}},
    ],
    "has the form 2": [{"history": 2}],
    "line 1: Invalid enum value": [{"history": 1, "values": "other"}],
    "no file has a transaction": [],
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_files(tmp_path, complaint):
    rows = BAD[complaint]
    path = file(tmp_path, "p1", *rows)
    with pytest.raises(BadHistory) as caught:
        read([path])
    assert complaint in str(caught.value)
    assert "p1.ndjson" in str(caught.value) or not rows
    assert caught.value.remedy
    assert isinstance(caught.value, CallerError)


def test_other_bad_calls(tmp_path):
    with pytest.raises(NoHistory, match="nowhere") as caught:
        read([tmp_path / "nowhere.ndjson"])
    assert isinstance(caught.value, EnvironmentFault)
    one = file(tmp_path, "one", A, B)
    other = file(tmp_path, "other", A, B, head=VERSIONS)
    with pytest.raises(BadHistory, match="appends and versions"):
        read([one, other])
    with pytest.raises(BadHistory, match="is not a version"):
        read([file(tmp_path, "third", *call("a", 0, 1, {"x": [-7, ""]}), head=VERSIONS)])


def test_clocks_do_not_compare(tmp_path):
    one = file(tmp_path, "one", *txn("a", 0, 1, w=["x"]), head={"history": 1, "clock": "one"})
    rows = [*txn("b", 2, 3, {"x": []}), *txn("c", 4, 5, {"x": ["a"]})]
    other = file(tmp_path, "other", *rows, head={"history": 1, "clock": "two"})
    assert judge_files([one, other]).accepted
    other = file(tmp_path, "other", *rows, head={"history": 1, "clock": "one"})
    assert list(judge_files([one, other]).counts) == ["G-single-realtime"]


def test_edges_are_linear(tmp_path):
    ruling = judge_files(write(tmp_path, Simulation(3, 4_000, killed=0.01).lines()))
    assert ruling.accepted
    # At most 3 reads and 2 writes each; real time costs a transaction a begin, an end, a barrier.
    assert sum(ruling.edges.values()) <= 4_100 * (3 + 3 + 2 + 3)


def test_counts_go_on_where_texts_end(tmp_path):
    found = judge_files(write(tmp_path, Simulation(1, 2_000, weakness=Weakness.UNCHECKED).lines()))
    assert found.counts["G-single"] > KEPT
    assert [anomaly.kind for anomaly in found.anomalies].count("G-single") == KEPT


@pytest.mark.slow
def test_one_large_component(tmp_path):
    """A component of thousands is cut down to a cycle; its length does not matter."""
    count = 5_000
    txns = [txn(f"t{n}", 0, 9, {f"n{(n + 1) % count}": []}, [f"n{n}"]) for n in range(count)]
    txns.append(txn("all", 10, 11, {f"n{n}": [f"t{n}"] for n in range(count)}))
    (anomaly,) = judged(tmp_path, *txns).anomalies
    assert anomaly.kind == "G2-item"
    assert len(anomaly.edges) == count


# The command.


@pytest.fixture
def skewed(tmp_path):
    folder = tmp_path / "skewed"
    folder.mkdir()
    rows = [line for each in APPENDS["G2-item"][1:] for line in each]
    return file(folder, "p1", *rows)


def test_command_accepts(tmp_path, capsys):
    write(tmp_path, Simulation(1, 50).lines())
    assert main(["histories", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("accepted: 51 transactions")


def test_command_refuses(skewed, capsys):
    assert main(["histories", str(skewed), "--chart"]) == 1
    said = capsys.readouterr().out
    assert "REFUSED" in said
    assert "1 G2-item" in said
    assert "a before b: a read y as [], and b wrote the next version" in said
    assert "p1.ndjson:1" in said
    assert "├──────rw y──────▶│" in said


def test_command_as_json(skewed, capsys):
    assert main(["histories", str(skewed.parent), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["v"] == 1
    assert document["accepted"] is False
    assert document["counts"] == {"G2-item": 1}
    (anomaly,) = document["anomalies"]
    assert [edge["why"] for edge in anomaly["edges"]] == ["rw", "rw"]
    assert {party["where"] for party in anomaly["transactions"]} == {"p1.ndjson:1", "p1.ndjson:3"}


def test_command_draws_and_converts(skewed, tmp_path, capsys):
    drawn, converted = tmp_path / "cycle.mmd", tmp_path / "history.edn"
    assert main(["histories", str(skewed), "--mermaid", str(drawn)]) == 1
    assert drawn.read_text().startswith("sequenceDiagram")
    assert main(["histories", str(skewed), "--edn", str(converted)]) == 0
    rows = converted.read_text().splitlines()
    assert len(rows) == 6
    assert '[:r "x" []] [:r "y" []] [:append "x" 1]' in "\n".join(rows)
    assert "6 operations" in capsys.readouterr().out


def test_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["histories", str(file(tmp_path, "p1", "{"))]) == 2
    assert "bad-history: " in capsys.readouterr().err
    assert main(["histories", str(tmp_path / "gone.ndjson")]) == 3
    assert "no-history: " in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["histories", str(empty)]) == 2
    assert "no *.ndjson" in capsys.readouterr().err


def test_chart_and_diagram_of_what_is_no_cycle(tmp_path):
    (anomaly,) = judged(tmp_path, *APPENDS["aborted"][1:]).anomalies
    assert chart(anomaly) == diagram(anomaly) == ""
