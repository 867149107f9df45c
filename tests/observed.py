"""What a recorder has observed: its lines, its calls, their judgement; and a store that is away."""

from __future__ import annotations

import json

from coherence.stores.faulty import Faulty
from specs.histories.judging import judge_files
from specs.histories.witness import lines


def rows(folder):
    """The lines of all files, without headers; times are left out."""
    found = []
    for path in sorted(folder.glob("*.ndjson")):
        head, *rest = path.read_text().splitlines()
        assert json.loads(head)["values"] == "versions"
        found += [json.loads(line) for line in rest]
    return found


def told(folder):
    """Each call: its name, its outcome, and what it has read and written."""
    begun = {line["i"]: line for line in rows(folder) if line["type"] == "invoke"}
    return [
        (
            begun[line["i"]]["call"],
            line["type"],
            {name: version for name, (version, _) in line.get("r", {}).items()},
            {name: version for name, (version, _) in line.get("w", {}).items()},
        )
        for line in rows(folder)
        if line["type"] != "invoke"
    ]


def judged(folder):
    ruling = judge_files(sorted(folder.glob("*.ndjson")))
    assert ruling.accepted, [lines(anomaly) for anomaly in ruling.anomalies]
    return ruling


class Away(Faulty):
    """A store that is away for some moments: a write that is sent again meets it again."""

    def moment(self):
        self.moments += 1
        if self.at <= self.moments < self.at + 12:
            raise self.make()
