"""``python -m specs histories``: judge the observations of clients.

Loads numpy and scipy only where the command runs: they are an extra.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from message_passing.console import complain, progress, say, terminal_width, told
from message_passing.errors import ToolkitError
from specs.checker.errors import UsageError

if TYPE_CHECKING:
    from specs.histories.anomalies import Anomaly
    from specs.histories.judging import Ruling

NAME = "histories"
DESCRIPTION = """\
Judge whether what the clients of a store have observed is strictly serializable, and explain what
is not. A FILE is NDJSON of one client, a line before each transaction and one after it; a folder
stands for the *.ndjson in it. `Workspace(observe=FOLDER)` writes such files."""


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command, by the function that adds one to the command line."""
    command = add(NAME, "judge the observations of clients", _run, DESCRIPTION)
    command.add_argument("files", nargs="+", type=Path, metavar="file", help="a file, or a folder")
    command.add_argument("--json", action="store_true")
    command.add_argument("--chart", action="store_true", help="draw each cycle as a chart, too")
    command.add_argument("--mermaid", type=Path, metavar="FILE", help="the first cycle, to a file")
    command.add_argument(
        "--limit", type=int, default=3, metavar="N", help="how many of each kind to tell; 0 is all"
    )
    command.add_argument(
        "--edn", type=Path, metavar="FILE", help="write the operations for elle-cli, and end"
    )


def _run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest:
        raise UsageError(f"unknown arguments: {' '.join(rest)}", remedy="see histories --help")
    try:
        paths = list(_files(options.files))
        if options.edn is not None:
            return _convert(paths, options.edn)
        return _judge(paths, options)
    except (ToolkitError, OSError) as error:
        line, code = told(error)
        complain(line)
        return code


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.glob("*.ndjson"))
        if not found:
            raise UsageError(f"no *.ndjson in {path}", remedy="name the files of the clients")
        yield from found


def _convert(paths: Sequence[Path], target: Path) -> int:
    from specs.histories.edn import edn

    operations = list(edn(paths))
    target.write_text("".join(f"{line}\n" for line in operations), encoding="utf-8")
    say(f"{len(operations):,} operations written to {target}")
    return 0


def _judge(paths: Sequence[Path], options: argparse.Namespace) -> int:
    try:
        import numpy  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        raise UsageError("there is no scipy", remedy="pip install scipy") from error
    from specs.histories.history import read
    from specs.histories.judging import judge

    total = sum(path.stat().st_size for path in paths if path.exists()) or 1

    def on_bytes(done: int) -> None:
        progress(f"reading: {done / total:.0%} of {total / 1e6:,.0f} MB")

    def on_stage(what: str) -> None:
        progress(f"{len(history.ids):,} transactions: {what}")

    start = time.process_time()
    history = read(paths, on_bytes)
    ruling = judge(history, on_stage)
    seconds = time.process_time() - start
    if options.json:
        document = as_json(ruling) | {"cpu_s": round(seconds, 3), "peak_mib": _peak_mib()}
        say(msgspec.json.encode(document).decode())
    else:
        say("\n".join(_lines(ruling, options, seconds)))
    cycles = [anomaly for anomaly in ruling.anomalies if anomaly.edges]
    if options.mermaid is not None:
        _draw(cycles, options.mermaid)
    return 0 if ruling.accepted else 1


def _lines(ruling: Ruling, options: argparse.Namespace, seconds: float) -> Iterator[str]:
    from specs.histories.witness import chart, lines

    count = sum(ruling.outcomes.values())
    ends = ", ".join(f"{count:,} {word}" for word, count in ruling.outcomes.items())
    yield (
        f"{'accepted' if ruling.accepted else 'REFUSED'}: {count:,} transactions"
        f" ({ends}), {ruling.took_effect:,} took effect"
    )
    edges = ", ".join(f"{count:,} {why}" for why, count in ruling.edges.items())
    yield f"  edges: {edges}; {seconds:.1f} s of the processor, {_peak_mib():,.0f} MiB"
    for kind, count in ruling.counts.items():
        yield f"  {count:,} {kind}"
    shown: dict[str, int] = {}
    for anomaly in ruling.anomalies:
        shown[anomaly.kind] = shown.get(anomaly.kind, 0) + 1
        if options.limit and shown[anomaly.kind] > options.limit:
            continue
        yield ""
        yield from lines(anomaly)
        if options.chart and anomaly.edges:
            yield chart(anomaly, terminal_width() or 100)


def as_json(ruling: Ruling) -> dict[str, Any]:
    """The ruling for a program."""
    return {
        "v": 1,
        "accepted": ruling.accepted,
        "values": ruling.values,
        "transactions": ruling.outcomes,
        "took_effect": ruling.took_effect,
        "edges": ruling.edges,
        "counts": ruling.counts,
        "anomalies": [_anomaly(anomaly) for anomaly in ruling.anomalies],
    }


def _anomaly(anomaly: Anomaly) -> dict[str, Any]:
    return {
        "kind": anomaly.kind,
        "title": anomaly.title,
        "text": anomaly.text,
        "transactions": [
            {name: getattr(party, name) for name in party.__dataclass_fields__}
            for party in anomaly.parties
        ],
        "edges": [
            {
                "first": edge.first,
                "second": edge.second,
                "why": edge.why.name.lower(),
                "name": edge.name,
                "reason": edge.reason,
            }
            for edge in anomaly.edges
        ],
    }


def _draw(cycles: Sequence[Anomaly], target: Path) -> None:
    from specs.histories.witness import diagram

    if not cycles:
        complain("no cycle to draw")
        return
    target.write_text(f"{diagram(cycles[0])}\n", encoding="utf-8")


def _peak_mib() -> float:
    """The most memory that this process has had."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
