"""A saved history: nothing is lost but the texts, and no damage goes unnoticed."""

from __future__ import annotations

import bz2
import json
import shutil
from pathlib import Path
from random import Random

import pytest

from coherence.simulate.replay import saving
from coherence.simulate.replay.counting import counter
from coherence.simulate.replay.errors import HistoryNotSaved, InvalidHistory
from coherence.simulate.replay.git import Repository
from coherence.simulate.replay.history import History, RealContents
from coherence.simulate.replay.reading import read
from coherence.simulate.replay.saving import decoded, encoded
from coherence.simulate.replay.teams import Team, workload

HISTORIES = sorted((Path(__file__).parents[2] / "simulations" / "histories").glob("*.history"))


@pytest.fixture
def found(made, text) -> History:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    made.commit(a__txt=text(30), b__md="see [it](a.txt)\n")
    since = made.time_s + 1
    made.write("caf\u00e9/c.txt", text(12, "other"))
    made.commit(author="bob", a__txt=text(31))
    made.git("mv", "a.txt", "d.txt")
    made.commit(author="ann", d__txt=text(29) + "no newline")
    made.git("rm", "-q", "b.md")
    made.commit(author="bob", d__txt=text(40, "all new"))
    made.commit(author="ann", d__txt=text(31))
    return read(
        Repository(made.folder), counter("estimate"), since_s=since, name="test", command="none"
    )


def test_all_but_the_texts_comes_back(found):
    again = decoded(encoded(found))
    assert (again.about, again.paths, again.revisions) == (
        found.about,
        found.paths,
        found.revisions,
    )
    contents = [
        RealContents(each.files, saving.MEASURES[each.about.measure]) for each in (found, again)
    ]
    for number, (a, b) in enumerate(zip(found.files, again.files, strict=True)):
        assert (a.first, a.sizes, a.named) == (b.first, b.sizes, b.named)
        versions = range(a.first, a.first + len(a.sizes))
        if len(versions) > 1:
            assert a.codes == b.codes
            for base in versions:
                for version in versions[versions.index(base) :]:
                    one, other = (each.difference(number, base, version) for each in contents)
                    assert one == other
    assert workload(found, Team(), 1).turns == workload(again, Team(), 1).turns


def test_the_bytes_depend_on_the_history_only(found):
    assert encoded(found) == encoded(decoded(encoded(found)))
    head = json.loads(encoded(found).partition(b"\n")[0])
    assert head["history"]["name"] == "test"


def test_there_is_no_text_in_it(found):
    body = bz2.decompress(encoded(found).partition(b"\n")[2])
    assert b"line" not in body
    assert b"example.org" not in body


def test_a_file_is_written_whole_or_not_at_all(found, tmp_path, monkeypatch):
    path = tmp_path / "test.history"
    saving.save(found, path)
    assert saving.load(path).revisions == found.revisions

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("coherence.simulate.replay.saving.os.replace", full)
    with pytest.raises(HistoryNotSaved, match="No space left"):
        saving.save(found, path)
    assert path.read_bytes() == before
    assert list(tmp_path.glob(".*")) == []
    with pytest.raises(HistoryNotSaved):
        saving.save(found, tmp_path / "missing" / "test.history")


@pytest.mark.parametrize("content", [b"", b"{}\n", b"text\n", b"\0" * 99, b'{"format": 1}\n'])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InvalidHistory, match="not a saved history"):
        saving.load(path)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InvalidHistory, match="no such file"):
        saving.load(tmp_path / "x")
    with pytest.raises(InvalidHistory, match="cannot be read"):
        saving.load(tmp_path)


def test_another_version_says_how_to_make_the_file_again(found):
    later = encoded(found).replace(b'"version":1', b'"version":2', 1)
    with pytest.raises(InvalidHistory, match="make it again: none"):
        decoded(later)


def test_damage_is_found(found):
    content = encoded(found)
    body = content.index(b"\n") + 1
    rng = Random(1)
    for _ in range(100):
        at = rng.randrange(body, len(content))
        broken = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        with pytest.raises(InvalidHistory, match="damaged"):
            decoded(broken)
    with pytest.raises(InvalidHistory, match="damaged"):
        decoded(content[:-1])


def test_a_forged_body_is_refused(found, monkeypatch):
    """A body whose digest is right still has to make sense; nothing else is raised."""
    unpacked = bz2.decompress(encoded(found).partition(b"\n")[2])
    rng = Random(2)
    refused = 0
    for _ in range(300):
        at = rng.randrange(len(unpacked))
        forged = unpacked[:at] + bytes([rng.randrange(256)]) + unpacked[at + 1 :]
        packed = bz2.compress(forged)
        head = json.loads(encoded(found).partition(b"\n")[0])
        head["digest"] = saving.blake2b(packed, digest_size=16).hexdigest()
        try:
            workload(decoded(json.dumps(head).encode() + b"\n" + packed), Team(by="window"), 1)
        except InvalidHistory:
            refused += 1
    assert refused > 100
    monkeypatch.setattr(saving, "BODY_BYTES_MAX", 100)
    with pytest.raises(InvalidHistory, match="too large"):
        decoded(encoded(found))


@pytest.mark.slow
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name)
def test_the_shipped_histories_are_small_and_can_be_made_again(path):
    found = saving.load(path)
    assert path.stat().st_size <= 2**20
    assert found.about.commits >= 2_000
    assert found.about.commit in found.about.command
    assert found.about.command.endswith(f"--save {path.name}")
    assert encoded(found) == path.read_bytes()
