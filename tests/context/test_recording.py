"""A recording has every event of the block, and a file that cannot be written harms no run."""

import errno
import json

import pytest

from coherence import BadArgument
from coherence.context import recording
from coherence.context.recording import NotRecorded, also, record, recorded


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_of_the_block_is_a_line(tmp_path):
    heard = []
    with recorded(tmp_path / "a.jsonl"):
        record({"coherence": "call", "held": ["plan.md@1"]})
        with recorded(tmp_path / "b.jsonl"):
            also(heard.append)({"coherence": "hit"})
    record({"coherence": "fill"})
    assert lines(tmp_path / "a.jsonl") == [
        {"coherence": "call", "held": ["plan.md@1"]},
        {"coherence": "hit"},
    ]
    assert lines(tmp_path / "b.jsonl") == [{"coherence": "hit"}] == heard
    assert also(heard.append) == heard.append, "nothing more listens"
    assert also(None) is None


def test_a_file_that_exists_is_kept(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("mine")
    with pytest.raises(BadArgument, match="exists"), recorded(path):
        pass
    assert path.read_text() == "mine"
    with pytest.raises(NotRecorded, match="No such file"), recorded(tmp_path / "no" / "run.jsonl"):
        pass


def test_a_full_disk_is_reported_when_the_run_is_over(tmp_path):
    recording_of = recorded(tmp_path / "run.jsonl")
    recording_of.__enter__()
    recording._files[-1]._stream = Full(recording._files[-1]._stream)
    record({"coherence": "hit"})
    with pytest.raises(NotRecorded, match="No space left"):
        recording_of.__exit__(None, None, None)
    assert not recording._files


class Full:
    def __init__(self, stream):
        self._stream = stream

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        self._stream.close()
